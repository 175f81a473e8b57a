"""Verdicts in the form they are written: states, money, the breaker, and texts the database can hold."""

import json
from typing import Any

import pytest

from heddle.core import faults, settle
from heddle.core.policy import backoff, retry
from heddle.engine import settle as settle_stage
from heddle.ports import store
from tests.unit.engine import claims

DOWN = faults.StepFault(fault=faults.Fault.REJECTED_TRANSIENT, message="answered 503", where="endpoint studio")
BUSY = faults.StepFault(fault=faults.Fault.THROTTLED, message="answered 429", where="endpoint studio")
LOST = faults.StepFault(fault=faults.Fault.SENT_UNKNOWN, message="no answer")
CALL = claims.claimed(endpoint_id=7, purpose="send", kind="model", name="relight", attempt_state="reserved")


def _fault(fault: faults.StepFault) -> str:
    return json.dumps(fault.as_json(), ensure_ascii=False)


def _written(**changes: Any) -> store.Settlement:
    base: dict[str, Any] = {
        "run_id": claims.RUN,
        "ordinal": 3,
        "fence": 41,
        "number": 2,
        "is_local": False,
        "endpoint_id": 7,
        "attempt_before": "reserved",
    }
    return store.Settlement(**{**base, **changes})


@pytest.mark.parametrize(
    ("verdict", "written"),
    [
        (
            settle.Complete(output={"a": [1, "é"]}, cost_nano_usd=5),
            _written(
                verdict="complete",
                attempt_state="done",
                output='{"a":[1,"é"]}',
                cost_nano_usd=5,
                is_billed=True,
                breaker=1,
            ),
        ),
        (
            settle.Complete(output=None, cost_nano_usd=None),
            _written(verdict="complete", attempt_state="done", output="null", is_billed=True, breaker=1),
        ),
        (
            settle.Complete(output=None, cost_nano_usd=0),
            _written(
                verdict="complete", attempt_state="done", output="null", cost_nano_usd=0, is_billed=True, breaker=1
            ),
        ),
        (
            settle.RetryAt(delay_s=1.5, fault=DOWN, billed_nano_usd=9),
            _written(
                verdict="retry", attempt_state="rejected", delay_s=1.5, fault=_fault(DOWN), cost_nano_usd=9, breaker=-1
            ),
        ),
        (
            settle.RetryAt(delay_s=1.5, fault=BUSY),
            _written(verdict="retry", attempt_state="rejected", delay_s=1.5, fault=_fault(BUSY), breaker=0),
        ),
        (
            settle.RetryAt(delay_s=0.5, fault=LOST, is_same_attempt=True),
            _written(
                verdict="reconcile",
                attempt_state="unknown",
                delay_s=0.5,
                fault=_fault(LOST),
                note="no answer",
                breaker=-1,
            ),
        ),
        (
            settle.PollAt(delay_s=2.0, handle="job_1", note="third in line"),
            _written(
                verdict="poll", attempt_state="accepted", delay_s=2.0, handle="job_1", note="third in line", breaker=1
            ),
        ),
        (
            settle.Reconcile(delay_s=5.0, message="not found yet"),
            _written(verdict="reconcile", attempt_state="unknown", delay_s=5.0, note="not found yet", breaker=-1),
        ),
        (
            settle.Fail(fault=DOWN, billed_nano_usd=9),
            _written(verdict="fail", attempt_state="rejected", fault=_fault(DOWN), cost_nano_usd=9, breaker=-1),
        ),
        (
            settle.Fail(fault=DOWN, billed_nano_usd=None),
            _written(verdict="fail", attempt_state="rejected", fault=_fault(DOWN), is_billed=True, breaker=-1),
        ),
        (
            settle.Bury(message="ask a person"),
            _written(verdict="bury", attempt_state="unknown", note="ask a person", breaker=-1),
        ),
    ],
)
def test_settlement_when_a_model_call_has_a_verdict_then_it_is_written_so(
    verdict: settle.Verdict, written: store.Settlement
) -> None:
    assert settle_stage.settlement(CALL, verdict) == written


def test_settlement_when_a_step_ran_here_then_it_costs_nothing() -> None:
    written = settle_stage.settlement(claims.claimed(), settle.Complete(output=1, cost_nano_usd=5))

    assert (written.is_local, written.is_billed, written.cost_nano_usd, written.output) == (True, False, None, "1")


@pytest.mark.parametrize("fault", faults.Fault)
def test_settlement_when_a_fault_is_written_then_the_breaker_hears_of_it_exactly_if_its_row_says_so(
    fault: faults.Fault,
) -> None:
    written = settle_stage.settlement(CALL, settle.Fail(fault=faults.StepFault(fault=fault, message="m")))

    assert written.breaker == (-1 if faults.FAULTS[fault].counts_for_breaker else 0)


@pytest.mark.parametrize(("number", "before", "is_first"), [(1, 0, True), (2, 0, False), (3, 2, True), (4, 2, False)])
def test_settlement_when_tries_before_do_not_count_then_the_next_one_is_the_first(
    number: int, before: int, is_first: bool
) -> None:
    call = claims.claimed(endpoint_id=7, number=number, attempts_before=before)

    assert settle_stage.settlement(call, settle.Complete(output=1, cost_nano_usd=0)).is_first_try is is_first


def test_settlement_when_nothing_was_sent_then_no_endpoint_is_counted() -> None:
    assert settle_stage.settlement(CALL, settle.Fail(fault=DOWN), is_sent=False).endpoint_id is None


def test_settlement_when_nothing_was_billed_then_no_charge_is_written() -> None:
    written = settle_stage.settlement(CALL, settle.Fail(fault=DOWN))

    assert (written.is_billed, written.cost_nano_usd) == (False, None)


def test_settlement_when_a_fault_holds_what_the_database_cannot_then_it_is_written_out() -> None:
    odd = faults.StepFault(fault=faults.Fault.CODE_RAISED, message="a\x00b\ud83dc é", where="step \x00")

    written = settle_stage.settlement(CALL, settle.Fail(fault=odd))

    assert written.fault is not None
    assert json.loads(written.fault) == {"fault": "code_raised", "message": "a\\x00b\\ud83dc é", "where": "step \\x00"}


@pytest.mark.parametrize(
    ("text", "kept"), [("é", "é"), ("", ""), ("\x00", "\\x00"), ("\ud83d", "\\ud83d"), ("😀\n", "😀\n")]
)
def test_storable_then_only_what_cannot_be_stored_is_written_out(text: str, kept: str) -> None:
    assert settle_stage.storable(text) == kept


@pytest.mark.parametrize("options", [None, {}, {"timeout_s": 3.0}])
def test_retry_of_when_a_call_names_none_then_the_defaults_hold(options: dict[str, Any] | None) -> None:
    assert settle_stage.retry_of(claims.claimed(options=options)) == retry.RetryOptions()


def test_retry_of_when_a_call_names_its_own_then_they_are_read() -> None:
    stored = {
        "max_attempts": 7,
        "retry_after_max_s": 60.0,
        "waits": {"transient_base_s": 0.5, "throttled_base_s": 2.0, "cap_s": 9.0},
    }

    read = settle_stage.retry_of(claims.claimed(options={"retry": stored}))

    waits = backoff.BackoffOptions(transient_base_s=0.5, throttled_base_s=2.0, cap_s=9.0)
    assert read == retry.RetryOptions(max_attempts=7, retry_after_max_s=60.0, waits=waits)


@pytest.mark.parametrize(
    "verdict",
    [
        settle.Reconcile(delay_s=5.0, message="not found yet"),
        settle.PollAt(delay_s=2.0, handle=None),
        settle.RetryAt(delay_s=1.0, fault=LOST, billed_nano_usd=None),
        settle.Fail(fault=LOST, billed_nano_usd=None),
    ],
)
def test_settlement_when_it_only_was_asked_after_then_the_breaker_learns_nothing(verdict: settle.Verdict) -> None:
    asked = claims.claimed(endpoint_id=7, purpose="poll", kind="model", name="relight", attempt_state="unknown")

    assert settle_stage.settlement(asked, verdict).breaker == 0
