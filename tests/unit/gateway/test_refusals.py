"""Nobody is told to repeat what could be paid for twice."""

import uuid

import pytest

from heddle.core import faults
from heddle.gateway import openai_form, refusals, replicate_door
from heddle.ports import calls, store

RUN = uuid.UUID(int=7)


@pytest.mark.parametrize("fault", list(faults.Fault))
@pytest.mark.parametrize("has_key", [False, True])
def test_end_when_it_may_have_been_paid_or_a_key_came_then_no_repeat_is_offered(
    fault: faults.Fault, has_key: bool
) -> None:
    law = faults.FAULTS[fault]
    ended = calls.EndedCall(run_id=RUN, state="failed", error={"fault": fault.value, "message": "no"})

    found = refusals.of_end(ended, has_key=has_key)

    assert found.may_repeat is (law.is_retryable and not law.may_be_billed and not has_key)
    assert (found.status, found.code) == (law.http_status, fault.value)
    assert refusals.headers(found)["x-request-id"] == str(RUN)


def test_end_when_its_outcome_is_not_known_then_a_repeat_is_forbidden_whatever_came() -> None:
    found = refusals.of_end(calls.EndedCall(run_id=RUN, state="running", is_stuck=True), has_key=True)

    assert (found.status, found.code, found.may_repeat) == (504, "outcome_unknown", False)


@pytest.mark.parametrize("has_key", [False, True])
def test_waiting_and_a_lost_database_then_only_a_key_makes_a_repeat_safe(has_key: bool) -> None:
    assert refusals.still_running(RUN, has_key=has_key).may_repeat is has_key
    assert refusals.of_exception(store.StoreLost("away"), has_key=has_key).may_repeat is has_key


def test_unforeseen_then_it_is_answered_without_its_text() -> None:
    found = refusals.of_exception(RuntimeError("a secret"), has_key=False)

    assert (found.status, found.code) == (500, "internal")
    assert "a secret" not in found.message


def test_forms_then_each_shape_says_it_in_its_own_words() -> None:
    refusal = refusals.Refusal(status=422, code="invalid_input", message="is too long", field="webhook_url")

    assert openai_form.error(refusal).status == 400
    assert openai_form.error_body(refusal)["param"] == "webhook_url"
    assert b"webhook: is too long" in (replicate_door.problem(refusal).body or b"")  # type: ignore[operator]
