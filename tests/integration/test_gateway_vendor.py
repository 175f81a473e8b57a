"""The gateway before the real `openai` adapter and a vendor that streams, asked by OpenAI's own client."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from aiohttp import web

from heddle import wiring
from heddle.config import deployment
from heddle.providers import transport
from heddle.store import apply
from tests import pg
from tests.integration import gateway_site

pytestmark = pytest.mark.asyncio(loop_scope="module")
TEXT = ["Good", " day", ", dear", " customer", "."]
CONFIG = """
[endpoints.vendor]
adapter = "openai"
url = "{url}"
operation = "chat"
model_name = "vendor-1"
price_usd = "0.01"
secret = "env:GATEWAY_TEST_KEY"
scopes = ["vendor"]
[scopes.vendor]
concurrency = 10
[[routes]]
model = "writer"
endpoint = "vendor"
"""


class Vendor:
    """Answer chat completions as OpenAI does, a stream where one is asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.half = asyncio.Event()
        self.half.set()

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        head = {"id": "chatcmpl-7", "created": 7, "model": "vendor-1"}
        usage = {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "".join(TEXT)}, "finish_reason": "stop"}
            return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, text in enumerate(TEXT):
            if number == 2:
                await self.half.wait()
            await self._chunk(response, head, {"index": 0, "delta": {"content": text}, "finish_reason": None})
        await self._chunk(response, head, {"index": 0, "delta": {}, "finish_reason": "stop"})
        last = {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}
        await response.write(b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n")
        return response

    async def _chunk(self, response: web.StreamResponse, head: dict[str, Any], choice: dict[str, Any]) -> None:
        chunk = {**head, "object": "chat.completion.chunk", "choices": [choice]}
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


@contextlib.asynccontextmanager
async def open_vendor() -> AsyncIterator[tuple[Vendor, str]]:
    vendor, application = Vendor(), web.Application()
    application.add_routes([web.post("/v1/chat/completions", vendor.complete)])
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield vendor, f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def opened(
    database: pg.Database, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Vendor, gateway_site.Site]]:
    folder: pathlib.Path = tmp_path_factory.mktemp("gateway")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATEWAY_TEST_KEY", "sk-vendor")
        async with open_vendor() as (vendor, url):
            with database.connect() as connection, connection.transaction(), connection.cursor() as cursor:
                apply.apply(cursor, deployment.parse(CONFIG.format(url=url), file="heddle.toml"))
            lines = transport.Transport(connections_max=10)
            async with gateway_site.open_site(
                database, folder, build=lambda row: wiring.provider_of(row, lines), is_deployed=True
            ) as site:
                yield vendor, site


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_chat_when_the_vendor_is_openais_api_then_the_answer_and_what_it_used_come_through(
    opened: tuple[Vendor, gateway_site.Site], is_streamed: bool
) -> None:
    vendor, site = opened
    async with openai.AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client:
        ask: list[Any] = [{"role": "user", "content": "Greet."}]

        if is_streamed:
            texts, total = [], 0
            vendor.half.clear()
            async for chunk in await client.chat.completions.create(
                model="writer", messages=ask, stream=True, stream_options={"include_usage": True}
            ):
                texts += [choice.delta.content for choice in chunk.choices if choice.delta.content]
                total = chunk.usage.total_tokens if chunk.usage else total
                if len(texts) == 2:
                    vendor.half.set()
        else:
            answer = await client.chat.completions.create(model="writer", messages=ask)
            texts, total = [answer.choices[0].message.content or ""], answer.usage.total_tokens if answer.usage else 0

    assert "".join(texts) == "".join(TEXT)
    assert len(texts) == (len(TEXT) if is_streamed else 1)
    assert total == 9
    assert vendor.asked[-1]["model"] == "vendor-1"
    assert bool(vendor.asked[-1].get("stream")) is is_streamed
