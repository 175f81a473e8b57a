"""Replicate's own client talks to the gateway: predictions made, waited for, listed and cancelled, files both ways."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import replicate
from replicate import exceptions as replicate_errors

from heddle import wiring
from heddle.core import faults, settle
from heddle.core.run import RunState
from tests import pg
from tests.integration import gateway_site, working
from tests.integration.test_gateway_openai import PIXEL
from tests.races import invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
ODD_PART = b"\r\n".join(
    [
        b"--b",
        b"Content-Disposition: form-data; name=content",
        b"Content-Transfer-Encoding: odd",
        b"",
        b"1",
        b"--b--",
        b"",
    ]
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(database: pg.Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[gateway_site.Site]:
    async with gateway_site.open_site(database, tmp_path_factory.mktemp("gateway"), gateway_link_s=60.0) as made:
        yield made
    with database.connect() as connection:
        assert not invariants.broken(connection)


@pytest.fixture
def client(site: gateway_site.Site) -> replicate.Client:
    return replicate.Client(api_token=site.key, base_url=site.url.removesuffix("/v1"))


async def over(client: replicate.Client, prediction: Any) -> Any:
    """Look at a prediction until it is over, as its owner does."""
    for _ in range(int(working.PATIENCE_S * 20)):
        found = await client.predictions.async_get(prediction.id)
        if found.status in ("succeeded", "failed", "canceled"):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"{prediction.id} is not over")


async def test_prediction_when_waited_for_then_it_comes_with_its_output_and_is_the_run(
    site: gateway_site.Site, client: replicate.Client
) -> None:
    site.talker.will(gateway_site.done("a relit photograph"))

    found = await client.models.predictions.async_create(("studio", "relight"), {"scene": "beach"}, wait=True)

    assert (found.status, found.output, found.model) == ("succeeded", "a relit photograph", "studio.relight")
    assert found.metrics is not None
    assert found.metrics["total_time"] >= 0
    assert site.talker.asked[0].input == {"scene": "beach"}
    run = await gateway_site.run_of(found.id)
    assert (run.state, run.workflow) == (RunState.SUCCEEDED, "model:studio.relight")


async def test_prediction_when_not_waited_for_then_it_goes_on_and_is_read_later(
    site: gateway_site.Site, client: replicate.Client
) -> None:
    site.talker.gate.clear()
    site.talker.will(gateway_site.done(["one", "two"]))

    made = await client.predictions.async_create(version="mapped", input={"prompt": "a"})
    site.talker.gate.set()
    found = await over(client, made)

    assert made.status in ("starting", "processing")
    assert (found.status, found.output, found.input) == ("succeeded", ["one", "two"], {"prompt": "a"})
    page = await client.predictions.async_list()
    assert found.id in [each.id for each in page.results]


async def test_prediction_when_it_fails_then_the_error_is_in_words(
    site: gateway_site.Site, client: replicate.Client
) -> None:
    fault = faults.StepFault(fault=faults.Fault.REJECTED_PERMANENT, message="the picture shows no product")
    site.talker.will(settle.Faulted(fault=fault))

    found = await client.models.predictions.async_create(("anyone", "paint"), {"prompt": "a"}, wait=True)

    assert (found.status, found.error) == ("failed", "the picture shows no product")


async def test_run_when_it_takes_longer_than_the_wait_then_the_client_goes_on_asking(
    site: gateway_site.Site, client: replicate.Client
) -> None:
    site.talker.gate.clear()
    site.talker.will(gateway_site.done("at last"))

    running = asyncio.create_task(client.async_run("studio/relight", input={"prompt": "a"}, wait=1))
    await working.until(lambda: not site.parts.listening.__len__() and bool(site.talker.asked))  # type: ignore[attr-defined]
    site.talker.gate.set()

    assert await running == "at last"


async def test_prediction_when_cancelled_then_it_is_over_and_a_second_cancel_changes_nothing(
    site: gateway_site.Site, client: replicate.Client
) -> None:
    site.talker.gate.clear()
    site.talker.will(gateway_site.done("late"))
    made = await client.predictions.async_create(version="mapped", input={})

    found = await client.predictions.async_cancel(made.id)
    site.talker.gate.set()
    again = await client.predictions.async_cancel(made.id)

    assert (found.status, again.status) == ("canceled", "canceled")


async def test_prediction_when_the_output_is_a_file_then_its_link_gives_the_bytes(
    site: gateway_site.Site, client: replicate.Client
) -> None:
    picture = base64.b64decode(PIXEL)
    reference = await scene.in_thread(lambda: wiring.client().upload(picture, media_type="image/png"))
    site.talker.will(gateway_site.done([reference.as_json()]))

    (link,) = await client.async_run("studio/relight", input={"prompt": "a dot"})
    async with httpx.AsyncClient() as stranger:
        found, forged = await stranger.get(link), await stranger.get(link[:-4] + "0000")

    assert (found.content, found.headers["content-type"]) == (picture, "image/png")
    assert forged.status_code == 404


async def test_prediction_when_a_file_is_given_then_the_model_has_it_as_an_artifact(
    site: gateway_site.Site, client: replicate.Client
) -> None:
    site.talker.will(gateway_site.done("seen"))
    picture = io.BytesIO(base64.b64decode(PIXEL))
    picture.name = "dot.png"

    await client.async_run("studio/relight", input={"photo": picture})

    given: Any = site.talker.asked[0].input["photo"]
    assert (given["media_type"], given["size_bytes"]) == ("image/png", len(base64.b64decode(PIXEL)))


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", ODD_PART),
    ],
)
async def test_file_when_its_body_cannot_be_taken_apart_then_the_field_is_named(
    site: gateway_site.Site, media_type: str, body: bytes
) -> None:
    headers = {"Authorization": f"Bearer {site.key}", "Content-Type": media_type}
    async with httpx.AsyncClient() as web:
        refused = await web.post(f"{site.url}/files", content=body, headers=headers)

    problem = refused.json()
    assert (refused.status_code, problem["status"], problem["detail"].partition(":")[0]) == (400, 400, "content")


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ({"version": "nobody", "input": {}}, 404, "does not exist"),
        ({"version": "mapped", "input": {}, "webhook": "http://127.0.0.1/hook"}, 422, "webhook"),
    ],
)
async def test_prediction_when_it_cannot_be_made_then_the_clients_own_error_names_why(
    site: gateway_site.Site, client: replicate.Client, how: Any, status: int, words: str
) -> None:
    with pytest.raises(replicate_errors.ReplicateError, match=words) as caught:
        await client.predictions.async_create(**how)

    assert caught.value.status == status


async def test_prediction_when_a_webhook_is_named_then_it_is_kept_with_the_run(
    site: gateway_site.Site, client: replicate.Client
) -> None:
    site.talker.will(gateway_site.done("told"))

    made = await client.predictions.async_create(version="mapped", input={}, webhook="https://example.org/hook")

    with site.database.connect() as connection:
        row = connection.execute("select webhook_url from heddle_run where id = %s", (made.id,)).fetchone()
    assert row == ("https://example.org/hook",)


async def test_prediction_when_it_is_another_tenants_then_it_is_not_there(
    site: gateway_site.Site, client: replicate.Client
) -> None:
    site.talker.will(gateway_site.done("mine"))
    made = await client.models.predictions.async_create(("studio", "relight"), {}, wait=True)
    other = replicate.Client(api_token=await gateway_site.key_of("other"), base_url=site.url.removesuffix("/v1"))

    with pytest.raises(replicate_errors.ReplicateError) as caught:
        await other.predictions.async_get(made.id)

    assert caught.value.status == 404
