"""Bodies that come slowly, are too large or cannot be read are answered in their sender's shape, in bounded time."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests import pg
from tests.integration import gateway_site, working

pytestmark = pytest.mark.asyncio(loop_scope="module")
BODY_BYTES_MAX = 100_000
WAIT_S = 2.0
FORM = "multipart/form-data; boundary=b"
SHAPES = [("/chat/completions", "error"), ("/responses", "error"), ("/predictions", "detail"), ("/files", "detail")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(database: pg.Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[gateway_site.Site]:
    limits: dict[str, Any] = {"gateway_request_bytes_max": BODY_BYTES_MAX, "gateway_inline_bytes_max": BODY_BYTES_MAX}
    async with gateway_site.open_site(
        database, tmp_path_factory.mktemp("gateway"), gateway_requests_max=1, gateway_wait_s=WAIT_S, **limits
    ) as made:
        yield made


async def posted(site: gateway_site.Site, path: str, body: bytes, **headers: str) -> httpx.Response:
    """Post a body as it is."""
    media_type = FORM if path == "/files" else "application/json"
    named = {"Authorization": f"Bearer {site.key}", "Content-Type": media_type, **headers}
    async with httpx.AsyncClient(timeout=working.PATIENCE_S) as web:
        return await web.post(f"{site.url}{path}", content=body, headers=named)


@contextlib.asynccontextmanager
async def begun(
    site: gateway_site.Site, path: str, length: str, body: bytes = b""
) -> AsyncIterator[asyncio.StreamReader]:
    """Send the head of a request, and nothing of its body but what is given."""
    address = httpx.URL(site.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = [f"POST /v1{path} HTTP/1.1", "Host: a", f"Authorization: Bearer {site.key}", length, f"Content-Type: {FORM}"]
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    try:
        async with asyncio.timeout(working.PATIENCE_S):
            yield reader
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    """Read one answer: its status and its JSON."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    size = next(line for line in head.split("\r\n") if line.lower().startswith("content-length"))
    return int(head.split()[1]), json.loads(await reader.readexactly(int(size.partition(":")[2])))


@pytest.mark.parametrize(("path", "member"), SHAPES)
async def test_body_when_it_stands_still_then_it_holds_a_place_for_the_longest_wait_and_no_longer(
    site: gateway_site.Site, path: str, member: str
) -> None:
    async with begun(site, path, "Content-Length: 100") as reader:
        full = await until_busy(site, path)
        status, told = await answer(reader)

    assert (full.status_code, status) == (503, 408)
    assert member in full.json()
    assert member in told


async def test_stream_when_its_caller_takes_nothing_of_it_then_it_holds_a_place_for_the_longest_wait_and_no_longer(
    site: gateway_site.Site,
) -> None:
    site.talker.will((("x" * 100_000,) * 200, gateway_site.done(gateway_site.completion("x"))))
    given = {"model": "chat", "messages": [], "stream": True}
    body = json.dumps(given).encode()

    async with begun(site, "/chat/completions", f"Content-Length: {len(body)}", body):
        await until_busy(site, "/predictions")
        await working.until(lambda: bool(site.talker.asked))
        async with asyncio.timeout(working.PATIENCE_S):
            while (found := await posted(site, "/predictions", b"")).status_code == 503:
                pass

    assert found.status_code == 400


@pytest.mark.parametrize(
    ("path", "allowed"), [("/chat/completions", {"POST"}), ("/models", {"GET", "HEAD"}), ("/files/x", {"GET", "HEAD"})]
)
async def test_path_when_the_method_does_not_fit_then_the_answer_names_those_that_do(
    site: gateway_site.Site, path: str, allowed: set[str]
) -> None:
    async with httpx.AsyncClient() as client:
        refused = await client.delete(f"{site.url}{path}")

    assert (refused.status_code, refused.json()["error"]["code"]) == (405, "method_not_allowed")
    assert set(refused.headers["Allow"].split(",")) == allowed


async def until_busy(site: gateway_site.Site, path: str) -> httpx.Response:
    """Ask until the place is taken; what is asked for before is refused, since its body is nothing."""
    async with asyncio.timeout(working.PATIENCE_S):
        while True:
            found = await posted(site, path, b"")
            if found.status_code == 503:
                return found


@pytest.mark.parametrize(("path", "member"), SHAPES)
async def test_body_when_its_announced_length_is_too_large_then_it_is_refused_before_a_byte_is_read(
    site: gateway_site.Site, path: str, member: str
) -> None:
    async with begun(site, path, f"Content-Length: {10**9}") as reader:
        status, told = await answer(reader)

    assert status == 413
    assert member in told


@pytest.mark.parametrize(("path", "member"), SHAPES)
async def test_body_when_it_is_not_in_the_encoding_it_names_then_it_is_refused_and_nothing_is_logged(
    site: gateway_site.Site, caplog: pytest.LogCaptureFixture, path: str, member: str
) -> None:
    found = await posted(site, path, b"no gzip", **{"Content-Encoding": "gzip"})

    assert found.status_code == 400, found.text
    assert member in found.json()
    assert "request.failed" not in caplog.text


@pytest.mark.parametrize(("path", "member"), SHAPES[:3])
async def test_body_when_it_grows_too_large_without_saying_so_then_it_is_refused_in_its_shape(
    site: gateway_site.Site, path: str, member: str
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * (BODY_BYTES_MAX // 2)

    headers = {"Authorization": f"Bearer {site.key}"}
    async with httpx.AsyncClient(timeout=working.PATIENCE_S) as web:
        found = await web.post(f"{site.url}{path}", content=pieces(), headers=headers)

    assert found.status_code == 413
    assert member in found.json()


@pytest.mark.parametrize(
    ("path", "given", "status", "words"),
    [
        ("/images/generations", {"model": "mapped", "prompt": "a", "size": "\u00b2x\u00b2"}, 502, "no picture"),
        (
            "/predictions",
            {"version": "mapped", "input": {}, "webhook_events_filter": [[]]},
            422,
            "webhook_events_filter",
        ),
        ("/responses", {"model": "chat", "input": [{"role": "user", "content": [{"type": []}]}]}, 400, "input_text"),
        ("/embeddings", {"model": "mapped", "input": "a"}, 502, "no vectors"),
    ],
)
async def test_body_when_a_value_is_of_no_kind_that_is_known_then_it_is_said_and_nothing_is_logged(
    site: gateway_site.Site, caplog: pytest.LogCaptureFixture, path: str, given: Any, status: int, words: str
) -> None:
    site.talker.will(gateway_site.done({"embedding": [[None]]}))

    found = await posted(site, path, json.dumps(given).encode())

    assert found.status_code == status, found.text
    assert words in found.text
    assert "request.failed" not in caplog.text
