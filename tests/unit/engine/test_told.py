"""What an outcome tells reaches its settlement, bounded; a freeze stops this worker at once."""

import json

import pytest

from heddle.core import faults, settle
from heddle.core.policy import told as told_policy
from heddle.engine import told
from heddle.ports import store
from tests.unit.engine import claims

REPORT = told_policy.Report(dimension=told_policy.Dimension.REQUESTS, limit_per_min=60, remaining=5, reset_s=12.0)


def written(outcome: settle.Outcome, *, latency_s: float | None = 0.25) -> store.Settlement:
    settlement = store.Settlement(run_id=claims.RUN, ordinal=1, fence=1, number=1, verdict="complete")
    told.write(settlement, outcome, endpoint="studio", latency_s=latency_s)
    return settlement


def faulted(fault: faults.Fault, *, retry_after_s: float | None = None) -> settle.Faulted:
    return settle.Faulted(fault=faults.StepFault(fault=fault, message="no"), retry_after_s=retry_after_s)


def test_write_when_a_call_succeeded_then_usage_latency_and_lessons_are_there() -> None:
    settlement = written(settle.Completed(output=1, told=told_policy.Told(reports=(REPORT,), tokens=7, images=1)))

    assert (settlement.tokens, settlement.images, settlement.latency_s, settlement.frozen_s) == (7, 1, 0.25, None)
    assert json.loads(settlement.told or "") == [
        {"dimension": 1, "limit_per_min": 60, "remaining": 5, "until_s": 60.0, "empty_s": None}
    ]


def test_write_when_the_answer_says_nothing_then_nothing_is_written() -> None:
    settlement = written(settle.Completed(output=1))

    assert (settlement.tokens, settlement.images, settlement.told, settlement.is_throttled) == (None, None, None, False)


def test_write_when_throttled_then_only_a_request_was_used_and_the_endpoint_is_frozen() -> None:
    settlement = written(faulted(faults.Fault.THROTTLED, retry_after_s=9.0))

    assert (settlement.is_throttled, settlement.tokens, settlement.latency_s) == (True, 0, None)
    assert settlement.frozen_s == 9.0


@pytest.mark.parametrize(
    "outcome",
    [
        faulted(faults.Fault.REJECTED_PERMANENT, retry_after_s=9.0),
        settle.Accepted(handle="j", poll_after_s=1.0, told=told_policy.Told(retry_after_s=9.0)),
        settle.Completed(output=1, told=told_policy.Told(retry_after_s=9.0)),
        settle.StillRunning(poll_after_s=1.0),
        settle.Absent(),
    ],
)
def test_write_when_a_retry_after_is_not_about_the_endpoint_then_it_is_not_frozen(outcome: settle.Outcome) -> None:
    assert written(outcome).frozen_s is None


def test_write_when_an_unknown_outcome_came_with_retry_after_then_it_is_frozen() -> None:
    assert written(settle.Unknown(message="503", told=told_policy.Told(retry_after_s=4.0))).frozen_s == 4.0


def test_freezes_when_noted_then_the_longest_counts_and_ends() -> None:
    freezes = told.Freezes()
    freezes.note(7, until_s=20.0)
    freezes.note(7, until_s=15.0)

    assert [freezes.is_frozen(7, now_s=now_s) for now_s in (10.0, 19.9, 20.0)] == [True, True, False]
    assert not freezes.is_frozen(8, now_s=10.0)
