"""The twin of a Cog container answers as coglet documents: by id, later, as events, within its slots."""

import asyncio
import base64
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
import pytest

from heddle.twins.cog import twin
from heddle.twins.kit import faults, ledger, server
from tests.twins import invented

PROMPT = {"input": {"prompt": "Write a haiku about onions"}}
PICTURE = {"input": {"image": "data:image/png;base64,AAAA"}}
LATER = {"Prefer": "respond-async"}
EVENTS = {"Accept": "text/event-stream"}


@contextlib.asynccontextmanager
async def running(folder: pathlib.Path, **plan: Any) -> AsyncIterator[server.Running]:
    async with server.Running(twin.CogTwin(invented.given(folder, **plan))) as running:
        yield running


async def ask(method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Ask once; JSON is parsed, events are given as pairs of name and data."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
        session.request(method, url, json=body, headers=headers) as answer,
    ):
        text = await answer.text()
        if answer.content_type != "text/event-stream":
            return answer.status, json.loads(text)
        pairs = [event.split("\n") for event in text.strip().split("\n\n")]
        return answer.status, [(name[7:], json.loads(data[6:])) for name, data in pairs]


def books(folder: pathlib.Path) -> ledger.Summary:
    return ledger.summarise(folder / "paid.jsonl")


async def until(is_so: Callable[[], bool]) -> None:
    """Look again until it is so, for ten seconds at most."""
    for _ in range(1_000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to be in ten seconds")


async def test_prediction_when_put_then_answered_with_its_output(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as there:
        text = await ask("PUT", f"{there.url}/predictions/a1", PROMPT)
        picture = await ask("PUT", f"{there.url}/predictions/a2", PICTURE)
        posted = await ask("POST", f"{there.url}/predictions", {**PROMPT, "id": "a3"})

    assert (text[0], text[1]["id"], text[1]["status"]) == (200, "a1", "succeeded")
    assert text[1]["metrics"]["predict_time"] > 0
    assert text[1]["output"] == posted[1]["output"]
    assert base64.b64decode(picture[1]["output"].partition(",")[2]).startswith(b"\x89PNG")
    assert books(tmp_path).payments == {"a1": 1, "a2": 1, "a3": 1}


async def test_prediction_when_put_again_while_it_runs_then_not_started_again(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, latency_s=0.4) as there:
        url = f"{there.url}/predictions/a1"
        started = await ask("PUT", url, PROMPT, LATER)
        again = await ask("PUT", url, PROMPT)
        status, events = await ask("PUT", url, PROMPT, EVENTS)
        after = await ask("PUT", url, PROMPT)

    assert started == (202, {"id": "a1", "status": "starting"})
    assert (again[0], again[1]["id"]) == (202, "a1")
    assert again[1]["status"] in ("starting", "processing")
    assert (status, [name for name, _ in events]) == (200, ["start", *["output"] * 6, "log", "completed"])
    assert "".join(data["chunk"] for name, data in events if name == "output") == "".join(events[-1][1]["output"])
    assert after[0] == 200
    assert books(tmp_path).payments == {"a1": 2}


async def test_prediction_when_the_model_does_not_stream_then_not_acceptable(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as there:
        status, _ = await ask("PUT", f"{there.url}/predictions/a1", PICTURE, EVENTS)

    assert status == 406
    assert books(tmp_path).paid == 0


async def test_slots_when_all_are_busy_then_conflict_until_one_is_cancelled(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, rates=faults.Rates(stuck=1.0)) as there:
        for number in range(twin.SLOTS):
            await ask("PUT", f"{there.url}/predictions/a{number}", PROMPT, LATER)
        full = await ask("PUT", f"{there.url}/predictions/more", PROMPT, LATER)
        busy = await ask("GET", f"{there.url}/health-check")
        cancelled = await ask("POST", f"{there.url}/predictions/a0/cancel")
        unknown = await ask("POST", f"{there.url}/predictions/a0/cancel")
        free = await ask("PUT", f"{there.url}/predictions/more", PROMPT, LATER)

    assert full == (409, {"error": "At capacity - all prediction slots busy", "status": "failed"})
    assert busy[1]["status"] == "BUSY"
    assert [cancelled[0], unknown[0], free[0]] == [200, 404, 202]


async def test_client_when_it_leaves_then_its_synchronous_prediction_is_cancelled(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, rates=faults.Rates(stuck=1.0)) as there:
        asking = asyncio.create_task(ask("PUT", f"{there.url}/predictions/a1", PROMPT))
        await until(lambda: books(tmp_path).paid == 1)
        cannot = await ask("POST", f"{there.url}/predictions/a1/cancel")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await until(lambda: books(tmp_path).cancelled == 1)

    assert cannot[0] == 404


async def test_prediction_when_it_fails_then_as_data(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, rates=faults.Rates(failed=1.0)) as there:
        status, value = await ask("PUT", f"{there.url}/predictions/a1", PROMPT)

    assert (status, value["status"], "output" in value) == (200, "failed", False)
    assert "raised" in value["error"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"input": {}}, ["body", "input", "prompt"]),
        ({**PROMPT, "id": "b2"}, ["body", "id"]),
        ({"input": [1]}, ["body", "input", "__root__"]),
        ({**PROMPT, "webhook": "https://example.com/hook"}, ["body", "webhook"]),
    ],
    ids=range(4),
)
async def test_body_when_wrong_then_unprocessable_and_not_run(
    body: Any, place: list[str], tmp_path: pathlib.Path
) -> None:
    async with running(tmp_path) as there:
        status, value = await ask("PUT", f"{there.url}/predictions/a1", body)

    assert status == 422
    assert value["detail"][0]["loc"] == place
    assert books(tmp_path).paid == 0


async def test_webhook_when_told_then_unsigned_at_each_event_that_was_asked_for(tmp_path: pathlib.Path) -> None:
    async with invented.Receiver() as receiver, running(tmp_path) as there:
        wanted = {"webhook": receiver.url, "webhook_events_filter": ["start", "completed"]}
        await ask("PUT", f"{there.url}/predictions/a1", {**PROMPT, **wanted}, LATER)
        await receiver.wait(2)

    assert [json.loads(body)["status"] for _, body in receiver.letters] == ["processing", "succeeded"]
    assert [name for name in receiver.letters[0][0] if "signature" in name] == []


async def test_container_when_asked_about_itself_then_ready_with_its_addresses(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as there:
        _, health = await ask("GET", f"{there.url}/health-check")
        _, index = await ask("GET", there.url)
        _, schema = await ask("GET", there.url + index["openapi_url"])

    assert (health["status"], health["setup"]["status"]) == ("READY", "succeeded")
    assert "Input" in schema["components"]["schemas"]
