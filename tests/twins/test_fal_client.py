"""fal's own Python client works against the twin, which is what makes the twin exact.

The client writes https in front of FAL_QUEUE_RUN_HOST, so its one constant is set to the twin's address instead.
"""

import json
import pathlib
from collections.abc import AsyncIterator

import fal_client
import httpx
import pytest
from fal_client import client as fal_internals

from heddle.providers.fal import webhooks
from heddle.twins.fal import twin
from heddle.twins.kit import faults, ledger, options, server
from tests.twins import invented

MODEL = "fal-ai/flux/dev"
GIVEN = {"prompt": "espresso on marble", "seed": 7, "num_images": 2}


@pytest.fixture
async def running(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[server.Running]:
    async with server.Running(twin.FalTwin(invented.given(tmp_path))) as running:
        monkeypatch.setattr(fal_internals, "QUEUE_URL_FORMAT", f"{running.url}/")
        yield running


@pytest.fixture
def client() -> fal_client.AsyncClient:
    return fal_client.AsyncClient(key=options.DEFAULT_API_KEY)


async def test_subscribe_then_states_are_told_and_the_result_links_to_files(
    running: server.Running, client: fal_client.AsyncClient, tmp_path: pathlib.Path
) -> None:
    seen: list[fal_client.Status] = []

    result = await client.subscribe(MODEL, GIVEN, on_queue_update=seen.append, interval=0.01, priority="low")

    kinds = list(dict.fromkeys(type(status).__name__ for status in seen))
    assert kinds[-2:] == ["InProgress", "Completed"]
    assert [image["content_type"] for image in result["images"]] == ["image/png"] * 2
    assert (result["seed"], result["prompt"]) == (7, GIVEN["prompt"])
    async with httpx.AsyncClient() as web:
        file = await web.get(result["images"][1]["url"])
    assert file.content.startswith(b"\x89PNG")
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == 1


async def test_handle_when_made_from_the_id_then_it_leads_to_the_same_job(
    running: server.Running, client: fal_client.AsyncClient
) -> None:
    handle = await client.submit(MODEL, GIVEN, path="image-to-image", start_timeout=30)

    again = await client.get_handle(MODEL, handle.request_id)

    assert (again.status_url, again.response_url, again.cancel_url) == (
        handle.status_url,
        handle.response_url,
        handle.cancel_url,
    )
    assert (await again.get(interval=0.01))["seed"] == 7


async def test_cancel_when_open_then_taken_and_given_back_and_when_over_refused(
    client: fal_client.AsyncClient, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.Running(twin.FalTwin(invented.given(tmp_path, latency_s=60))) as running:
        monkeypatch.setattr(fal_internals, "QUEUE_URL_FORMAT", f"{running.url}/")
        handle = await client.submit(MODEL, GIVEN)
        assert isinstance(await handle.status(), fal_client.Queued)

        await handle.cancel()
        status = await handle.status()

        assert isinstance(status, fal_client.Completed)
        assert status.error_type == "client_cancelled"
        with pytest.raises(fal_client.FalClientHTTPError) as refused:
            await handle.cancel()
    books = ledger.summarise(tmp_path / "paid.jsonl")
    assert refused.value.status_code == 400
    assert (books.paid, books.cancelled, books.refunded) == (1, 1, 1)


async def test_result_when_the_job_failed_then_the_client_is_told_status_and_type(
    client: fal_client.AsyncClient, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = invented.given(tmp_path, rates=faults.Rates(failed=1.0))
    async with server.Running(twin.FalTwin(given)) as running:
        monkeypatch.setattr(fal_internals, "QUEUE_URL_FORMAT", f"{running.url}/")
        found = set()
        for seed in range(6):
            with pytest.raises(fal_client.FalClientHTTPError) as raised:
                await client.subscribe(MODEL, {"seed": seed}, interval=0.01)
            found.add((raised.value.status_code, raised.value.error_type))

    assert found <= {(503, "runner_disconnected"), (500, "runner_server_error"), (422, None)}
    assert len(found) > 1


async def test_webhook_then_signed_under_a_published_key(
    running: server.Running, client: fal_client.AsyncClient
) -> None:
    async with invented.Receiver() as receiver:
        handle = await client.submit(MODEL, GIVEN, webhook_url=f"{receiver.url}?token=a%26b")
        await receiver.wait(1)
    async with httpx.AsyncClient() as web:
        published = (await web.get(f"{running.url}/.well-known/jwks.json")).content
    headers, body = receiver.letters[0]

    keys = webhooks.KeySet("https://fal.example", fetch=lambda _: published)
    signed_id = webhooks.verify(keys=keys, headers=headers, body=body, now_s=float(headers["x-fal-webhook-timestamp"]))

    assert signed_id == json.loads(body)["request_id"] == handle.request_id
    assert json.loads(body)["status"] == "OK"


async def test_submit_when_the_key_is_wrong_then_unauthorised(running: server.Running) -> None:
    with pytest.raises(fal_client.FalClientHTTPError) as raised:
        await fal_client.AsyncClient(key="wrong").submit(MODEL, GIVEN)

    assert raised.value.status_code == 401
