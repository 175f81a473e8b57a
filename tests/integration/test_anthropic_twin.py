"""The ``anthropic`` adapter against the twin with its faults on: told apart, priced as the ledger says, sent once."""

import dataclasses
import pathlib
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from heddle.core import faults, settle
from heddle.ports import provider
from heddle.twins.anthropic import twin
from tests.contract import provider_suite
from tests.integration import twin_caller

MODEL = "claude-opus-5-5"
ASKED = {"max_tokens": 200, "messages": [{"role": "user", "content": "Describe espresso on marble."}]}
STREAM = {"model_name": MODEL, "stream": True}
WHOLE = {"model_name": MODEL}


def speaking(
    folder: pathlib.Path, given: Mapping[str, Any], **plan: Any
) -> AbstractAsyncContextManager[twin_caller.Caller]:
    """A running twin and the endpoint that speaks to it."""
    return twin_caller.calling(twin.AnthropicTwin, folder, plan, **given)


@pytest.fixture
def request_of(tmp_path: pathlib.Path) -> provider.ProviderRequest:
    return twin_caller.request(tmp_path, asked=ASKED, model="writer")


@pytest.mark.parametrize("given", [WHOLE, STREAM], ids=["whole", "streamed"])
async def test_message_when_asked_then_its_cost_is_what_the_ledger_says(
    given: Mapping[str, Any], tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    system = [{"type": "text", "text": "Be brief. " * 500, "cache_control": {"type": "ephemeral"}}]
    request = dataclasses.replace(request_of, input={**ASKED, "system": system})
    async with speaking(tmp_path, given) as there:
        outcomes = [await there.provider.send(request) for _ in range(2)]

    assert all(isinstance(outcome, settle.Completed) for outcome in outcomes), outcomes
    costs = [outcome.cost_nano_usd for outcome in outcomes if isinstance(outcome, settle.Completed)]
    assert costs[1] < costs[0]
    assert sum(costs) == twin_caller.books(tmp_path).paid_nano_usd


async def test_message_when_listened_to_then_streamed_and_the_same_as_whole(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    picture = (await provider_suite.stored(request_of.artifacts, provider_suite.picture())).as_json()
    thinking = {"type": "enabled", "budget_tokens": 1_024}
    messages = [{"role": "user", "content": [picture, {"type": "text", "text": "What is this?"}]}]
    request = dataclasses.replace(request_of, input={"max_tokens": 2_000, "messages": messages, "thinking": thinking})
    pieces: list[Any] = []
    async with speaking(tmp_path, WHOLE) as there:
        whole = await there.provider.send(request)
        heard = await there.provider.send(dataclasses.replace(request, on_delta=pieces.append))

    assert isinstance(whole, settle.Completed), whole
    assert isinstance(heard, settle.Completed), heard
    assert (heard.output["content"], heard.output["usage"]) == (whole.output["content"], whole.output["usage"])
    said = "".join(piece["delta"]["text"] for piece in pieces if piece["delta"]["type"] == "text_delta")
    assert said == whole.output["content"][-1]["text"]


@pytest.mark.parametrize(
    ("given", "rates", "expected", "bought"),
    [
        (WHOLE, {"throttled": 1.0}, ("throttled",), 0),
        (WHOLE, {"server_error": 1.0}, (None, "rejected_transient"), 0),
        (WHOLE, {"cut": 1.0}, (None,), 1),
        (WHOLE, {"hang": 1.0}, (None,), 1),
        (WHOLE, {"wrong_type": 1.0}, ("bad_output",), 1),
        (WHOLE, {"huge": 1.0}, ("too_large",), 1),
        (WHOLE, {"lie": 1.0}, ("bad_output",), 1),
        (STREAM, {"throttled": 1.0}, ("throttled",), 0),
        (STREAM, {"cut": 1.0}, (None,), 1),
        (STREAM, {"hang": 1.0}, (None,), 1),
        (STREAM, {"lie": 1.0}, ("partial",), 1),
    ],
    ids=str,
)
async def test_send_when_a_fault_strikes_then_told_apart_and_sent_once(
    given: Mapping[str, Any],
    rates: dict[str, float],
    expected: tuple[str | None, ...],
    bought: int,
    tmp_path: pathlib.Path,
    request_of: provider.ProviderRequest,
) -> None:
    plan = {**rates, "cut_at_bytes": 700, "latency_s": 0.01}
    async with speaking(tmp_path, given, **plan) as there:
        outcome = await there.provider.send(dataclasses.replace(request_of, timeout_s=3.0))

    assert provider_suite.fault_of(outcome) in expected, outcome
    assert sum(there.twin.requests.values()) == 1
    assert twin_caller.books(tmp_path).paid == bought


async def test_stream_when_it_breaks_off_uncounted_then_its_bill_is_not_known(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with speaking(tmp_path, STREAM, lie=1.0) as there:
        outcome = await there.provider.send(request_of)

    assert isinstance(outcome, settle.Faulted)
    assert outcome.fault.fault is faults.Fault.PARTIAL
    assert outcome.billed_nano_usd is None
    assert twin_caller.books(tmp_path).paid_nano_usd > 0


async def test_stream_when_it_drips_then_whole_all_the_same(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    plan = {"drip": 1.0, "drip_s": 0.0}
    async with speaking(tmp_path, STREAM, **plan) as there:
        outcome = await there.provider.send(request_of)

    assert isinstance(outcome, settle.Completed), outcome


async def test_check_when_the_key_is_taken_then_nothing_is_wrong(tmp_path: pathlib.Path) -> None:
    async with speaking(tmp_path, WHOLE) as there:
        assert await there.provider.check() is None
