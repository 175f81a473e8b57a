"""The twin answers as Cog's own server does, and our adapter runs predictions in that server."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import aiohttp
import pytest

from heddle.core import faults, settle
from heddle.ports import provider
from heddle.providers.cog import wire
from heddle.twins.cog import twin
from heddle.twins.kit import server
from tests.contract import provider_suite
from tests.integration import twin_caller
from tests.twins import invented
from tests.vendors import rig

pytestmark = pytest.mark.needs("vendors/cog")

JSON = {"Content-Type": "application/json"}
EVENTS = {**JSON, "Accept": "text/event-stream"}
LATER = {**JSON, "Prefer": "respond-async"}
SIX = {"prompt": "onions bloom in the quiet kitchen"}  # the twin says six words, whatever it is asked
Question = tuple[str, str, Mapping[str, str], Any]
QUESTIONS: list[Question] = [
    ("GET", "/", {}, None),
    ("GET", "/health-check", {}, None),
    ("GET", "/nothing", {}, None),
    ("GET", "/predictions", {}, None),
    ("GET", "/predictions/a1", {}, None),
    ("POST", "/predictions", JSON, {"input": SIX}),
    ("PUT", "/predictions/a1", JSON, {"input": SIX}),
    ("PUT", "/predictions/a2", JSON, {"id": "a2", "input": SIX}),
    ("PUT", "/predictions/a3", JSON, {"id": "other", "input": SIX}),
    ("PUT", "/predictions/a4", EVENTS, {"input": SIX}),
    ("PUT", "/predictions/a5", LATER, {"input": SIX}),
    ("POST", "/predictions", JSON, {"input": {}}),
    ("POST", "/predictions", JSON, {"input": 5}),
    ("POST", "/predictions", JSON, {"input": {"prompt": 5}}),
    ("POST", "/predictions", JSON, {}),
    ("POST", "/predictions", JSON, [1]),
    ("POST", "/predictions", JSON, "no json"),
    ("POST", "/predictions", {"Content-Type": "text/plain"}, {"input": SIX}),
    ("POST", "/predictions", JSON, {"input": SIX, "webhook": 5}),
    ("POST", "/predictions", JSON, {"input": SIX, "webhook_events_filter": ["other"]}),
    ("POST", "/predictions/none/cancel", {}, None),
]


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rig.serving("cog", tmp_path_factory.mktemp("cog-server")) as url:
        yield url


async def asked(url: str, question: Question) -> dict[str, Any]:
    """Ask once the server has a slot free, and give what a client can tell the answer by."""
    method, path, headers, body = question
    data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    async with aiohttp.ClientSession(url) as client:
        await until(lambda: has_room(client))
        async with client.request(method, path, headers=headers, data=data) as answer:
            text = await answer.text()
            shown = {"status": answer.status, "type": answer.content_type}
    if answer.content_type == "text/event-stream":
        return {**shown, "events": [event_of(part) for part in text.strip().split("\n\n")]}
    return {**shown, "value": shape_of(json.loads(text))} if answer.content_type == "application/json" else shown


async def has_room(client: aiohttp.ClientSession) -> bool:
    async with client.get("/health-check") as answer:
        return (await answer.json())["status"] == "READY"


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1_000):
        if await is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to be in ten seconds")


def event_of(text: str) -> tuple[str, Any]:
    name, data = text.split("\n")
    return name.removeprefix("event: "), shape_of(json.loads(data.removeprefix("data: ")))


def shape_of(value: Any) -> Any:
    """Give a value's keys, and the values that are words of the wire rather than of the model."""
    kept = {"status", "detail", "chunk", "index"}
    return {key: each if key in kept - {"chunk"} else type(each).__name__ for key, each in value.items()}


@pytest.mark.parametrize("question", QUESTIONS, ids=range(len(QUESTIONS)))
def test_twin_when_asked_as_the_server_is_then_answers_alike(
    question: Question, server_url: str, tmp_path: pathlib.Path
) -> None:
    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        async with server.Running(twin.CogTwin(invented.given(tmp_path, latency_s=0.02))) as there:
            return await asked(there.url, question), await asked(server_url, question)

    ours, theirs = asyncio.run(both())

    assert ours == theirs


async def test_running_prediction_when_put_again_or_beside_or_cancelled_then_answered_alike(
    server_url: str, tmp_path: pathlib.Path
) -> None:
    async def life(url: str) -> list[Any]:
        given = {"input": {"prompt": "one two", "pause_s": 2}}
        async with aiohttp.ClientSession(url) as client:
            await until(lambda: has_room(client))
            told = []
            for method, path, headers in (
                ("PUT", "/predictions/b1", LATER),
                ("PUT", "/predictions/b1", JSON),
                ("POST", "/predictions/b1/cancel", {}),
            ):
                async with client.request(method, path, headers=headers, json=given) as answer:
                    value = await answer.json()
                    state = value.pop("status", None)
                    told.append((answer.status, sorted(value), "running" if state == "processing" else state))
            return told

    async with server.Running(twin.CogTwin(invented.given(tmp_path, latency_s=5.0))) as there:
        await asyncio.sleep(0)
        ours, theirs = await life(there.url), await life(server_url)

    assert [(status, keys) for status, keys, _ in ours] == [(status, keys) for status, keys, _ in theirs]
    assert theirs[0] == (202, ["id"], "starting")


async def test_webhook_when_wanted_then_the_same_events_in_the_same_form(
    server_url: str, tmp_path: pathlib.Path
) -> None:
    async def letters(url: str) -> list[Any]:
        async with invented.Receiver() as receiver:
            wanted = ["start", "completed"]
            body = {"input": SIX, "webhook": receiver.url, "webhook_events_filter": wanted}
            assert (await asked(url, ("PUT", "/predictions/c1", LATER, body)))["status"] == 202
            await receiver.wait(len(wanted))
            return [
                (headers["content-type"], sorted(json.loads(body)), json.loads(body)["status"])
                for headers, body in receiver.letters
            ]

    async with server.Running(twin.CogTwin(invented.given(tmp_path))) as there:
        ours, theirs = await letters(there.url), await letters(server_url)

    assert ours == theirs


@contextlib.asynccontextmanager
async def _open(adapter: str, url: str, **settings: Any) -> AsyncIterator[provider.Provider]:
    made = twin_caller.made(adapter, url, **settings)
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize("mode", list(wire.Mode))
async def test_adapter_when_it_runs_a_prediction_in_any_mode_then_its_words(
    mode: wire.Mode, server_url: str, tmp_path: pathlib.Path
) -> None:
    heard: list[Any] = []
    async with _open("cog", server_url, mode=mode.value, poll_after_s=0.2) as there:
        request = twin_caller.request(tmp_path, asked=SIX, idempotency_key=f"key-{mode}", on_delta=heard.append)
        outcome = await there.send(request)
        if isinstance(outcome, settle.Accepted):
            outcome = await there.poll(outcome.handle, request)

    assert isinstance(outcome, settle.Completed), outcome
    assert outcome.output == SIX["prompt"].split()
    assert [piece["chunk"] for piece in heard] == ([] if mode is wire.Mode.WAIT else outcome.output)


async def test_adapter_when_the_model_raises_or_refuses_then_rejected_for_good(
    server_url: str, tmp_path: pathlib.Path
) -> None:
    async with _open("cog", server_url, mode="wait") as there:
        raised = await there.send(twin_caller.request(tmp_path, asked={"prompt": "fail"}))
        refused = await there.send(twin_caller.request(tmp_path, asked={}, attempt_id="att_2"))
        trouble = await there.check()

    assert provider_suite.fault_of(raised) is faults.Fault.REJECTED_PERMANENT
    assert provider_suite.fault_of(refused) is faults.Fault.REJECTED_PERMANENT
    assert trouble is None
