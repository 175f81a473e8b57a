"""OpenAI's client has pictures edited by another vendor's model: its endpoint's shape names what a form has."""

import pathlib
from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio

from heddle import wiring
from heddle.config import deployment
from heddle.providers import transport
from heddle.store import apply
from heddle.store import media as stored_media
from heddle.twins.fal import twin
from heddle.twins.kit import faults as twin_faults
from heddle.twins.kit import ledger, media, options, server
from tests import pg
from tests.integration import gateway_site

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEPLOYMENT = """
[endpoints.relight]
adapter = "fal"
url = "{url}"
model_name = "fal-ai/flux-pro/kontext"
jwks_url = "{url}/.well-known/jwks.json"
secret = "env:GATEWAY_TEST_KEY"
price_usd = "0.03"
scopes = ["vendor"]
[endpoints.relight.shape.input]
prompt = "{{input.prompt}}"
image_urls = "{{input.image}}"
first_url = "{{input.image.0}}"
mask_url = "{{input.mask?}}"
num_images = "{{input.num_outputs?}}"
seed = "{{input.seed?}}"
[scopes.vendor]
concurrency = 10
[[routes]]
model = "relight"
endpoint = "relight"
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def books(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return pathlib.Path(tmp_path_factory.mktemp("books")) / "paid.jsonl"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(
    database: pg.Database, books: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[openai.AsyncOpenAI]:
    plan = twin_faults.Plan(seed=7, latency_s=0.02, rates=twin_faults.Rates())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATEWAY_TEST_KEY", options.DEFAULT_API_KEY)
        async with server.Running(twin.FalTwin(options.Options(ledger=books, plan=plan))) as there:
            with database.connect() as connection, connection.transaction(), connection.cursor() as cursor:
                apply.apply(cursor, deployment.parse(DEPLOYMENT.format(url=there.url), file="heddle.toml"))
            lines = transport.Transport(connections_max=10)
            async with (
                gateway_site.open_site(
                    database,
                    tmp_path_factory.mktemp("gateway"),
                    build=lambda row: wiring.provider_of(row, lines),
                    is_deployed=True,
                ) as site,
                openai.AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as made,
            ):
                yield made


async def test_edit_when_another_vendors_model_has_names_of_its_own_then_its_endpoints_shape_is_filled(
    client: openai.AsyncOpenAI, books: pathlib.Path
) -> None:
    answer = await client.images.edit(
        model="relight",
        image=[media.png("dress"), media.jpeg("coat")],
        mask=media.png("mask"),
        prompt="at dusk",
        n=2,
        extra_body={"seed": 7},
    )

    (paid,) = ledger.read(books).paid
    asked = paid.data["input"]
    assert [url.partition(",")[0] for url in asked.pop("image_urls")] == [
        "data:image/png;base64",
        "data:image/jpeg;base64",
    ]
    assert asked.pop("first_url").startswith("data:image/png;base64,")
    assert asked.pop("mask_url").startswith("data:image/png;base64,")
    assert asked == {"prompt": "at dusk", "num_images": 2, "seed": 7}
    assert answer.data is not None
    pictures = [(await client._client.get(each.url or "")).content for each in answer.data]
    assert [stored_media.sniff(picture[:64]) for picture in pictures] == ["image/png"] * 2


async def test_edit_when_the_shape_asks_for_a_list_and_one_picture_comes_then_it_is_told_and_nothing_is_paid(
    client: openai.AsyncOpenAI, books: pathlib.Path
) -> None:
    before = len(ledger.read(books).paid)

    with pytest.raises(openai.BadRequestError, match=r"image\.0"):
        await client.images.edit(model="relight", image=media.png("dress"), prompt="at dusk")

    assert len(ledger.read(books).paid) == before
