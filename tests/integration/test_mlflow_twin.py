"""The ``mlflow`` adapter and the twin understand each other, on good days and on bad ones."""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from heddle.core import settle
from heddle.ports import provider
from heddle.twins.kit import server
from heddle.twins.mlflow import requests, twin
from tests.contract import provider_suite
from tests.integration import twin_caller

ROW = {"width": 640, "brand": "acme"}
running = functools.partial(twin_caller.running, twin.MlflowTwin, seed=1, latency_s=0.001)
made = functools.partial(twin_caller.made, "mlflow", secret=None)


@pytest.fixture
async def there(tmp_path: pathlib.Path) -> AsyncIterator[server.Running]:
    async with running(tmp_path) as there:
        yield there


@pytest.fixture
def request_of(tmp_path: pathlib.Path) -> provider.ProviderRequest:
    return twin_caller.request(tmp_path, asked=ROW, model="quality")


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "instances", "inputs"])
async def test_row_when_scored_in_any_form_then_the_same_number(
    form: str, there: server.Running, request_of: provider.ProviderRequest
) -> None:
    adapter = made(there.url, form=form, output="/0")

    outcome = await adapter.send(request_of)
    await adapter.close()

    assert outcome == settle.Completed(output=requests.score(ROW))


async def test_chat_when_asked_then_answered_without_predictions(
    there: server.Running, request_of: provider.ProviderRequest
) -> None:
    adapter = made(there.url, form="llm", output="/choices/0/message/content", used_tokens="/usage/total_tokens")
    given = {"messages": [{"role": "user", "content": "Hi"}]}

    outcome = await adapter.send(dataclasses.replace(request_of, input=given))
    await adapter.close()

    assert isinstance(outcome, settle.Completed)
    assert outcome.output.startswith("A number for that")
    assert (outcome.told.tokens or 0) > 0


async def test_check_when_the_server_is_up_then_nothing_is_wrong(there: server.Running) -> None:
    adapter = made(there.url)

    assert await adapter.check() is None
    await adapter.close()


@pytest.mark.parametrize("is_paid", [False, True])
async def test_bad_day_when_every_fault_happens_then_never_a_wrong_result_and_one_request_a_send(
    is_paid: bool, tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    shares = dict.fromkeys(("throttled", "server_error", "cut", "wrong_type", "huge", "lie"), 0.12)
    async with running(tmp_path, **shares, failed=0.1, cut_at_bytes=30) as there:
        adapter = made(there.url, form="instances", output="/0", response_bytes_max=100_000, paid=is_paid)
        rows = [{"number": number} for number in range(60)]
        outcomes = [await adapter.send(dataclasses.replace(request_of, input=row)) for row in rows]
        await adapter.close()
        sends = there.twin.requests.total()

    found: collections.Counter[str] = collections.Counter()
    for row, outcome in zip(rows, outcomes, strict=True):
        if isinstance(outcome, settle.Completed):
            assert outcome.output == requests.score(row)
        found["done" if isinstance(outcome, settle.Completed) else str(provider_suite.fault_of(outcome))] += 1
    assert sends == 60
    known = {"done", "throttled", "bad_output", "too_large", "rejected_permanent"}
    assert set(found) == {*known, "None" if is_paid else "rejected_transient"}, found
    assert twin_caller.books(tmp_path).paid_twice == ()


@pytest.mark.parametrize(
    ("media_type", "body", "status", "sentence"),
    [
        ("application/json", b"[1]", 400, "exactly one of the input fields"),
        ("application/json", b'{"inputs": 1, "instances": [1]}', 400, "exactly one of the input fields"),
        ("application/json", b"{", 400, "valid JSON formatted string"),
        ("application/json", b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}', 400, "columns passed"),
        ("application/xml", b"<a/>", 415, "only supports the following content types"),
        ("application/json; charset=latin-1", b"{}", 415, "only supports"),
        ("text/csv", b"a,b\n1,2\n", 200, "predictions"),
    ],
)
async def test_server_when_asked_by_hand_then_answers_in_mlflows_words(
    media_type: str, body: bytes, status: int, sentence: str, there: server.Running
) -> None:
    async with (
        aiohttp.ClientSession(there.url) as client,
        client.post("/invocations", data=body, headers={"Content-Type": media_type}) as answer,
    ):
        text: Any = await answer.text()

    assert answer.status == status
    assert sentence in text
    assert ("error_code" in text) == (status == 400)
