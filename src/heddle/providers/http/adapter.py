"""Call a synchronous JSON endpoint as its ``[endpoints.X]`` describes it.

One request, one answer: this adapter has no jobs to poll, to look up or to cancel. It sends once and classifies by the
tables of ``faults`` and ``providers.statuses``; retrying is the engine's. Before it in the walk: execute. After it:
settle.
"""

import dataclasses
import enum
import time
from collections.abc import Mapping
from urllib import parse

from heddle.core import artifact, attempt, identity, settle
from heddle.core.policy import told
from heddle.ports import blobs, provider
from heddle.providers import endpoints, json_wire, limits, media, options, synchronous, templates, transport
from heddle.providers.http import faults as http_faults


class Method(enum.StrEnum):
    """Name the methods an endpoint may be called with."""

    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"


class ArtifactForm(enum.StrEnum):
    """Name how the artifacts of an input are sent."""

    BASE64 = "base64"  # in their place in the JSON body
    DATA_URL = "data_url"  # the same, as data:<media type>;base64,…
    BODY = "body"  # the input's one artifact is the body


class ResponseForm(enum.StrEnum):
    """Name what a successful answer is."""

    JSON = "json"
    ARTIFACT = "artifact"  # the body is a medium; the output is its reference


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    method: Method
    path: str
    headers: Mapping[str, str]
    body: identity.JsonValue
    artifacts: ArtifactForm
    response: ResponseForm
    output: str
    output_artifacts: tuple[str, ...]
    error_code: str
    cost_usd: str | None
    used_tokens: str | None
    used_images: str | None
    faults: http_faults.Table
    idempotency_header: str | None
    is_paid: bool
    health_path: str | None
    response_bytes_max: int


def read_options(config: provider.EndpointConfig) -> HttpOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    idempotency_header = source.text("idempotency_header", default="") or None
    read = HttpOptions(
        method=source.choice("method", default=Method.POST),
        path=source.text("path", default=""),
        headers=source.table("headers"),
        body=source.value("body", default="{input}"),
        artifacts=source.choice("artifacts", default=ArtifactForm.BASE64),
        response=source.choice("response", default=ResponseForm.JSON),
        output=source.text("output", default=""),
        output_artifacts=source.strings("output_artifacts"),
        error_code=source.text("error_code", default="/error/code"),
        cost_usd=source.text("cost_usd", default="") or None,
        used_tokens=source.text("used_tokens", default="") or None,
        used_images=source.text("used_images", default="") or None,
        faults=http_faults.read(source, "faults", is_keyed=idempotency_header is not None),
        idempotency_header=idempotency_header,
        is_paid=source.flag("paid", default=False),
        health_path=source.text("health_path", default="") or None,
        response_bytes_max=int(
            source.number("response_bytes_max", default=transport.BODY_BYTES_MAX, low=1_024, high=1024**3, unit="bytes")
        ),
    )
    source.end()
    _check_options(source, read, has_secret=config.secret is not None)
    return read


def _check_options(source: options.Options, read: HttpOptions, *, has_secret: bool) -> None:
    for key, path in (("path", read.path), ("health_path", read.health_path or "")):
        if path and (not path.startswith("/") or not path.isprintable() or " " in path or "#" in path):
            raise source.refusal(key, f"is {path!r}; it must begin with / and hold no space and no #")
    for name, value in read.headers.items():
        if not isinstance(value, str):
            raise source.refusal(f"headers.{name}", "must be a string")
        if trouble := options.header_trouble(name, value):
            raise source.refusal(f"headers.{name}", trouble)
        if "{secret}" in value and not has_secret:
            raise source.refusal(f"headers.{name}", 'names {secret}, but the endpoint has no secret = "env:NAME"')
    if read.idempotency_header and (trouble := options.header_trouble(read.idempotency_header, "")):
        raise source.refusal("idempotency_header", trouble)
    _check_forms(source, read)


def _check_forms(source: options.Options, read: HttpOptions) -> None:
    """Refuse templates and pointers that are none, and forms that do not go together."""
    if trouble := templates.body_trouble(read.body):
        raise source.refusal("body", f"is no template: {trouble}")
    if read.artifacts is ArtifactForm.BODY and read.body != "{input}":
        raise source.refusal("body", 'cannot go with artifacts = "body", where the artifact is the body')
    if read.response is ResponseForm.ARTIFACT and (read.output.count("/") > 1 or read.output_artifacts):
        raise source.refusal(
            "output", 'goes with response = "artifact" only as "" or "/name", and output_artifacts not'
        )
    pointers = [("output", read.output), ("error_code", read.error_code), ("cost_usd", read.cost_usd or "")]
    pointers += [("used_tokens", read.used_tokens or ""), ("used_images", read.used_images or "")]
    for key, pointer in [*pointers, *(("output_artifacts", pointer) for pointer in read.output_artifacts)]:
        if trouble := json_wire.pointer_trouble(pointer):
            raise source.refusal(key, trouble)


class HttpProvider(synchronous.Synchronous):
    """Speak to one synchronous JSON endpoint."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._options = read_options(config)
        super().__init__(config, connections, is_guarded=self._options.is_paid)
        self._headers = options.headers(self._options.headers, secret=config.secret)
        is_keyed = self._options.idempotency_header is not None
        self.capabilities = provider.Capabilities(
            idempotency=attempt.IdempotencyClass.A if is_keyed else attempt.IdempotencyClass.C,
            is_paid=self._options.is_paid,
        )
        self._is_repeatable = not self._options.is_paid or is_keyed

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Make one attempt."""
        try:
            payload = await self._payload(request)
        except (json_wire.WireRefused, blobs.BlobMissing, ValueError) as error:
            return self._outcomes.unsent(error)
        call = self._call(request, payload)
        async with self._transport.open(call) as opened:
            if not isinstance(opened, transport.Opened):
                return self._outcomes.loss(opened)
            if 200 <= opened.status < 300 and self._options.response is ResponseForm.ARTIFACT:
                return await self._completed_medium(opened, request)
            reply = await transport.whole(opened)
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        if 200 <= reply.status < 300:
            return await self._completed_json(reply, request)
        return self._refused(reply)

    async def check(self) -> str | None:
        """Ask ``health_path`` when there is one, else open a connection and close it."""
        if self._options.health_path is None:
            return await self._transport.probe(self._base_url, timeout_s=endpoints.CHECK_TIMEOUT_S)
        return await self._trouble_at(self._options.health_path, self._headers)

    async def _payload(self, request: provider.ProviderRequest) -> media.Payload:
        if self._options.artifacts is ArtifactForm.BODY:
            found = media.artifacts_in(request.input)
            if len(found) != 1 or len(request.input) != 1:
                raise json_wire.WireRefused('artifacts = "body" needs an input of one artifact and nothing else')
            return media.Payload(media_type=found[0].media_type, body=await request.artifacts.read(found[0]))
        given: identity.JsonValue = request.input
        if media.has_artifact(request.input):
            given = await media.write_out(
                request.input,
                reader=request.artifacts,
                as_data_url=self._options.artifacts is ArtifactForm.DATA_URL,
            )
        body = json_wire.write_json(templates.body(self._options.body, request, given))
        return media.Payload(media_type="application/json", body=body)

    def _call(self, request: provider.ProviderRequest, payload: media.Payload) -> transport.Call:
        headers = {**self._headers, "Content-Type": payload.media_type}
        if self._options.idempotency_header is not None:
            headers[self._options.idempotency_header] = request.idempotency_key
        path = self._options.path
        if "{model}" in path:
            path = path.replace("{model}", parse.quote(request.model, safe=""))
        return transport.Call(
            method=self._options.method.value,
            url=self._base_url + path,
            headers=headers,
            body=payload.body,
            timeout_s=self._timeout_s(request),
            is_repeatable=self._is_repeatable,
            reply_bytes_max=self._options.response_bytes_max,
        )

    async def _completed_medium(self, opened: transport.Opened, request: provider.ProviderRequest) -> settle.Outcome:
        claimed = transport.media_type(opened.headers)
        if claimed in ("text/html", "application/xhtml+xml"):
            reply = await transport.whole(opened)
            body = reply.body if isinstance(reply, transport.Reply) else b""
            return self._outcomes.bad("a page came instead of a medium", body)
        try:
            stored = await request.artifacts.write(
                opened.chunks, media_type=None if claimed in ("", "application/octet-stream") else claimed
            )
        except transport.BodyLost as error:
            return self._outcomes.loss(error.lost)
        except blobs.BlobRefused as error:
            return self._outcomes.blob_refused(error)
        except OSError as error:
            return self._outcomes.not_stored(error)
        return settle.Completed(output=_place(self._options.output, stored), told=self._told(opened.headers, None))

    async def _completed_json(self, reply: transport.Reply, request: provider.ProviderRequest) -> settle.Outcome:
        if reply.media_type != "application/json" and not reply.media_type.endswith("+json"):
            kind = reply.media_type or "no content type"
            return self._outcomes.bad(f"JSON was to come, {kind} came", reply.body)
        try:
            whole = json_wire.parse_json(reply.body)
            output = json_wire.follow(whole, self._options.output)
            for pointer in self._options.output_artifacts:
                data, claimed = media.decode_medium(json_wire.follow(output, pointer))
                stored = await request.artifacts.write(data, media_type=claimed)
                output = json_wire.replaced(output, pointer, stored.as_json())
        except json_wire.WireRefused as error:
            return self._outcomes.bad(f"the answer {error}; it begins", reply.body)
        except blobs.BlobRefused as error:
            return self._outcomes.blob_refused(error)
        except OSError as error:
            return self._outcomes.not_stored(error)
        cost = self._options.cost_usd
        return settle.Completed(
            output=output,
            cost_nano_usd=json_wire.cost_nano_usd(whole, cost) if cost else None,
            told=self._told(reply.headers, whole),
        )

    def _refused(self, reply: transport.Reply) -> settle.Outcome:
        code = ""
        if reply.media_type == "application/json" or reply.media_type.endswith("+json"):
            try:
                found = json_wire.follow(json_wire.parse_json(reply.body), self._options.error_code)
                code = found if isinstance(found, str) else str(found) if isinstance(found, int) else ""
            except json_wire.WireRefused:
                code = ""  # an error without a code is classified by its status
        fault = http_faults.fault_of(reply.status, code, table=self._options.faults)
        return self._outcomes.refused(reply, fault, heard=self._told(reply.headers, None))

    def _told(self, headers: Mapping[str, str], whole: identity.JsonValue) -> told.Told:
        """Read what an answer tells of limits, and of what the call used where the options say it stands."""
        return limits.read(
            headers,
            now_s=time.time(),
            tokens=json_wire.count(whole, self._options.used_tokens),
            images=json_wire.count(whole, self._options.used_images),
        )


def _place(pointer: str, stored: artifact.Artifact) -> identity.JsonValue:
    """Put a medium's reference where ``output`` says: at the top, or under the one name of ``/name``."""
    return {pointer[1:]: stored.as_json()} if pointer else stored.as_json()
