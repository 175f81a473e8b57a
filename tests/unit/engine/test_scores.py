"""What an outcome counts for in its endpoint's scorecard."""

import types
from typing import Any, cast

import pytest

from heddle.core import faults, settle
from heddle.core.policy.scorecard import Count
from heddle.engine import execute, scores
from heddle.engine import settle as settle_stage
from tests.unit.engine import claims

MODEL = {"kind": "model", "name": "m", "endpoint_id": 4}
DONE = settle.Completed(output=1, cost_nano_usd=7)


def faulted(fault: faults.Fault, code: str = "", billed: int = 0) -> settle.Faulted:
    return settle.Faulted(fault=faults.StepFault(fault=fault, message="no", code=code), billed_nano_usd=billed)


def counted(outcome: settle.Outcome, verdict: settle.Verdict, **more: Any) -> dict[str, float]:
    """Count one outcome of a call at endpoint 4, and give what is not nothing by name."""
    answered = scores.Answered(**{key: more.pop(key) for key in ("latency_s", "is_promised", "queue_s") if key in more})
    given = {"kind": "model", "name": "m", "purpose": "send", "attempt_state": "reserved", "endpoint_id": 4}
    claimed = claims.claimed(**{**given, **more})
    tally = scores.Scores()
    tally.note(claimed, settle_stage.settlement(claimed, verdict), outcome, answered, price_nano_usd=5)
    (card,) = tally.take().values()
    found = {count.name: card.counts[count] for count in Count if card.counts[count]}
    found |= {name: sum(times) for name, times in (("latency", card.latency), ("queue", card.queue)) if sum(times)}
    return found


@pytest.mark.parametrize(
    ("outcome", "verdict", "cost"),
    [
        (settle.Completed(output=1), settle.Complete(output=1, cost_nano_usd=None), 5),
        (settle.Completed(output=1), settle.Complete(output=1, cost_nano_usd=0), None),
    ],
)
def test_note_when_the_provider_does_not_say_what_it_billed_then_the_price_counts(
    outcome: settle.Outcome, verdict: settle.Verdict, cost: int | None
) -> None:
    assert counted(outcome, verdict).get("COST") == cost


@pytest.mark.parametrize(("own", "cost"), [(90, 90), (0, None), (None, 5)])
def test_conclude_when_the_provider_does_not_say_what_it_billed_then_what_was_reserved_for_the_call_counts(
    own: int | None, cost: int | None
) -> None:
    tally = scores.Scores()
    parts = types.SimpleNamespace(scores=tally, settling=types.SimpleNamespace(put=lambda _written: None))
    endpoint = types.SimpleNamespace(row=claims.endpoint(price_nano_usd=5))
    claimed = claims.claimed(**MODEL, purpose="send", attempt_state="sending", price_nano_usd=own)

    execute.Executor(cast("Any", parts)).conclude(claimed, settle.Completed(output=1), cast("Any", endpoint))

    (card,) = tally.take().values()
    assert (card.counts[Count.COST] or None) == cost


def test_note_when_a_call_gave_a_result_then_its_time_and_cost_count() -> None:
    verdict = settle.Complete(output=1, cost_nano_usd=7)

    assert counted(DONE, verdict, latency_s=2.0) == {"TRIED": 1, "OK": 1, "COST": 7, "latency": 1}


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (faulted(faults.Fault.REJECTED_PERMANENT), "FAILED"),
        (faulted(faults.Fault.THROTTLED), "THROTTLED"),
        (faulted(faults.Fault.BAD_OUTPUT, code=faults.QUALITY), "REJECTED"),
    ],
)
def test_note_when_a_call_failed_then_it_counts_by_its_fault(outcome: settle.Faulted, name: str) -> None:
    assert counted(outcome, settle.Fail(fault=outcome.fault)) == {"TRIED": 1, name: 1}


def test_note_when_a_refused_result_was_paid_for_then_its_cost_counts() -> None:
    outcome = faulted(faults.Fault.BAD_OUTPUT, code=faults.QUALITY, billed=9)
    verdict = settle.RetryAt(delay_s=1.0, fault=outcome.fault, billed_nano_usd=9)

    assert counted(outcome, verdict) == {"TRIED": 1, "REJECTED": 1, "COST": 9}


def test_note_when_an_outcome_is_not_known_then_it_is_ambiguous_once() -> None:
    unknown, verdict = settle.Unknown(message="cut"), settle.Reconcile(delay_s=1.0, message="cut")

    assert counted(unknown, verdict, attempt_state="sending") == {"AMBIGUOUS": 1}
    assert counted(unknown, verdict, attempt_state="unknown") == {}


UNKNOWN = settle.Unknown(message="the provider can be asked neither to repeat nor to look it up")
LOST = faults.StepFault(fault=faults.Fault.SENT_UNKNOWN, message="lost")


@pytest.mark.parametrize(
    ("verdict", "cost"),
    [
        (settle.Bury(message="lost"), {}),
        (settle.Fail(fault=LOST, billed_nano_usd=None), {"COST": 5}),
        (settle.RetryAt(delay_s=1.0, fault=LOST, billed_nano_usd=None), {"COST": 5}),
    ],
)
def test_note_when_our_worker_died_over_a_call_then_its_unknown_end_is_no_failure_of_the_endpoint(
    verdict: settle.Verdict, cost: dict[str, float]
) -> None:
    asked = {"purpose": "poll", "attempt_state": "unknown"}

    assert counted(UNKNOWN, verdict, is_cut_off=True, **asked) == cost
    assert counted(UNKNOWN, verdict, **asked) == {"TRIED": 1, "FAILED": 1, **cost}


def test_note_when_our_worker_died_and_the_job_is_found_then_what_it_came_to_counts() -> None:
    asked = {"purpose": "poll", "attempt_state": "unknown", "is_cut_off": True}
    failed = faulted(faults.Fault.REJECTED_PERMANENT)

    assert counted(failed, settle.Fail(fault=failed.fault), **asked) == {"TRIED": 1, "FAILED": 1}
    assert counted(DONE, settle.Complete(output=1, cost_nano_usd=7), **asked) == {"TRIED": 1, "OK": 1, "COST": 7}


@pytest.mark.parametrize(
    "outcome", [faulted(faults.Fault.CANCELLED), faulted(faults.Fault.NOT_SENT, code=faults.INPUT_UNREAD)]
)
def test_note_when_it_is_our_own_doing_then_nothing_counts(outcome: settle.Faulted) -> None:
    assert counted(outcome, settle.Fail(fault=outcome.fault)) == {}


@pytest.mark.parametrize("is_called_back", [True, False])
def test_note_when_a_job_ended_whose_provider_was_to_call_back_then_it_is_counted_when_its_grace_is_over(
    is_called_back: bool,
) -> None:
    ended = claims.claimed(**MODEL, purpose="poll", handle="h", attempt_state="accepted", is_called_back=is_called_back)
    verdict = settle.Complete(output=1, cost_nano_usd=0)
    tally = scores.Scores()
    tally.note(
        ended, settle_stage.settlement(ended, verdict), DONE, scores.Answered(is_promised=True), price_nano_usd=5
    )
    (before,) = tally.take().values()
    (promise,) = tally.take_promises()
    tally.note_promise(promise, is_kept=False)
    (after,) = tally.take().values()

    assert before.counts[Count.PROMISED] == before.counts[Count.MISSED] == 0
    assert (promise.key, promise.is_kept) == ((4, "m"), is_called_back)
    assert (after.counts[Count.PROMISED], after.counts[Count.MISSED]) == (1, 1)
    assert tally.take_promises() == []


def test_note_when_a_job_has_left_its_providers_line_then_its_time_there_counts() -> None:
    running = settle.StillRunning(poll_after_s=1.0, is_queued=False)

    assert counted(running, settle.PollAt(delay_s=1.0, handle=None), queue_s=12.0) == {"queue": 1}
