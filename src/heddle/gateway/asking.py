"""Read a request: whose key it has, its JSON, its preferences; and tell callers what is left of their quota.

Keys are those of ``/v1``, remembered for a few seconds; a key is looked up in a thread when it is not. Nothing of a
body is believed here but that it is a JSON object within bounds.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from heddle.client import admission, keys
from heddle.core import run
from heddle.core.policy import quota
from heddle.gateway import house as house_module
from heddle.gateway import refusals
from heddle.ports import records
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events

KEY_HEADER = "Idempotency-Key"
_WAIT = re.compile(r"(?:^|,)\s*wait(?:\s*=\s*\"?(\d{1,6})\"?)?\s*(?=[,;]|$)", re.IGNORECASE)
_SPAN = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s?)?\Z")
_SCHEMES = ("bearer", "token")
_TIERS = {"flex": run.Priority.BATCH, "batch": run.Priority.BATCH}


async def caller(request: web.Request, scope: str) -> records.ApiKeyView:
    """Give the key's view. Raises Refusal 401 or 403."""
    scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
    token = presented.strip()
    if scheme.lower() not in _SCHEMES:
        raise _refused("", "The Authorization header is missing or is not `Bearer hd_…`.")
    view = await _find(house_module.of(request), token) if keys.is_key(token) else None
    if view is None:
        raise _refused(token, "The key is not valid: it is unknown, revoked or expired.")
    if not keys.may(view.scopes, scope):
        held = ", ".join(sorted(view.scopes)) or "none"
        message = f"This needs the scope {scope}; the key has {held}."
        raise refusals.Refusal(status=403, code="scope_missing", message=message, may_repeat=False)
    request[house_module.KEY] = view
    return view


async def _find(house: house_module.House, token: str) -> records.ApiKeyView | None:
    hashed = keys.key_hash(token)
    keyring = house.heddle.keyring
    return keyring.remembered(hashed) or await house.threads.ask(lambda: keyring.find(hashed))


def _refused(presented: str, detail: str) -> refusals.Refusal:
    recorder.event(events.KEY_REFUSED, key=presented[-4:] if keys.is_key(presented) else "", reason=detail)
    return refusals.Refusal(status=401, code="invalid_api_key", message=detail, may_repeat=False)


async def body(request: web.Request) -> dict[str, Any]:
    """Read a JSON object, which has come within ``gateway_wait_s``. Raises Refusal."""
    limits = house_module.of(request).limits
    if (request.content_length or 0) > limits.gateway_request_bytes_max:
        raise refusals.too_large(f"The body has more than {limits.gateway_request_bytes_max} bytes.")
    try:
        async with asyncio.timeout(limits.gateway_wait_s):
            raw = await request.read()
    except TimeoutError as error:
        raise refusals.late(within_s=limits.gateway_wait_s) from error
    except web.HTTPRequestEntityTooLarge as error:
        raise refusals.too_large(f"The body has more than {limits.gateway_request_bytes_max} bytes.") from error
    except web.RequestPayloadError as error:
        raise refusals.invalid(f"The body cannot be read: {error}"[:300], code="malformed_body") from error
    try:
        found = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refusals.invalid(f"The body is not JSON: {str(error)[:120]}", code="malformed_json") from error
    if not isinstance(found, dict):
        raise refusals.invalid("The body must be a JSON object.", code="malformed_json")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def idempotency_key(request: web.Request, house: house_module.House) -> str | None:
    """Give the key of a request. Raises Refusal when it is malformed, or missing where it is required."""
    key = request.headers.get(KEY_HEADER)
    if key is None and house.limits.idempotency_required:
        message = "This installation takes no request without an Idempotency-Key."
        raise refusals.invalid(message, code="idempotency_key_required")
    found = admission.key_problems(key, field=KEY_HEADER)
    if found:
        raise refusals.invalid(f"{KEY_HEADER} {found[0].message}.", field=KEY_HEADER)
    return key


def priority_of(given: Mapping[str, Any], *, usual: run.Priority) -> run.Priority:
    """Give the class of a call: ``service_tier`` flex or batch waits behind others, everything else is usual."""
    tier = given.get("service_tier")
    return _TIERS.get(tier, usual) if isinstance(tier, str) else usual


def wait_s(request: web.Request, *, longest_s: float) -> float | None:
    """Give the seconds of ``Prefer: wait`` or ``wait=N``, at most ``longest_s``; None when it is not asked for."""
    found = _WAIT.search(request.headers.get("Prefer", ""))
    if found is None:
        return None
    return longest_s if found[1] is None else min(float(found[1]), longest_s)


def span_s(text: str | None, *, field: str) -> float | None:
    """Read a span such as ``90``, ``90s``, ``5m`` or ``1h30m`` in seconds. Raises Refusal."""
    if text is None:
        return None
    found = _SPAN.match(text.strip())
    if found is None or not any(found.groups()):
        raise refusals.invalid(f"{field} must be a time such as 90s, 5m or 1h30m", field=field)
    hours, minutes, seconds = (int(group or 0) for group in found.groups())
    return float(hours * 3_600 + minutes * 60 + seconds)


async def rate_headers(house: house_module.House, tenant: records.Tenant) -> dict[str, str]:
    """Tell what a tenant may take and has left, in the names that OpenAI's clients read; nothing without a bound."""
    bounds = tenant.quota
    if bounds.runs_per_min is None:
        return {}
    use = await house.threads.ask(lambda: house.heddle.backpressure.use(tenant))
    if use is None:
        return {}
    return {
        "x-ratelimit-limit-requests": str(bounds.runs_per_min),
        "x-ratelimit-remaining-requests": str(quota.remaining(bounds, use) or 0),
        "x-ratelimit-reset-requests": f"{quota.resets_in_s(use)}s",
    }
