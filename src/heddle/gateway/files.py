"""Carry files in and out: data URLs and our own links in a body become artifacts, artifacts in an answer become links
or base64.

Links are made by ``client.links`` and read here. Text that is no file stays as it is.
"""

import base64
import binascii
import hmac
import json
import re
import time
from typing import Any

from aiohttp import hdrs, web

from heddle.client import links, media, values
from heddle.core import artifact
from heddle.gateway import asking, carry, refusals, uploads
from heddle.gateway import house as house_module
from heddle.ports import records
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

DATA_CHARACTERS_LEAST = 2_048
"""Shorter data URLs stay in the body: a row of the database holds them as well as a file."""
TOKEN_CHARACTERS_MAX = 600
FILES_MAX = 64
UPLOADED = "content"
_DATA = re.compile(r"data:([a-zA-Z0-9.+/\-]{1,100})?(?:;[a-zA-Z0-9=\-]{1,50})*;base64,")


# In


async def taken_in(house: house_module.House, tenant: records.Tenant, value: Any) -> tuple[Any, bool]:
    """Give a body with its files as artifacts, and whether there are any. Raises Refusal, BlobRefused."""
    found: list[artifact.Artifact] = []
    taken = await _taken(house, tenant, value, found, depth=0)
    return taken, bool(found)


async def _taken(
    house: house_module.House, tenant: records.Tenant, value: Any, found: list[artifact.Artifact], *, depth: int
) -> Any:
    if depth > values.NESTING_MAX:
        raise refusals.invalid(f"the body is nested more than {values.NESTING_MAX} deep")
    if isinstance(value, dict):
        return {name: await _taken(house, tenant, item, found, depth=depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [await _taken(house, tenant, item, found, depth=depth + 1) for item in value]
    if not isinstance(value, str):
        return value
    reference = await _reference(house, tenant, value)
    if reference is None:
        return value
    found.append(reference)
    if len(found) > FILES_MAX:
        raise refusals.invalid(f"the body has more than {FILES_MAX} files")
    return reference


async def _reference(house: house_module.House, tenant: records.Tenant, text: str) -> artifact.Artifact | None:
    if text.startswith("data:") and len(text) >= DATA_CHARACTERS_LEAST:
        match = _DATA.match(text)
        if match is None:
            return None
        try:
            content = base64.b64decode(text[match.end() :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise refusals.invalid("a data URL is not valid base64") from error
        return await stored(house, tenant, content, media_type=match[1])
    path = house.own_path(text) if text.startswith("http") else None
    if path is not None and path.startswith(links.FILES_PATH):
        owner, sha256 = read_token(house, path.removeprefix(links.FILES_PATH))
        if owner != tenant.name:
            raise refusals.not_found("There is no such file.")
        text = f"sha256:{sha256}"
    if not links.is_artifact_id(text):
        return None
    identifier = text
    known = await house.threads.ask(lambda: house.heddle.find_artifact(identifier, tenant=tenant))
    if known is None:
        raise refusals.invalid(f"{identifier} is not a file of yours; upload it first")
    return known


async def stored(
    house: house_module.House, tenant: records.Tenant, content: bytes, *, media_type: str | None
) -> artifact.Artifact:
    """Keep bytes as an artifact of the tenant. Raises BlobRefused."""
    claimed = None if media_type in (None, "application/octet-stream") else media_type
    reference = await house.threads.ask(lambda: house.heddle.upload(content, media_type=claimed, tenant=tenant))
    recorder.event(events.ARTIFACT_STORED, size_bytes=reference.size_bytes)
    recorder.count(metrics.ARTIFACTS, 1, direction="stored")
    recorder.count(metrics.ARTIFACT_BYTES, reference.size_bytes, direction="stored")
    return reference


# Out


def link(house: house_module.House, tenant: records.Tenant, reference: artifact.Artifact) -> str:
    """Give the address at which a file can be fetched for ``gateway_link_s``."""
    return house.places.links.link(tenant.name, reference)


async def in_base64(house: house_module.House, tenant: records.Tenant, reference: artifact.Artifact) -> str:
    """Give the bytes of a file in base64. Raises BlobMissing."""
    chunks = [chunk async for chunk in house.parts.blobs.read(tenant=tenant.name, sha256=reference.sha256)]
    return base64.b64encode(b"".join(chunks)).decode("ascii")


# Links


def read_token(house: house_module.House, token: str) -> tuple[str, str]:
    """Give the tenant and hash a link was made for. Raises Refusal when it is not ours, or over."""
    tenant, sha256, _, _ = _read(house, token)
    return tenant, sha256


def _read(house: house_module.House, token: str) -> tuple[str, str, str, int]:
    text, _, signature = token[:TOKEN_CHARACTERS_MAX].partition(".")
    if not hmac.compare_digest(signature.encode(errors="replace"), house.places.links.signature(text).encode()):
        raise refusals.not_found("There is no such file.")
    tenant, sha256, media_type, size_bytes, until = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    if time.time() > until:
        raise refusals.not_found("The link is over; ask for the result again.", code="link_over")
    return str(tenant), str(sha256), str(media_type), int(size_bytes)


async def download(request: web.Request) -> web.StreamResponse:
    """Stream the file of a link."""
    house = house_module.of(request)
    tenant, sha256, media_type, size_bytes = _read(house, request.match_info["token"])
    reference = artifact.Artifact(sha256=sha256, media_type=media_type, size_bytes=size_bytes)
    stream = house.parts.blobs.read(tenant=tenant, sha256=sha256)
    # The first piece is read before the head is sent, so that bytes that are gone are a 404 and not a broken 200.
    first = await anext(aiter(stream), b"")
    response = web.StreamResponse(headers=media.headers(reference))
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    within_s = house.limits.gateway_wait_s
    await carry.write(request, response, first, within_s=within_s)
    async for chunk in stream:
        await carry.write(request, response, chunk, within_s=within_s)
    recorder.count(metrics.ARTIFACTS, 1, direction="served")
    recorder.count(metrics.ARTIFACT_BYTES, reference.size_bytes, direction="served")
    return response


async def upload(request: web.Request) -> web.Response:
    """Take a file in Replicate's form: one part named ``content``; what comes back names it in later bodies."""
    house = house_module.of(request)
    view = await asking.caller(request, "write")
    limits = house.limits
    within = uploads.bounds(limits, text_bytes_max=limits.artifact_bytes_max, files_max=FILES_MAX)
    async with carry.place(house):
        sent = await uploads.parts(request, within=within, field=UPLOADED)
        part = next((each for each in sent if each.name == UPLOADED), None)
        if part is None:
            raise refusals.invalid(f"the body has no part named {UPLOADED}", field=UPLOADED)
        reference = await stored(house, view.tenant, part.content, media_type=part.media_type)
    return web.json_response(_shown(house, view.tenant, reference), status=201)


def _shown(house: house_module.House, tenant: records.Tenant, reference: artifact.Artifact) -> dict[str, Any]:
    now_s = time.time()
    return {
        "id": reference.id,
        "name": reference.sha256[:16],
        "content_type": reference.media_type,
        "size": reference.size_bytes,
        "checksums": {"sha256": reference.sha256},
        "etag": reference.sha256,
        "metadata": {},
        "created_at": _instant(now_s),
        "expires_at": _instant(now_s + house.limits.gateway_link_s),
        "urls": {"get": link(house, tenant, reference)},
    }


def _instant(unix_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))
