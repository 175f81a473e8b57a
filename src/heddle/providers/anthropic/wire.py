"""Write and read the wire form of Anthropic's Messages API: requests, messages, errors, usage and its price.

Pure but for reading artifacts through the reader it is handed. It accepts fields it does not know and refuses a message
without content or usage. Sources: anthropic 2.14.0 (``types/message.py``, ``usage.py``, ``shared/error_response.py``),
https://platform.claude.com/docs/en/about-claude/pricing, read 2026-11-29. Before it: the adapter with a request. After
it: the transport, and on the way back the adapter.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from heddle.core import artifact, identity
from heddle.core.policy import price
from heddle.ports import provider
from heddle.providers import json_wire, media, prices

REQUEST_BYTES_MAX: Final = 32 * 1024**2  # …/api/errors, "Request size limits": Messages API 32 MB
VERSION: Final = "2026-10-21"  # …/api/versioning: "recommends using the latest API version"; 2023-06-01 is served too
# Base64ImageSourceParam and Base64PDFSourceParam of the package.
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_OURS: Final = ("model", "stream")
# Cache writes cost 1.25 times the input price, or twice for an hour, with every model listed (…/about-claude/pricing).
_WRITE_5M_QUARTERS: Final = 5
_WRITE_1H_QUARTERS: Final = 8
_MILLION: Final = 1_000_000


class RequestRefused(ValueError):
    """Say why an input cannot be sent."""


async def write(
    given: Mapping[str, identity.JsonValue], *, model: str, is_streamed: bool, reader: provider.ArtifactReader
) -> bytes:
    """Write the body of ``POST /v1/messages``.

    An artifact that stands as a ``source`` becomes its base64 source; one that stands as a content block becomes an
    image, a PDF document or a text document. Raises RequestRefused, media.MediaRefused, or what ``reader`` raises.
    """
    for key in _OURS:
        if key in given:
            raise RequestRefused(f"input.{key} is not the caller's to say; it is set by the endpoint")

    async def block(reference: artifact.Artifact, place: str) -> identity.JsonValue:
        kind = _kind_of(reference, place)
        source = _source_of(reference, await reader.read(reference), place)
        return source if place.endswith(".source") else {"type": kind, "source": source}

    body: dict[str, Any] = dict(await media.sent(dict(given), write=block))
    body["model"] = model
    if is_streamed:
        body["stream"] = True
    written = json.dumps(body, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()
    if len(written) > REQUEST_BYTES_MAX:
        raise RequestRefused(f"the request has {len(written)} bytes; the API takes at most {REQUEST_BYTES_MAX}")
    return written


def _kind_of(reference: artifact.Artifact, place: str) -> str:
    if reference.media_type in _IMAGES:
        return "image"
    if reference.media_type in ("application/pdf", "text/plain"):
        return "document"
    raise RequestRefused(f"{place} is {reference.media_type}; the API takes JPEG, PNG, GIF, WebP, PDF and plain text")


def _source_of(reference: artifact.Artifact, data: bytes, place: str) -> dict[str, str]:
    if reference.media_type != "text/plain":
        text = base64.b64encode(data).decode("ascii")
        return {"type": "base64", "media_type": reference.media_type, "data": text}
    try:
        return {"type": "text", "media_type": "text/plain", "data": data.decode("utf-8")}
    except UnicodeDecodeError:
        raise RequestRefused(f"{place} is no text in UTF-8") from None


def headers(*, secret: str, version: str, betas: Sequence[str]) -> dict[str, str]:
    """Write the headers that every request carries."""
    written = {"x-api-key": secret, "anthropic-version": version}
    return {**written, "anthropic-beta": ",".join(betas)} if betas else written


def read_message(body: bytes) -> json_wire.JsonObject:
    """Read a whole message. Raises AnswerRefused."""
    return checked_message(json_wire.read_object(body))


def checked_message(message: json_wire.JsonObject) -> json_wire.JsonObject:
    """Give a message back when it is one that has ended. Raises AnswerRefused."""
    if message.get("type") != "message" or not isinstance(message.get("content"), list):
        raise json_wire.AnswerRefused("it is no message")
    if not isinstance(message.get("stop_reason"), str):
        raise json_wire.AnswerRefused("the message does not say why it ended")
    return message


def read_error(body: bytes) -> tuple[tuple[str, ...], str]:
    """Read an error's codes and the request's id, which is empty when there is none."""
    try:
        value = json_wire.read_object(body)
    except json_wire.AnswerRefused:
        return (), ""
    return error_codes(value), json_wire.read_text(value, "request_id")[:80]


def error_codes(value: json_wire.JsonObject) -> tuple[str, ...]:
    """Read the codes of an error object, the more precise one first: ``details.error_code`` and its type."""
    error = json_wire.read_part(value, "error")
    found = json_wire.read_text(json_wire.read_part(error, "details"), "error_code"), json_wire.read_text(error, "type")
    return tuple(code for code in found if code)


def tokens_of(usage: json_wire.JsonObject) -> int | None:
    """Count all tokens of a usage, cached ones included; None when it names none."""
    counts = [json_wire.read_count(usage, key) for key in _COUNTED]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


_COUNTED: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def cost_nano_usd(usage: json_wire.JsonObject, *, model: str) -> int | None:
    """Give the list price of a usage; None for a model or a way of serving whose price is not listed.

    Other tiers and speeds, a region of one's own, the server's own tools, and compactions, fallbacks and advisors are
    charged by rules that are not listed.
    """
    listed = prices.of(prices.read("anthropic"), model, adapter="anthropic")
    plain, output = (json_wire.read_count(usage, key) for key in ("input_tokens", "output_tokens"))
    if listed is None or plain is None or output is None or _is_unlisted(usage):
        return None
    read = json_wire.read_count(usage, "cache_read_input_tokens") or 0
    counted = price.Usage(input_tokens=plain + read, cached_input_tokens=read, output_tokens=output)
    cost = price.cost_nano_usd(listed, counted)
    return None if cost is None else cost + _cost_of_writes(usage, listed.input_per_mtok)


def _cost_of_writes(usage: json_wire.JsonObject, input_per_mtok: int) -> int:
    """Give what cache writes cost, rounded up to a nano-dollar as every other part is."""
    written = json_wire.read_count(usage, "cache_creation_input_tokens") or 0
    by_hour = json_wire.read_count(json_wire.read_part(usage, "cache_creation"), "ephemeral_1h_input_tokens") or 0
    by_hour = min(by_hour, written)
    quarters = _WRITE_5M_QUARTERS * (written - by_hour) + _WRITE_1H_QUARTERS * by_hour
    return -(-input_per_mtok * quarters // (4 * _MILLION))


def _is_unlisted(usage: json_wire.JsonObject) -> bool:
    tools = json_wire.read_part(usage, "server_tool_use")
    return (
        usage.get("service_tier") not in (None, "standard")
        or usage.get("speed") not in (None, "standard")
        or usage.get("inference_geo") not in (None, "global", "not_available")
        or any(json_wire.read_count(tools, key) for key in tools)
        or usage.get("fallback_credit") is not None
        or _has_other_work(usage)
    )


def _has_other_work(usage: json_wire.JsonObject) -> bool:
    """Tell whether more was billed than the usage says at its top: a compaction's tokens are "not included" there, and
    a fallback's or an advisor's are another model's (anthropic 2.14.0, ``types/beta/beta_usage.py``).
    """
    listed = usage.get("iterations")
    entries = listed if isinstance(listed, list) else []
    return any(not isinstance(each, dict) or each.get("type") != "message" for each in entries)
