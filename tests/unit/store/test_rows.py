"""Records into parameters and rows into records; that PostgreSQL reads the arrays so is in the integration rung."""

import json
import uuid
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from heddle.core import artifact, faults, plan, step
from heddle.ports import store
from heddle.store import rows

LAW = hypothesis.settings(max_examples=60, derandomize=True, deadline=None)
RUN = uuid.UUID("0190163d-8694-739b-aea5-966c26f8ad91")
PHOTO = artifact.Artifact(sha256="ab" * 32, media_type="image/png", size_bytes=12)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


@pytest.mark.parametrize(
    ("values", "literal"),
    [
        ([], "{}"),
        ([None, None], "{}"),
        ([1, None, -3], "{1,NULL,-3}"),
        ([0.1, 1e300, float("inf")], "{0.1,1e+300,inf}"),
        ([True, None, False], "{t,NULL,f}"),
        ([RUN, None], f"{{{RUN},NULL}}"),
        (["a", None], '{"a",NULL}'),
        ([None, "NULL"], '{NULL,"NULL"}'),
        ([""], '{""}'),
        (['{"a": "b\\n"}'], '{"{\\"a\\": \\"b\\\\n\\"}"}'),
        (["a,b", "{}", " "], '{"a,b","{}"," "}'),
    ],
)
def test_array_then_its_text_form_is_that_of_postgresql(values: list[Any], literal: str) -> None:
    assert rows.array(values) == literal


@pytest.mark.parametrize(("values", "literal"), [((), "{}"), ((3,), "{3}"), ((3, 1), "{3,1}")])
def test_int_array_then_its_text_form_is_that_of_postgresql(values: tuple[int, ...], literal: str) -> None:
    assert rows.int_array(values) == literal


@LAW
@hypothesis.given(value=VALUES)
def test_a_value_that_is_written_is_read_back_equal(value: Any) -> None:
    assert json.loads(rows.dump(value)) == value


def test_optional_dump_when_there_is_nothing_then_it_is_null_and_not_the_json_null() -> None:
    assert rows.optional_dump(None) is None
    assert rows.optional_dump(0) == "0"


def test_ended_then_runs_are_read_whether_or_not_there_are_any() -> None:
    assert rows.ended(None) == ()
    assert rows.ended([["shoot", "failed", "batch", 2.5]]) == (
        store.EndedRun(workflow="shoot", state="failed", priority="batch", duration_s=2.5),
    )


def test_entry_then_a_journalled_call_is_read_with_its_fault() -> None:
    told = faults.StepFault(fault=faults.Fault.DEADLINE, message="late", where="x")

    run_id, entry = rows.entry((RUN, 3, "model", "relight", "d1", "failed", told.as_json(), 12.5, False, None))

    assert run_id == RUN
    assert entry == plan.JournalEntry(
        ordinal=3,
        kind=step.StepKind.MODEL,
        name="relight",
        digest="d1",
        state=step.StepState.FAILED,
        fault=told,
        ended_at_s=12.5,
    )


@pytest.mark.parametrize(("stopping", "read"), [(None, None), ("expired", plan.StopReason.EXPIRED)])
def test_journal_then_the_row_is_read_with_its_entries(stopping: str | None, read: plan.StopReason | None) -> None:
    entries: dict[int, plan.JournalEntry] = {}
    row: tuple[Any, ...] = (RUN, "shoot", 2, {"a": 1}, ["fix"], 7, stopping, 4, [], "running", "batch", 9, None, 3, 1.5)

    loaded = rows.journal(row, entries)

    assert (loaded.wake_seq, loaded.tenant_id, loaded.priority) == (7, 9, "batch")
    assert loaded.journal == plan.Journal(
        run_id=RUN,
        workflow="shoot",
        version=2,
        input={"a": 1},
        entries=entries,
        patches=frozenset({"fix"}),
        now_s=1.5,
        stopping=read,
        stop_ordinal=4,
        planned=3,
    )


def test_settlements_then_every_array_is_as_long_as_the_batch() -> None:
    batch = [
        store.Settlement(run_id=RUN, ordinal=ordinal, fence=1, number=1, verdict="complete", output="1", is_local=False)
        for ordinal in (1, 2)
    ]

    written = rows.settlements(batch)

    assert {len(values) for values in written.values()} == {2}
    assert (written["ordinals"], written["outputs"], written["verdicts"]) == ([1, 2], ["1", "1"], ["complete"] * 2)


def test_revive_then_a_stored_value_is_shown_without_marks() -> None:
    stored = {"$$call": 1, "photo": PHOTO.as_json()}

    assert rows.revive(stored) == {"$call": 1, "photo": PHOTO.as_public_json()}
    assert rows.artifacts_in(stored) == [PHOTO]
