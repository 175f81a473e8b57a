"""Replicate's own Python package works against the twin: runs, predictions, webhooks, files, models and errors."""

import asyncio
import io
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from replicate import client as replicate_client
from replicate import exceptions
from replicate import webhook as replicate_webhook

from heddle.twins.kit import faults, ledger, options, server
from heddle.twins.replicate import twin
from tests.twins import invented

FLUX = "black-forest-labs/flux-schnell"
LLAMA = "meta/meta-llama-3-8b-instruct"
VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
ASKED = {"prompt": "espresso on marble"}


@pytest.fixture
async def running(tmp_path: pathlib.Path) -> AsyncIterator[server.Running]:
    async with server.Running(twin.ReplicateTwin(invented.given(tmp_path))) as running:
        yield running


@pytest.fixture
def client(running: server.Running) -> replicate_client.Client:
    return client_of(running)


def client_of(running: server.Running, *, token: str = options.DEFAULT_API_KEY) -> replicate_client.Client:
    made = replicate_client.Client(api_token=token, base_url=running.url)
    made.poll_interval = 0.02
    return made


async def fetched(url: str) -> tuple[str, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return answer.content_type, await answer.read()


async def test_run_when_it_makes_pictures_then_links_that_lead_to_them(client: replicate_client.Client) -> None:
    output = await client.async_run(FLUX, input={**ASKED, "num_outputs": 2, "output_format": "png"})

    found = [await fetched(str(link)) for link in output]
    assert [kind for kind, _ in found] == ["image/png", "image/png"]
    assert len({data for _, data in found}) == 2


async def test_run_when_it_makes_a_film_then_one_link(client: replicate_client.Client) -> None:
    output = await client.async_run("bytedance/seedance-1-pro", input=ASKED)

    assert (await fetched(str(output)))[0] == "video/mp4"


async def test_run_when_a_version_of_texts_is_named_then_its_tokens(client: replicate_client.Client) -> None:
    output = await asyncio.to_thread(client.run, f"replicate/hello-world:{VERSION}", input={"text": "Alice"})

    assert "".join(output) == "hello Alice"


async def test_run_when_not_waiting_then_polled_to_its_end(client: replicate_client.Client) -> None:
    output = await asyncio.to_thread(client.run, FLUX, input=ASKED, wait=False)

    assert len(output) == 1


async def test_stream_when_asked_then_tokens_and_done(client: replicate_client.Client) -> None:
    events = [event async for event in await client.async_stream(LLAMA, input=ASKED)]

    assert [event.event.value for event in events][-1] == "done"
    assert len("".join(str(event) for event in events[:-1]).split()) == 12


async def test_prediction_when_created_then_found_listed_and_waited_for(client: replicate_client.Client) -> None:
    made = await client.predictions.async_create(version=VERSION, input=ASKED)
    listed = await client.predictions.async_list()
    await made.async_wait()
    found = await client.predictions.async_get(made.id)

    assert [each.id for each in listed.results] == [made.id]
    assert (made.status, found.status, found.error) == ("succeeded", "succeeded", None)
    assert found.metrics["predict_time"] > 0
    assert found.version == VERSION


async def test_prediction_when_of_a_deployment_then_made(client: replicate_client.Client) -> None:
    made = await client.deployments.predictions.async_create(deployment="acme/relight", input=ASKED)

    assert (made.model, made.version) == ("acme/relight", "hidden")


async def test_prediction_when_cancelled_then_so_it_stays_and_its_price_is_paid(tmp_path: pathlib.Path) -> None:
    slow = invented.given(tmp_path, latency_s=60.0)
    async with server.Running(twin.ReplicateTwin(slow)) as running:
        client = client_of(running)
        made = await client.models.predictions.async_create(model=FLUX, input=ASKED)
        await made.async_cancel()
        found = await client.predictions.async_get(made.id)

    assert (made.status, found.status, found.output) == ("canceled", "canceled", None)
    assert ledger.summarise(tmp_path / "paid.jsonl").refunded == 0


async def test_prediction_when_it_fails_then_the_models_error(tmp_path: pathlib.Path) -> None:
    failing = invented.given(tmp_path, rates=faults.Rates(failed=1.0))
    async with server.Running(twin.ReplicateTwin(failing)) as running:
        with pytest.raises(exceptions.ModelError, match="raised an exception"):
            await client_of(running).async_run(FLUX, input=ASKED)


async def test_webhook_when_told_then_the_package_believes_it_and_nothing_else(
    running: server.Running, client: replicate_client.Client
) -> None:
    secret = await client.webhooks.default.async_secret()
    async with invented.Receiver() as receiver:
        made = await client.predictions.async_create(
            version=VERSION,
            input=ASKED,
            webhook=receiver.url,
            webhook_events_filter=["start", "output", "logs", "completed"],
        )
        await receiver.wait(4)

    bodies = [json.loads(body) for _, body in receiver.letters]
    assert [(each["id"], each["status"]) for each in bodies] == [
        *[(made.id, "processing")] * 3,
        (made.id, "succeeded"),
    ]
    assert [each["output"] is None for each in bodies] == [True, True, False, False]
    for headers, body in receiver.letters:
        replicate_webhook.Webhooks.validate(headers=headers, body=body.decode(), secret=secret)
    with pytest.raises(replicate_webhook.InvalidSignatureError):
        replicate_webhook.Webhooks.validate(headers=headers, body=body.decode() + " ", secret=secret)


async def test_webhook_when_asked_for_as_older_clients_do_then_told_of_the_end_alone(
    client: replicate_client.Client,
) -> None:
    async with invented.Receiver() as receiver:
        made = await client.predictions.async_create(version=VERSION, input=ASKED, webhook_completed=receiver.url)
        await receiver.wait(1)

    assert [json.loads(body)["id"] for _, body in receiver.letters] == [made.id]
    assert json.loads(receiver.letters[0][1])["status"] == "succeeded"


async def test_webhook_when_it_leaves_this_machine_then_refused(client: replicate_client.Client) -> None:
    with pytest.raises(exceptions.ReplicateError, match="on this machine"):
        await client.predictions.async_create(version=VERSION, input=ASKED, webhook="https://example.com/hook")


async def test_file_when_uploaded_then_found_listed_used_and_deleted(client: replicate_client.Client) -> None:
    stored = await client.files.async_create(io.BytesIO(b"x" * 300_000), filename="x.bin", metadata={"a": 1})
    found = await client.files.async_get(stored.id)
    listed = await client.files.async_list()
    made = await client.predictions.async_create(version=VERSION, input={**ASKED, "image": io.BytesIO(b"picture")})
    is_gone = await client.files.async_delete(stored.id)

    assert (found.size, found.metadata, found.name) == (300_000, {"a": 1}, "x.bin")
    assert [each.id for each in listed] == [stored.id]
    assert "/v1/files/" in made.input["image"]
    assert is_gone


async def test_account_and_models_when_asked_then_known(client: replicate_client.Client) -> None:
    account = await client.accounts.async_current()
    model = await client.models.async_get(FLUX)
    versions = await model.versions.async_list()

    assert (account.type, model.name) == ("organization", "flux-schnell")
    assert versions.results[0].id == model.latest_version.id


@pytest.mark.parametrize(
    ("asked", "status"),
    [({"version": VERSION, "input": {}}, 422), ({"model": FLUX, "input": {**ASKED, "num_outputs": 9}}, 422)],
)
async def test_prediction_when_its_input_is_wrong_then_refused_and_unpaid(
    asked: dict[str, Any], status: int, tmp_path: pathlib.Path, client: replicate_client.Client
) -> None:
    with pytest.raises(exceptions.ReplicateError) as refused:
        await client.predictions.async_create(**asked)

    assert refused.value.status == status
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == 0


async def test_client_when_its_token_is_wrong_or_nothing_is_there_then_as_replicate_says(
    running: server.Running, client: replicate_client.Client
) -> None:
    with pytest.raises(exceptions.ReplicateError) as unknown:
        await client.predictions.async_get("nothing")
    with pytest.raises(exceptions.ReplicateError) as stranger:
        await client_of(running, token="wrong").accounts.async_current()

    assert (unknown.value.status, stranger.value.title) == (404, "Unauthenticated")


async def test_client_when_throttled_then_the_documented_sentence(tmp_path: pathlib.Path) -> None:
    throttling = invented.given(tmp_path, rates=faults.Rates(throttled=1.0))
    async with server.Running(twin.ReplicateTwin(throttling)) as running:
        with pytest.raises(exceptions.ReplicateError) as refused:
            await client_of(running).predictions.async_create(version=VERSION, input=ASKED)

    assert refused.value.status == 429
    assert refused.value.detail == "Request was throttled. Your rate limit resets in ~1s."


async def test_deadline_when_it_passes_then_stopped_and_told(tmp_path: pathlib.Path) -> None:
    clock = [1_000.0]
    stuck = invented.given(tmp_path, rates=faults.Rates(stuck=1.0))
    async with server.Running(twin.ReplicateTwin(stuck, now_s=lambda: clock[0])) as running:
        headers = {**invented.AUTHORISED, "Cancel-After": "5s"}
        async with aiohttp.ClientSession(headers=headers) as session:
            url = f"{running.url}/v1/predictions"
            async with session.post(url, json={"version": VERSION, "input": ASKED}) as answer:
                made = await answer.json()
        clock[0] += 6.0
        found = json.loads((await invented.get(made["urls"]["get"]))[1])

    assert (made["status"], made["deadline"]) == ("starting", "1970-01-01T00:16:45.000000Z")
    assert (found["status"], found["started_at"]) == ("aborted", None)
