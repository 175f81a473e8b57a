"""Replicate's clients are told of their predictions as they know it: the object, signed, verified by their own code."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import replicate
from replicate import exceptions as replicate_errors
from replicate import prediction as replicate_prediction
from replicate import webhook as replicate_webhook

from heddle import wiring
from heddle.client import letters, predictions
from heddle.core import faults, settle
from heddle.engine import parts as parts_module
from heddle.providers import courier, transport
from tests import pg
from tests.integration import gateway_site, receivers, working
from tests.integration.test_gateway_openai import PIXEL
from tests.races import scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = "https://models.example"


@pytest.fixture(scope="module", autouse=True)
def private_allowed(database: pg.Database) -> Iterator[None]:
    caches = (wiring.house_settings, wiring.client, wiring.webhooks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEDDLE_WEBHOOK_PRIVATE_ALLOWED", "1")
        for cache in caches:
            cache.cache_clear()
        yield
    for cache in caches:
        cache.cache_clear()


def delivering(parts: parts_module.Parts) -> None:
    """Let a gateway's worker deliver to this machine, as the wiring lets one deliver to others."""
    limits, clock = parts.settings, parts.clock
    parts.courier = courier.HttpCourier(connections=transport.Transport(), now_s=clock.unix_s, is_private_allowed=True)
    parts.compose = letters.composer(
        public_url=ROOT, predictions=predictions.places(limits, public_url=ROOT, now_s=clock.unix_s)
    )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(database: pg.Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[gateway_site.Site]:
    async with gateway_site.open_site(
        database,
        tmp_path_factory.mktemp("gateway"),
        prepare=delivering,
        webhook_private_allowed=True,
        webhook_look_s=0.05,
        gateway_url=ROOT,
        public_url=ROOT,
        secret_key=wiring.house_settings().secret_key,
    ) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def receiver() -> AsyncIterator[receivers.Receiver]:
    async with receivers.receiving() as made:
        yield made


@pytest.fixture
def client(site: gateway_site.Site) -> replicate.Client:
    return replicate.Client(api_token=site.key, base_url=site.url.removesuffix("/v1"))


async def secret() -> replicate_webhook.WebhookSigningSecret:
    """Make the next secret as an operator does."""
    made, _ = await scene.in_thread(lambda: wiring.webhooks().rotate(tenant="default", actor="test"))
    return replicate_webhook.WebhookSigningSecret(key=made)


async def told(receiver: receivers.Receiver, key: replicate_webhook.WebhookSigningSecret) -> dict[str, Any]:
    """Wait for the one letter, let Replicate's client verify it, and read it as that does."""
    await working.until(lambda: bool(receiver.received))
    (letter,) = receiver.received
    replicate_webhook.Webhooks.validate(headers=dict(letter.headers), body=letter.body.decode(), secret=key)
    said: dict[str, Any] = json.loads(letter.body)
    replicate_prediction.Prediction(**said)
    return said


async def test_prediction_when_it_has_succeeded_then_its_webhook_is_the_prediction_that_is_shown(
    site: gateway_site.Site, client: replicate.Client, receiver: receivers.Receiver
) -> None:
    key = await secret()
    site.talker.will(gateway_site.done("a relit photograph"))

    made = await client.predictions.async_create(
        version="studio.relight",
        input={"scene": "beach"},
        webhook=f"{receiver.url}/hook",
        webhook_events_filter=["completed"],
    )
    said = await told(receiver, key)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {site.key}"}) as asking:
        shown = (await asking.get(f"{site.url}/predictions/{made.id}")).json()

    assert (said["status"], said["output"], said["input"]) == ("succeeded", "a relit photograph", {"scene": "beach"})
    assert said == shown
    assert said["urls"]["get"] == f"{ROOT}/v1/predictions/{made.id}"


async def test_prediction_when_it_has_failed_then_its_webhook_says_why(
    site: gateway_site.Site, client: replicate.Client, receiver: receivers.Receiver
) -> None:
    key = await secret()
    fault = faults.StepFault(fault=faults.Fault.REJECTED_PERMANENT, message="the picture shows no product")
    site.talker.will(settle.Faulted(fault=fault))

    await client.predictions.async_create(version="mapped", input={}, webhook=f"{receiver.url}/hook")
    said = await told(receiver, key)

    assert (said["status"], said["error"], said["output"]) == ("failed", "the picture shows no product", None)


async def test_prediction_when_its_output_is_a_file_then_its_webhook_links_it(
    site: gateway_site.Site, client: replicate.Client, receiver: receivers.Receiver
) -> None:
    key = await secret()
    picture = base64.b64decode(PIXEL)
    reference = await scene.in_thread(lambda: wiring.client().upload(picture, media_type="image/png"))
    site.talker.will(gateway_site.done([reference.as_json()]))

    await client.predictions.async_create(version="mapped", input={}, webhook=f"{receiver.url}/hook")
    (link,) = (await told(receiver, key))["output"]
    async with httpx.AsyncClient() as stranger:
        found = await stranger.get(site.url.removesuffix("/v1") + link.removeprefix(ROOT))

    assert found.content == picture


async def test_prediction_when_its_output_is_large_then_its_webhook_says_that_it_was_left_out(
    site: gateway_site.Site, client: replicate.Client, receiver: receivers.Receiver
) -> None:
    key = await secret()
    site.talker.will(gateway_site.done("long " * 4_000))

    made = await client.predictions.async_create(version="mapped", input={}, webhook=f"{receiver.url}/hook")
    said = await told(receiver, key)

    assert (said["status"], said["output"], said["data_removed"]) == ("succeeded", None, True)
    assert (await client.predictions.async_get(made.id)).output == "long " * 4_000


async def test_prediction_when_only_other_events_are_asked_for_then_nothing_is_sent(
    site: gateway_site.Site, client: replicate.Client, receiver: receivers.Receiver
) -> None:
    site.talker.will(gateway_site.done("untold"))

    made = await client.models.predictions.async_create(
        ("studio", "relight"), {}, wait=True, webhook=f"{receiver.url}/hook", webhook_events_filter=["start", "logs"]
    )

    with site.database.connect() as connection:
        kept = connection.execute("select count(*) from heddle_outbox where run_id = %s", (made.id,)).fetchone()
    assert (made.status, kept) == ("succeeded", (0,))


async def test_prediction_when_an_unknown_event_is_asked_for_then_the_error_names_the_field(
    client: replicate.Client,
) -> None:
    with pytest.raises(replicate_errors.ReplicateError, match="webhook_events_filter") as caught:
        await client.predictions.async_create(
            version="mapped",
            input={},
            webhook="https://shop.example/hook",
            webhook_events_filter=["ended"],  # type: ignore[list-item]
        )

    assert caught.value.status == 422


async def test_run_when_the_door_is_another_then_its_webhook_is_in_our_own_form(
    site: gateway_site.Site, receiver: receivers.Receiver
) -> None:
    await secret()
    site.talker.will(gateway_site.done("ours"))

    await scene.in_thread(
        lambda: wiring.client().submit("model:mapped", {}, tenant="default", webhook_url=f"{receiver.url}/hook")
    )
    await working.until(lambda: bool(receiver.received))

    assert json.loads(receiver.received[0].body)["type"] == "run.succeeded"
