"""Score with a model that MLflow serves.

One request, one answer. Free unless the options say otherwise: then a lost answer is unknown, and else a passing
failure, because scoring again harms nobody. Before it in the walk: execute. After it: settle.
"""

import dataclasses
import enum
import time
from urllib import parse

from heddle.core import attempt, identity, settle
from heddle.ports import blobs, provider
from heddle.providers import json_wire, limits, media, options, synchronous, templates, transport
from heddle.providers.mlflow import faults as mlflow_faults
from heddle.providers.mlflow import wire

RESPONSE_BYTES_MAX = transport.BODY_BYTES_MAX


class ArtifactForm(enum.StrEnum):
    """Name how the artifacts of an input are written into the JSON."""

    BASE64 = "base64"
    DATA_URL = "data_url"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MlflowOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    form: wire.Form
    path: str
    health_path: str
    data: identity.JsonValue
    params: identity.JsonValue
    artifacts: ArtifactForm
    output: str
    output_artifacts: tuple[str, ...]
    used_tokens: str | None
    is_paid: bool
    response_bytes_max: int


def read_options(config: provider.EndpointConfig) -> MlflowOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    read = MlflowOptions(
        form=source.choice("form", default=wire.Form.INPUTS),
        path=source.text("path", default="/invocations"),
        health_path=source.text("health_path", default="/ping"),
        data=source.value("data", default="{input}"),
        params=source.value("params", default=None),
        artifacts=source.choice("artifacts", default=ArtifactForm.BASE64),
        output=source.text("output", default=""),
        output_artifacts=source.strings("output_artifacts"),
        used_tokens=source.text("used_tokens", default="") or None,
        is_paid=source.flag("paid", default=False),
        response_bytes_max=int(
            source.number("response_bytes_max", default=RESPONSE_BYTES_MAX, low=1_024, high=1024**3, unit="bytes")
        ),
    )
    source.end()
    for key, path in (("path", read.path), ("health_path", read.health_path)):
        if not path.startswith("/") or not path.isprintable() or " " in path or "#" in path:
            raise source.refusal(key, f"is {path!r}; it must begin with / and hold no space and no #")
    for key, template in (("data", read.data), ("params", read.params)):
        if trouble := templates.body_trouble(template, path=key):
            raise source.refusal(key, f"is no template: {trouble}")
    pointers = [("output", read.output), ("used_tokens", read.used_tokens or "")]
    for key, pointer in [*pointers, *(("output_artifacts", pointer) for pointer in read.output_artifacts)]:
        if trouble := json_wire.pointer_trouble(pointer):
            raise source.refusal(key, trouble)
    return read


class MlflowProvider(synchronous.Synchronous):
    """Speak to one scoring server."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._options = read_options(config)
        super().__init__(config, connections, is_guarded=self._options.is_paid)
        self._headers = {"Authorization": f"Bearer {config.secret}"} if config.secret else {}
        self.capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.C, is_paid=self._options.is_paid)

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Make one attempt."""
        try:
            body = await self._body(request)
        except (json_wire.WireRefused, wire.FormRefused, blobs.BlobMissing, ValueError) as error:
            return self._outcomes.unsent(error)
        reply = await self._transport.exchange(
            transport.Call(
                method="POST",
                url=self._base_url + self._options.path.replace("{model}", parse.quote(request.model, safe="")),
                headers={**self._headers, "Content-Type": "application/json"},
                body=body,
                timeout_s=self._timeout_s(request),
                is_repeatable=not self._options.is_paid,
                reply_bytes_max=self._options.response_bytes_max,
            )
        )
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        if reply.status == 200:
            return await self._completed(reply, request)
        return self._outcomes.refused(reply, mlflow_faults.fault_of(reply.status, _code(reply)))

    async def check(self) -> str | None:
        """Ask the server whether its model is loaded."""
        return await self._trouble_at(self._options.health_path, self._headers)

    async def _body(self, request: provider.ProviderRequest) -> bytes:
        given: identity.JsonValue = request.input
        if media.has_artifact(given):
            is_url = self._options.artifacts is ArtifactForm.DATA_URL
            given = await media.write_out(given, reader=request.artifacts, as_data_url=is_url)
        data = templates.body(self._options.data, request, given)
        params = self._options.params
        if params is not None:
            params = templates.body(params, request, given)
        return json_wire.write_json(wire.body(form=self._options.form, data=data, params=params))

    async def _completed(self, reply: transport.Reply, request: provider.ProviderRequest) -> settle.Outcome:
        if reply.media_type != "application/json":
            return self._outcomes.bad(f"JSON was to come, {reply.media_type or 'no content type'} came", reply.body)
        try:
            whole = json_wire.parse_json(reply.body)
            output = json_wire.follow(wire.predictions(whole, form=self._options.form), self._options.output)
            for pointer in self._options.output_artifacts:
                data, claimed = media.decode_medium(json_wire.follow(output, pointer))
                stored = await request.artifacts.write(data, media_type=claimed)
                output = json_wire.replaced(output, pointer, stored.as_json())
        except (json_wire.WireRefused, wire.FormRefused) as error:
            return self._outcomes.bad(f"the answer {error}; it begins", reply.body)
        except blobs.BlobRefused as error:
            return self._outcomes.blob_refused(error)
        except OSError as error:
            return self._outcomes.not_stored(error)
        tokens = json_wire.count(whole, self._options.used_tokens)
        return settle.Completed(output=output, told=limits.read(reply.headers, now_s=time.time(), tokens=tokens))


def _code(reply: transport.Reply) -> str:
    """Read the code of an error object; empty when the answer is none."""
    if reply.media_type != "application/json":
        return ""
    try:
        code = json_wire.follow(json_wire.parse_json(reply.body), "/error_code")
    except json_wire.WireRefused:
        return ""
    return code if isinstance(code, str) else ""
