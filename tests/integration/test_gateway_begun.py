"""What has begun to be answered ends in its own form, or with its connection: never with a second answer inside it."""

import asyncio
import http.client
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

from heddle import wiring
from heddle.client import links
from heddle.core import settle
from tests import pg
from tests.integration import gateway_site
from tests.races import scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
ASK: list[Any] = [{"role": "user", "content": "Say hello."}]
FILE = bytes(range(256)) * 1_024


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(database: pg.Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[gateway_site.Site]:
    async with gateway_site.open_site(database, tmp_path_factory.mktemp("gateway")) as made:
        yield made


async def streamed(site: gateway_site.Site, *pieces: Any, answer: settle.Outcome) -> list[Any]:
    """Ask for a stream and give its chunks. Raises what OpenAI's client makes of it."""
    site.talker.will((pieces, answer))
    async with openai.AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        return [chunk async for chunk in await client.chat.completions.create(model="chat", messages=ASK, stream=True)]


async def linked(site: gateway_site.Site) -> str:
    """Keep a file and give the path of its link."""
    reference = await scene.in_thread(lambda: wiring.client().upload(FILE))
    limits = site.parts.settings
    made = links.Links(root_url="", secret_key=limits.secret_key, lasts_s=60.0, now_s=time.time)
    return made.link("default", reference)


class Failing:
    """Be the store of files, but fail after the first kilobyte of one."""

    def __init__(self, given: Any) -> None:
        self._blobs = given

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    async def read(self, *, tenant: str, sha256: str) -> AsyncIterator[bytes]:
        """Give the first kilobyte."""
        yield (await anext(aiter(self._blobs.read(tenant=tenant, sha256=sha256))))[:1_024]
        raise OSError("the disk is gone")


async def test_file_when_it_cannot_be_read_to_its_end_then_nothing_else_is_sent_for_it_and_the_connection_ends(
    site: gateway_site.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await linked(site)
    monkeypatch.setattr(site.parts, "blobs", Failing(site.parts.blobs))
    got = list[bytes]()

    async def fetch() -> None:
        async with httpx.AsyncClient(timeout=5.0) as web, web.stream("GET", f"{site.url}{path[3:]}") as found:
            async for piece in found.aiter_bytes():
                got.append(piece)

    with pytest.raises(httpx.RemoteProtocolError):
        await fetch()

    assert b"".join(got) == FILE[:1_024]


async def test_file_when_only_its_head_is_asked_for_then_the_next_answer_on_the_connection_is_whole(
    site: gateway_site.Site,
) -> None:
    path, port = await linked(site), httpx.URL(site.url).port

    def ask() -> tuple[str | None, int, int]:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
        line.request("HEAD", path)
        head = line.getresponse()
        head.read()
        line.request("GET", "/healthz")
        after = line.getresponse()
        return head.getheader("Content-Length"), head.status, after.status

    assert await asyncio.to_thread(ask) == (str(len(FILE)), 200, 200)


async def test_stream_when_what_follows_cannot_be_told_then_an_error_ends_it_in_its_own_form(
    site: gateway_site.Site,
) -> None:
    odd = gateway_site.completion("Hello!") | {"choices": [{"index": "first", "message": {"content": "Hello!"}}]}

    with pytest.raises(openai.APIError, match="not yours"):
        await streamed(site, "Hel", answer=gateway_site.done(odd))


async def test_stream_when_a_text_is_cut_inside_of_a_character_then_its_halves_go_out(site: gateway_site.Site) -> None:
    found = await streamed(site, "Hi ", "\ud83d", "\ude00", answer=gateway_site.done(gateway_site.completion("Hi 😀")))

    assert "".join(choice.delta.content or "" for chunk in found for choice in chunk.choices) == "Hi \ud83d\ude00"


async def test_stream_when_a_model_says_its_content_in_parts_then_they_are_passed_on(site: gateway_site.Site) -> None:
    parts = [{"type": "text", "text": "Hello!"}]
    piece = {"choices": [{"index": 0, "delta": {"content": parts}, "finish_reason": "stop"}]}
    answer = gateway_site.completion("") | {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": parts}, "finish_reason": "stop"}]
    }

    found = await streamed(site, piece, answer=gateway_site.done(answer))

    assert [choice.delta.content for chunk in found for choice in chunk.choices] == [parts]
