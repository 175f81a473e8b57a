"""The table of failures: complete, sane, and at one with what may be retried without asking anybody."""

import http

import pytest

from heddle.core import faults

Fault = faults.Fault


def _named(question: str) -> set[Fault]:
    return {fault for fault, law in faults.FAULTS.items() if getattr(law, question)}


def test_table_then_every_fault_has_one_row() -> None:
    assert set(faults.FAULTS) == set(Fault)


def test_table_when_retried_freely_then_these_and_no_others() -> None:
    assert _named("is_retryable") == {
        Fault.NOT_SENT,
        Fault.THROTTLED,
        Fault.REJECTED_TRANSIENT,
        Fault.PARTIAL,
        Fault.CODE_RAISED,
        Fault.CODE_CRASHED,
    }


def test_table_when_it_may_have_been_billed_then_only_a_broken_answer_is_retried() -> None:
    # Adapters say `partial` of free calls alone; of a paid one a broken answer is an unknown outcome.
    assert _named("may_be_billed") & _named("is_retryable") == {Fault.PARTIAL}


@pytest.mark.parametrize("fault", [Fault.NOT_SENT, Fault.THROTTLED, Fault.REJECTED_TRANSIENT, Fault.REJECTED_PERMANENT])
def test_table_when_the_endpoint_never_took_the_request_then_it_is_not_billed(fault: Fault) -> None:
    assert not faults.FAULTS[fault].may_be_billed


def test_table_when_the_outcome_is_not_known_then_it_is_neither_retried_nor_taken_for_free() -> None:
    law = faults.FAULTS[Fault.SENT_UNKNOWN]

    assert (law.is_retryable, law.may_be_billed, law.counts_for_breaker) == (False, True, True)


def test_table_when_the_endpoint_is_to_blame_then_it_counts_for_the_breaker() -> None:
    assert _named("counts_for_breaker") == {
        Fault.NOT_SENT,
        Fault.REJECTED_TRANSIENT,
        Fault.SENT_UNKNOWN,
        Fault.PARTIAL,
        Fault.UNCLASSIFIED,
    }


@pytest.mark.parametrize("fault", Fault)
def test_status_then_it_is_a_registered_failure(fault: Fault) -> None:
    assert 400 <= http.HTTPStatus(faults.FAULTS[fault].http_status) <= 599


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.THROTTLED, 429),
        (Fault.BUDGET, 402),
        (Fault.TOO_LARGE, 413),
        (Fault.DEADLINE, 504),
        (Fault.CANCELLED, 409),
        (Fault.REJECTED_PERMANENT, 422),
        (Fault.CODE_RAISED, 500),
    ],
)
def test_status_when_the_caller_can_act_on_it_then_it_says_how(fault: Fault, status: int) -> None:
    assert faults.FAULTS[fault].http_status == status


@pytest.mark.parametrize("fault", Fault)
def test_meaning_then_it_is_a_clause_without_a_full_stop(fault: Fault) -> None:
    meaning = faults.FAULTS[fault].meaning

    assert meaning
    assert meaning[0].islower()
    assert not meaning.endswith(".")


@pytest.mark.parametrize("fault", Fault)
def test_step_fault_when_journalled_then_it_is_read_back_equal(fault: Fault) -> None:
    told = faults.StepFault(fault=fault, message="the photo\nis no photo: é", where="endpoint:one")

    assert faults.StepFault.from_json(told.as_json()) == told


def test_step_fault_when_journalled_without_a_place_then_the_place_is_empty() -> None:
    read = faults.StepFault.from_json({"fault": "deadline", "message": "late"})

    assert read == faults.StepFault(fault=Fault.DEADLINE, message="late", where="")


def test_step_fault_when_the_journal_names_an_unknown_fault_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="exploded"):
        faults.StepFault.from_json({"fault": "exploded", "message": "late"})
