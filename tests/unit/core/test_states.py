"""The states of runs, steps and attempts: what may follow what, and that the database says the same."""

import enum
import pathlib
import re
from collections.abc import Mapping

import pytest

import heddle.core
from heddle.core import attempt, plan, run, step

Table = Mapping[enum.StrEnum, frozenset[enum.StrEnum]]
StepState = step.StepState
AttemptState = attempt.AttemptState
MIGRATION = pathlib.Path(heddle.core.__file__).parents[1] / "migrations" / "0001_initial.sql"
# What store/sql/settle.sql makes of each verdict, and store/sql/plan.sql and settle.sql of a call that nothing blocks.
AFTER_VERDICT = {
    "complete": StepState.SUCCEEDED,
    "fail": StepState.FAILED,
    "retry": StepState.WAITING,
    "poll": StepState.PENDING,
    "reconcile": StepState.UNKNOWN,
    "bury": StepState.UNKNOWN,
}
TABLES: list[tuple[type[enum.StrEnum], Table]] = [
    (run.RunState, run.TRANSITIONS),  # type: ignore[list-item]
    (step.StepState, step.TRANSITIONS),  # type: ignore[list-item]
    (attempt.AttemptState, attempt.TRANSITIONS),  # type: ignore[list-item]
]


def _reached(table: Table, *beginnings: enum.StrEnum) -> set[enum.StrEnum]:
    found = set(beginnings)
    for _ in table:
        found |= {target for source in found for target in table[source]}
    return found


def _listed(constraint: str) -> set[str]:
    """Give the values that a check of the migration allows."""
    found = re.search(rf"{constraint} check\s*\(\w+ in \(([^)]*)\)\)", MIGRATION.read_text())
    assert found is not None, f"the migration has no check {constraint}"
    return set(re.findall(r"'(\w+)'", found.group(1)))


@pytest.mark.parametrize(("states", "table"), TABLES)
def test_table_then_it_has_a_row_for_every_state_and_names_no_other(states: type[enum.StrEnum], table: Table) -> None:
    assert set(table) == set(states)
    assert {target for targets in table.values() for target in targets} <= set(states)


@pytest.mark.parametrize(("states", "table"), TABLES)
def test_table_then_no_state_moves_to_itself(states: type[enum.StrEnum], table: Table) -> None:
    assert [state for state in states if state in table[state]] == []


def test_run_when_it_begins_queued_then_every_state_can_be_reached() -> None:
    assert _reached(run.TRANSITIONS, run.RunState.QUEUED) == set(run.RunState)  # type: ignore[arg-type]


def test_step_when_it_begins_as_planned_then_every_state_can_be_reached() -> None:
    beginnings = (StepState.BLOCKED, StepState.DUE, StepState.WAITING)

    assert _reached(step.TRANSITIONS, *beginnings) == set(StepState)  # type: ignore[arg-type]


def test_attempt_when_it_begins_reserved_then_every_state_can_be_reached() -> None:
    assert _reached(attempt.TRANSITIONS, AttemptState.RESERVED) == set(AttemptState)  # type: ignore[arg-type]


def test_run_when_it_is_over_then_only_a_retry_of_it_or_of_the_run_above_it_moves_it() -> None:
    moves = {state: set(run.TRANSITIONS[state]) for state in run.TERMINAL if run.TRANSITIONS[state]}

    assert moves == {
        run.RunState.FAILED: {run.RunState.RUNNING},
        run.RunState.EXPIRED: {run.RunState.RUNNING},
        # Only of the run above it, and only where the run was stopped with that one.
        run.RunState.CANCELLED: {run.RunState.RUNNING},
    }


def test_step_when_it_is_over_then_only_a_replay_moves_it() -> None:
    moves = {state: set(step.TRANSITIONS[state]) for state in step.TERMINAL if step.TRANSITIONS[state]}

    assert moves == {
        StepState.FAILED: {StepState.DUE, StepState.WAITING},
        # The provider may have its job still: then that one is asked after.
        StepState.CANCELLED: {
            StepState.DUE,
            StepState.WAITING,
            StepState.BLOCKED,
            StepState.PENDING,
            StepState.UNKNOWN,
        },
        StepState.SKIPPED: {StepState.BLOCKED},
    }


def test_step_when_it_succeeded_then_nothing_moves_it() -> None:
    assert step.TRANSITIONS[StepState.SUCCEEDED] == frozenset()


def test_attempt_when_it_is_over_then_only_a_late_answer_moves_it() -> None:
    moves = {state: set(attempt.TRANSITIONS[state]) for state in attempt.TERMINAL if attempt.TRANSITIONS[state]}

    assert moves == {AttemptState.REJECTED: {AttemptState.LATE}, AttemptState.ABANDONED: {AttemptState.LATE}}


@pytest.mark.parametrize("state", [state for state in AttemptState if state is not AttemptState.RESERVED])
def test_attempt_when_something_was_sent_then_it_is_never_abandoned(state: AttemptState) -> None:
    assert not attempt.may_move(source=state, target=AttemptState.ABANDONED)


@pytest.mark.parametrize("state", StepState)
def test_step_when_open_then_a_stopping_run_may_cancel_it(state: StepState) -> None:
    assert step.may_move(source=state, target=StepState.CANCELLED) == (state not in step.TERMINAL)


@pytest.mark.parametrize(
    ("source", "verdicts"),
    [
        (StepState.DUE, {"complete", "fail", "retry", "poll", "reconcile", "bury"}),
        (StepState.PENDING, {"complete", "fail", "retry", "reconcile", "bury"}),
        (StepState.UNKNOWN, {"complete", "fail", "retry", "poll"}),
        (StepState.WAITING, {"complete", "fail"}),
    ],
)
def test_step_when_it_is_settled_then_the_table_has_the_move(source: StepState, verdicts: set[str]) -> None:
    assert [verdict for verdict in verdicts if not step.may_move(source=source, target=AFTER_VERDICT[verdict])] == []


@pytest.mark.parametrize("kind", [kind for kind in step.StepKind if kind is not step.StepKind.ACTIVATION])
@pytest.mark.parametrize("is_over", [True, False])
def test_step_when_it_is_placed_then_its_state_may_still_reach_an_end(kind: step.StepKind, is_over: bool) -> None:
    call = plan.PlannedCall(
        ordinal=1, kind=kind, name="x", version=1, digest="", arguments={}, parents=(), options=plan.CallOptions()
    )

    begun = plan.first_state(call, is_every_parent_over=is_over)

    assert _reached(step.TRANSITIONS, begun) & set(step.TERMINAL)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", [StepState.DUE, StepState.WAITING, StepState.SKIPPED])
def test_step_when_its_last_parent_ends_then_the_table_has_the_move(target: StepState) -> None:
    assert step.may_move(source=StepState.BLOCKED, target=target)


@pytest.mark.parametrize("source", [AttemptState.RESERVED, AttemptState.SENDING, AttemptState.ACCEPTED])
@pytest.mark.parametrize("target", [AttemptState.DONE, AttemptState.REJECTED, AttemptState.UNKNOWN, AttemptState.LATE])
def test_attempt_when_it_is_settled_then_the_table_has_the_move(source: AttemptState, target: AttemptState) -> None:
    assert attempt.may_move(source=source, target=target)


@pytest.mark.parametrize(
    ("source", "target", "may"),
    [
        (run.RunState.QUEUED, run.RunState.RUNNING, True),
        (run.RunState.QUEUED, run.RunState.SUCCEEDED, False),
        (run.RunState.RUNNING, run.RunState.QUEUED, False),
        (run.RunState.CANCELLED, run.RunState.RUNNING, True),
        (run.RunState.CANCELLED, run.RunState.FAILED, False),
        (run.RunState.SUCCEEDED, run.RunState.FAILED, False),
        (run.RunState.FAILED, run.RunState.RUNNING, True),
    ],
)
def test_run_when_asked_whether_it_may_move_then_the_table_answers(
    source: run.RunState, target: run.RunState, may: bool
) -> None:
    assert run.may_move(source=source, target=target) is may


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("constraint heddle_run_state", {state.value for state in run.RunState}),
        ("constraint heddle_step_state", {state.value for state in StepState}),
        ("constraint heddle_attempt_state", {state.value for state in AttemptState}),
        ("constraint heddle_step_kind", {kind.value for kind in step.StepKind} - {"activation"}),
        ("priority text not null", {each.value for each in run.Priority}),
        ("default 'running'", {each.value for each in run.FunctionState}),
        ("stopping text", {each.value for each in plan.StopReason}),
        ("default 'at_most_once'", {each.value for each in attempt.UnknownPolicy}),
    ],
)
def test_database_then_its_checks_list_the_same_states(constraint: str, values: set[str]) -> None:
    assert _listed(re.escape(constraint)) == values


def test_classes_then_each_has_a_floor_and_interactive_the_highest() -> None:
    shares = [run.CLASS_SHARE[each] for each in (run.Priority.BATCH, run.Priority.STANDARD, run.Priority.INTERACTIVE)]

    assert shares == sorted(shares)
    assert shares[0] >= 1
