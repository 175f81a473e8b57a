"""Read the options of a SageMaker endpoint.

Each mistake is one sentence that names the endpoint and the option. Before it: the registry with a configured endpoint.
After it: ``adapter``.
"""

import dataclasses
import enum
import re
from typing import Final

from heddle.core import identity
from heddle.ports import provider
from heddle.providers import jobs, options, templates
from heddle.providers.sagemaker import faults, signing, wire

_NAME: Final = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}\Z")
_REGION: Final = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}\Z")


class Mode(enum.StrEnum):
    """Name the two ways a SageMaker endpoint is invoked."""

    REALTIME = "realtime"
    ASYNC = "async"


class ArtifactForm(enum.StrEnum):
    """Name how the artifacts of an input are sent."""

    BASE64 = "base64"
    DATA_URL = "data_url"


class ResponseForm(enum.StrEnum):
    """Name what the model's container answers."""

    JSON = "json"
    ARTIFACT = "artifact"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SageMakerOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    mode: Mode
    endpoint_name: str
    region: str
    keys: signing.Keys | None
    target_variant: str
    inference_component: str
    accept: str
    body: identity.JsonValue
    artifacts: ArtifactForm
    response: ResponseForm
    picks: jobs.Picks
    failed: faults.Failed
    is_paid: bool
    s3_url: str
    output_path: wire.Place | None
    failure_path: wire.Place | None
    input_path: wire.Place | None
    poll_after_s: float
    lookup_margin_s: float

    def target_headers(self) -> dict[str, str]:
        """Give the headers that choose a part of a real-time endpoint."""
        headers = {
            "X-Amzn-SageMaker-Target-Variant": self.target_variant,
            "X-Amzn-SageMaker-Inference-Component": self.inference_component,
        }
        return {name: value for name, value in headers.items() if value}


def read(config: provider.EndpointConfig) -> SageMakerOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    region = source.text("region", default="")
    if not _REGION.match(region):
        raise source.refusal("region", f'is {region!r}; it must be a region of AWS, such as "eu-central-1"')
    found = SageMakerOptions(
        mode=source.choice("mode", default=Mode.REALTIME),
        endpoint_name=source.text("endpoint_name", default=""),
        region=region,
        keys=_keys(source, config),
        target_variant=source.text("target_variant", default=""),
        inference_component=source.text("inference_component", default=""),
        accept=source.text("accept", default="application/json"),
        body=source.value("body", default="{input}"),
        artifacts=source.choice("artifacts", default=ArtifactForm.BASE64),
        response=source.choice("response", default=ResponseForm.JSON),
        picks=jobs.read_picks(source),
        failed=source.choice("failed", default=faults.Failed.UNCLASSIFIED),
        is_paid=source.flag("paid", default=True),
        s3_url=source.text("s3_url", default=f"https://s3.{region}.amazonaws.com").rstrip("/"),
        output_path=_place(source, "output_path"),
        failure_path=_place(source, "failure_path"),
        input_path=_place(source, "input_path"),
        poll_after_s=source.number("poll_after_s", default=2.0, low=0.2, high=600, unit="s"),
        lookup_margin_s=source.number("lookup_margin_s", default=60.0, low=1, high=3_600, unit="s"),
    )
    source.end()
    _check(source, found)
    try:
        signing.Signer(keys=found.keys, region=region)
    except signing.SignerMissing as error:
        raise options.LibraryMissing(f"[endpoints.{config.name}] {error}") from None
    return found


def _check(source: options.Options, found: SageMakerOptions) -> None:
    """Refuse names that are none, and what does not go together."""
    for key, name, is_needed in (
        ("endpoint_name", found.endpoint_name, True),
        ("target_variant", found.target_variant, False),
        ("inference_component", found.inference_component, False),
    ):
        if (is_needed or name) and not _NAME.match(name):
            raise source.refusal(key, f"is {name!r}; it must be letters, digits and hyphens, at most 63")
    if trouble := templates.body_trouble(found.body):
        raise source.refusal("body", f"is no template: {trouble}")
    if not found.accept.isascii() or not found.accept.isprintable():
        raise source.refusal("accept", "must be printable ASCII")
    if not found.s3_url.startswith(("http://", "https://")):
        raise source.refusal("s3_url", f"is {found.s3_url!r}; it must begin with https://")
    is_job = found.mode is Mode.ASYNC
    for key, place in (("output_path", found.output_path), ("failure_path", found.failure_path)):
        if is_job and place is None:
            raise source.refusal(key, "is missing; write the endpoint's own, s3://bucket/path")
    if found.response is ResponseForm.ARTIFACT and (found.picks.output.count("/") > 1 or found.picks.output_artifacts):
        raise source.refusal("output", 'goes with response = "artifact" only as "" or "/name"')


def _keys(source: options.Options, config: provider.EndpointConfig) -> signing.Keys | None:
    if config.secret is None:
        return None
    keys = signing.read_keys(config.secret)
    if keys is None:
        raise source.refusal("secret", "must be ACCESS_KEY_ID:SECRET_ACCESS_KEY, with :SESSION_TOKEN if there is one")
    return keys


def _place(source: options.Options, key: str) -> wire.Place | None:
    text = source.text(key, default="")
    if not text:
        return None
    try:
        return wire.read_place(text)
    except wire.WireRefused as error:
        raise source.refusal(key, f"cannot be used: {error}") from None
