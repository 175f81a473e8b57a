"""The gateway before the real `openai` adapter and OpenAI's twin, asked by OpenAI's client; it is paid once."""

import pathlib
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from heddle import wiring
from heddle.config import deployment
from heddle.providers import transport
from heddle.store import apply
from heddle.twins.kit import faults as twin_faults
from heddle.twins.kit import ledger, options, server
from heddle.twins.openai import twin
from tests import pg
from tests.integration import gateway_site

pytestmark = pytest.mark.asyncio(loop_scope="module")
ASK: list[Any] = [{"role": "user", "content": "What is on the table?"}]
OPERATIONS = {"chat": "gpt-4o-mini", "embeddings": "text-embedding-3-small", "images_generate": "gpt-image-1"}
ENDPOINT = """
[endpoints.{operation}]
adapter = "openai"
url = "{url}/v1"
operation = "{operation}"
model_name = "{model}"
price_usd = "0.01"
secret = "env:GATEWAY_TEST_KEY"
scopes = ["vendor"]
[[routes]]
model = "{operation}"
endpoint = "{operation}"
"""


class Opened:
    """Hold what a test needs: a client of the gateway, the site, and the twin's books."""

    def __init__(self, site: gateway_site.Site, client: openai.AsyncOpenAI, books: pathlib.Path) -> None:
        self.site = site
        self.client = client
        self._books = books

    def payments(self) -> int:
        """Tell how many times the vendor was paid."""
        return len(ledger.read(self._books).paid)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def opened(database: pg.Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Opened]:
    folder: pathlib.Path = tmp_path_factory.mktemp("gateway")
    books = folder / "paid.jsonl"
    plan = twin_faults.Plan(seed=7, latency_s=0.02, rates=twin_faults.Rates())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATEWAY_TEST_KEY", options.DEFAULT_API_KEY)
        async with server.Running(twin.OpenaiTwin(options.Options(ledger=books, plan=plan))) as there:
            text = "[scopes.vendor]\nconcurrency = 10\n" + "".join(
                ENDPOINT.format(operation=operation, model=model, url=there.url)
                for operation, model in OPERATIONS.items()
            )
            with database.connect() as connection, connection.transaction(), connection.cursor() as cursor:
                apply.apply(cursor, deployment.parse(text, file="heddle.toml"))
            lines = transport.Transport(connections_max=10)
            async with (
                gateway_site.open_site(
                    database, folder, build=lambda row: wiring.provider_of(row, lines), is_deployed=True
                ) as site,
                openai.AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client,
            ):
                yield Opened(site, client, books)


async def test_chat_when_whole_then_the_answer_and_what_it_used_come_through_paid_once(opened: Opened) -> None:
    before = opened.payments()

    raw = await opened.client.chat.completions.with_raw_response.create(model="chat", messages=ASK)
    answer = raw.parse()

    run = await gateway_site.run_of(raw.headers["x-request-id"])
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    assert run.output["choices"][0]["message"]["content"] == answer.choices[0].message.content
    assert run.cost_nano_usd > 0
    assert opened.payments() == before + 1


async def test_chat_when_streamed_then_the_pieces_are_the_answer_that_was_kept_paid_once(opened: Opened) -> None:
    before = opened.payments()

    texts, used, names = [], 0, set()
    async for chunk in await opened.client.chat.completions.create(
        model="chat", messages=ASK, stream=True, stream_options={"include_usage": True}
    ):
        texts += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        used = chunk.usage.total_tokens if chunk.usage else used
        names.add(chunk.id)

    with opened.site.database.connect() as connection:
        row = connection.execute("select output from heddle_step order by run_id desc limit 1").fetchone()
    assert row is not None
    assert "".join(texts) == row[0]["choices"][0]["message"]["content"]
    assert len(texts) > 1
    assert used > 0
    assert len(names) == 1
    assert opened.payments() == before + 1


async def test_embeddings_then_each_text_has_its_vector(opened: Opened) -> None:
    answer = await opened.client.embeddings.create(model="embeddings", input=["one", "two"])

    assert [each.index for each in answer.data] == [0, 1]
    assert len(answer.data[0].embedding) == len(answer.data[1].embedding) > 1


async def test_images_then_the_picture_is_kept_and_its_link_gives_it(opened: Opened) -> None:
    answer = await opened.client.images.generate(model="images_generate", prompt="a cup on marble")

    assert answer.data
    found = await opened.client._client.get(answer.data[0].url or "")
    assert found.headers["content-type"].startswith("image/")
    assert len(found.content) > 100
