"""Read the options of one endpoint at Replicate.

What is not known or out of range is refused with one sentence that names the endpoint and the key. Before it: the
registry with a configured endpoint. After it: the adapter.
"""

import dataclasses
import re
from typing import Final

from heddle.ports import provider
from heddle.providers import fetching, options, signing
from heddle.providers.replicate import wire

OUTPUT_HOST: Final = "replicate.delivery"  # https://replicate.com/docs/topics/predictions/output-files
_NAMED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_VERSION: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}:)?[0-9a-f]{64}\Z")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReplicateOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    model_name: str
    version: str
    deployment: str
    wait_s: int
    poll_after_s: float
    is_uploading: bool
    output_hosts: tuple[str, ...]
    lookup_bound_s: float


def read_options(config: provider.EndpointConfig) -> ReplicateOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    read = ReplicateOptions(
        model_name=source.text("model_name", default=""),
        version=source.text("version", default=""),
        deployment=source.text("deployment", default=""),
        wait_s=int(source.number("wait_s", default=0, low=0, high=wire.WAIT_MAX_S, unit="s")),
        poll_after_s=source.number("poll_after_s", default=1.0, low=0.2, high=3_600, unit="s"),
        is_uploading=source.flag("upload", default=True),
        output_hosts=source.strings("output_hosts") or (OUTPUT_HOST,),
        lookup_bound_s=source.number("lookup_bound_s", default=2_100, low=0, high=86_400, unit="s"),
    )
    source.end()
    if config.secret is None:
        raise source.refusal("secret", 'is missing; Replicate asks for a token, write secret = "env:NAME"')
    if read.wait_s >= config.timeout_s:
        raise source.refusal("wait_s", f"is {read.wait_s}; it must be below timeout_s, {config.timeout_s:g} s")
    if sum(bool(given) for given in (read.model_name, read.version, read.deployment)) != 1:
        raise source.refusal("model_name", "is wanted, or version, or deployment: exactly one of the three")
    for key, given in (("model_name", read.model_name), ("deployment", read.deployment)):
        if given and not _NAMED.match(given):
            raise source.refusal(key, f"is {given!r}; it must be of the form owner/name")
    if read.version and not _VERSION.match(read.version):
        raise source.refusal("version", f"is {read.version!r}; it must be 64 hex digits, owner/name: may stand before")
    if trouble := fetching.host_trouble(read.output_hosts):
        raise source.refusal("output_hosts", trouble)
    if config.callback_secret is not None:
        try:
            signing.key(config.callback_secret)
        except signing.SecretMalformed as error:
            raise source.refusal("callback_secret", f"cannot be used: {error}") from None
    return read
