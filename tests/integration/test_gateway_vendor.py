"""The gateway before the real `openai` adapter and OpenAI's twin, asked by OpenAI's client; it is paid once."""

import base64
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
from heddle.store import media as stored_media
from heddle.twins.kit import faults as twin_faults
from heddle.twins.kit import ledger, media, options, server
from heddle.twins.openai import twin
from tests import pg
from tests.integration import gateway_site
from tests.races import scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
ASK: list[Any] = [{"role": "user", "content": "What is on the table?"}]
OPERATIONS = {
    "chat": "gpt-4o-mini",
    "embeddings": "text-embedding-3-small",
    "images_generate": "gpt-image-1",
    "images_edit": "gpt-image-1",
    "responses": "gpt-4o-mini",
}
# A model with names of its own, which its endpoint brings into the vendor's.
SHAPED = """
[endpoints.shaped]
adapter = "openai"
url = "{url}/v1"
operation = "images_edit"
model_name = "gpt-image-1"
price_usd = "0.01"
secret = "env:GATEWAY_TEST_KEY"
scopes = ["vendor"]
[endpoints.shaped.shape]
input = {{ prompt = "{{input.prompt}}", image = ["{{input.image}}", "{{input.garment}}"], size = "{{input.size?}}" }}
output = "{{output.data.0.image}}"
[[routes]]
model = "tryon"
endpoint = "shaped"
"""
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
        return len(self.paid())

    def paid(self) -> tuple[ledger.Paid, ...]:
        """List what the vendor was paid for."""
        return ledger.read(self._books).paid


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
            text += SHAPED.format(url=there.url)
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


async def test_images_when_asked_for_in_base64_then_the_vendor_who_knows_no_such_wish_is_not_told(
    opened: Opened,
) -> None:
    answer = await opened.client.images.generate(
        model="images_generate", prompt="a cup on marble", response_format="b64_json"
    )

    assert answer.data is not None
    assert stored_media.sniff(base64.b64decode(answer.data[0].b64_json or "")[:64]) == "image/png"


async def test_edit_when_pictures_and_a_mask_are_sent_then_the_vendor_edits_them_paid_once_however_often_it_is_asked(
    opened: Opened,
) -> None:
    before = opened.payments()
    named = {"Idempotency-Key": "edit-1"}

    async def edit() -> Any:
        return await opened.client.images.with_raw_response.edit(
            model="images_edit",
            image=[("dress.png", media.png("dress")), ("coat.webp", media.webp("coat"))],
            mask=media.png("mask"),
            prompt="the dress under the coat",
            n=2,
            size="64x128",
            extra_headers=named,
        )

    raw, again = await edit(), await edit()

    answer = raw.parse()
    run = await gateway_site.run_of(raw.headers["x-request-id"])
    pictures = [(await opened.client._client.get(each.url)).content for each in answer.data]
    sizes = [stored_media.picture_size("image/png", memoryview(each)) for each in pictures]
    assert [(size.width_px, size.height_px) for size in sizes if size] == [(64, 128)] * 2
    assert answer.usage.input_tokens_details.image_tokens > 0
    assert again.headers["x-request-id"] == raw.headers["x-request-id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert run.cost_nano_usd > 0
    assert [each.operation for each in opened.paid()[before:]] == ["images_edit"]


async def test_edit_when_one_picture_is_sent_then_it_may_come_back_in_base64(opened: Opened) -> None:
    before = opened.payments()

    answer = await opened.client.images.edit(
        model="images_edit",
        image=media.jpeg("dress"),
        prompt="in linen",
        output_format="jpeg",
        response_format="b64_json",
    )

    assert answer.data is not None
    assert stored_media.sniff(base64.b64decode(answer.data[0].b64_json or "")[:64]) == "image/jpeg"
    assert opened.payments() == before + 1


async def test_edit_when_the_model_has_a_shape_of_its_own_then_it_is_filled_from_the_form(opened: Opened) -> None:
    before = opened.payments()
    garment = await scene.in_thread(lambda: wiring.client().upload(media.png("garment")))

    answer = await opened.client.images.edit(
        model="tryon",
        image=media.png("person"),
        prompt="try it on",
        size="64x64",
        extra_body={"garment": garment.id},
    )

    assert answer.data is not None
    found = await opened.client._client.get(answer.data[0].url or "")
    assert found.headers["content-type"] == "image/png"
    assert [each.operation for each in opened.paid()[before:]] == ["images_edit"]


async def test_edit_when_the_vendor_refuses_then_the_client_is_told_and_nothing_is_paid(opened: Opened) -> None:
    before = opened.payments()

    with pytest.raises(openai.BadRequestError, match="moderation_blocked"):
        await opened.client.images.edit(model="images_edit", image=media.png("dress"), prompt="forbidden")

    assert opened.payments() == before


@pytest.mark.parametrize(("model", "operation"), [("responses", "responses"), ("chat", "chat")])
async def test_response_when_the_model_takes_them_or_chats_then_the_client_has_its_text_paid_once(
    opened: Opened, model: str, operation: str
) -> None:
    before = opened.payments()
    named = {"Idempotency-Key": f"response-of-{model}"}

    async def respond() -> Any:
        return await opened.client.responses.with_raw_response.create(
            model=model,
            input=[{"role": "user", "content": [{"type": "input_text", "text": "What is on the table?"}]}],
            instructions="Be brief.",
            max_output_tokens=64,
            extra_headers=named,
        )

    raw, again = await respond(), await respond()

    answer = raw.parse()
    run = await gateway_site.run_of(raw.headers["x-request-id"])
    assert answer.output_text
    assert answer.output_text == again.parse().output_text
    assert answer.usage.total_tokens > 0
    assert (answer.object, answer.instructions) == ("response", "Be brief.")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert run.cost_nano_usd > 0
    assert [each.operation for each in opened.paid()[before:]] == [operation]


async def test_response_when_it_is_cut_off_by_its_bound_then_both_kinds_of_models_say_so(opened: Opened) -> None:
    found = [
        await opened.client.responses.create(model=model, input="Tell all.", max_output_tokens=2)
        for model in ("responses", "chat")
    ]

    assert [each.status for each in found] == ["incomplete"] * 2
    assert [each.incomplete_details.reason for each in found if each.incomplete_details] == ["max_output_tokens"] * 2


async def test_response_when_it_is_to_be_streamed_then_it_is_refused_and_nothing_is_paid(opened: Opened) -> None:
    before = opened.payments()

    with pytest.raises(openai.BadRequestError, match="not streamed") as caught:
        await opened.client.responses.create(model="responses", input="x", stream=True)

    assert caught.value.param == "stream"
    assert opened.payments() == before
