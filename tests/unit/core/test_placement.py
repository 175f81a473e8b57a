"""Plans, placed over what has happened meanwhile: nothing is started too early, skipped too late, or woken never."""

import pytest

from heddle.core import faults, placement, plan, run, step
from tests.unit.core import plans
from tests.unit.core.plans import call, place, standing, suspended

StepState = step.StepState
StepKind = step.StepKind
FAILURES = [StepState.FAILED, StepState.CANCELLED, StepState.SKIPPED]
OPEN = [StepState.BLOCKED, StepState.DUE, StepState.PENDING, StepState.WAITING, StepState.UNKNOWN]


def test_place_when_calls_form_a_diamond_then_only_the_top_is_due_and_edges_are_inverse() -> None:
    placed = place(call(1), call(2, 1), call(3, 1), call(4, 2, 3))

    assert plans.states(placed) == {1: "due", 2: "blocked", 3: "blocked", 4: "blocked"}
    assert plans.blockers(placed) == {1: 0, 2: 1, 3: 1, 4: 2}
    assert plans.children(placed) == {1: (2, 3), 2: (4,), 3: (4,), 4: ()}
    assert (placed.edges, placed.opened) == ((), 4)


def test_place_when_a_parent_is_an_open_old_call_then_the_edge_goes_to_it() -> None:
    placed = place(call(5, 2, 3), standing=standing({2: StepState.DUE, 3: StepState.SUCCEEDED}, open_calls=1))

    assert plans.states(placed) == {5: "blocked"}
    assert (placed.edges, plans.blockers(placed)) == (((2, 5),), {5: 1})


def test_place_when_every_old_parent_has_succeeded_meanwhile_then_the_call_is_due_without_an_edge() -> None:
    placed = place(call(5, 2, 3), standing=standing({2: StepState.SUCCEEDED, 3: StepState.SUCCEEDED}))

    assert (plans.states(placed), placed.edges, plans.blockers(placed)) == ({5: "due"}, (), {5: 0})


@pytest.mark.parametrize("state", FAILURES)
def test_place_when_an_old_parent_has_failed_then_the_call_is_skipped_and_all_that_follow_it(state: StepState) -> None:
    placed = place(call(5, 2), call(6, 5), call(7, 6), call(8), standing=standing({2: state}))

    assert plans.states(placed) == {5: "skipped", 6: "skipped", 7: "skipped", 8: "due"}
    assert plans.blockers(placed) == {5: 0, 6: 0, 7: 0, 8: 0}
    assert placed.opened == 1


def test_place_when_a_call_is_skipped_then_its_fault_names_the_cause_and_its_edges_are_kept_for_a_retry() -> None:
    placed = place(call(5, 2), call(6, 5), standing=standing({2: StepState.FAILED}))

    named = [item.fault for item in placed.calls]
    assert named == [
        faults.StepFault(
            fault=faults.Fault.REJECTED_PERMANENT,
            message=f"skipped: call {cause}, which it takes a value from, failed",
        )
        for cause in (2, 5)
    ]
    assert (placed.edges, plans.children(placed)) == (((2, 5),), {5: (6,), 6: ()})


def test_place_when_one_parent_failed_and_another_is_open_then_the_call_is_skipped_at_once() -> None:
    placed = place(call(5, 2, 3), standing=standing({2: StepState.DUE, 3: StepState.FAILED}, open_calls=1))

    assert plans.states(placed) == {5: "skipped"}
    assert placed.edges == ((2, 5), (3, 5))


@pytest.mark.parametrize("state", OPEN)
def test_place_when_what_is_awaited_is_open_then_nothing_is_woken(state: StepState) -> None:
    placed = place(ending=suspended(2), standing=standing({2: state}, open_calls=1))

    assert (placed.is_woken, placed.await_left, placed.await_failures_left) == (False, 1, None)
    assert placed.function_state is run.FunctionState.RUNNING


@pytest.mark.parametrize("state", sorted(step.TERMINAL))
def test_place_when_what_is_awaited_has_ended_meanwhile_then_it_is_woken(state: StepState) -> None:
    placed = place(ending=suspended(2), standing=standing({2: state}))

    assert (placed.is_woken, placed.await_left) == (True, 0)


def test_place_when_a_new_call_that_is_awaited_is_skipped_then_it_is_woken() -> None:
    placed = place(call(5, 2), ending=suspended(5), standing=standing({2: StepState.FAILED}))

    assert placed.is_woken


def test_place_when_the_time_is_asked_for_then_the_answer_is_there_and_it_is_woken() -> None:
    placed = place(call(1, kind=StepKind.NOW, output=1.5), ending=suspended(1))

    assert (plans.states(placed), placed.opened, placed.is_woken) == ({1: "succeeded"}, 0, True)


def test_place_when_the_first_of_several_is_awaited_then_one_end_is_enough() -> None:
    states = {2: StepState.DUE, 3: StepState.SUCCEEDED, 4: StepState.DUE}

    placed = place(ending=suspended(2, 3, 4, count=1), standing=standing(states, open_calls=2))

    assert placed.is_woken


def test_place_when_some_of_all_have_ended_then_the_rest_is_counted() -> None:
    states = {2: StepState.SUCCEEDED, 3: StepState.FAILED, 4: StepState.DUE}

    placed = place(ending=suspended(2, 3, 4), standing=standing(states, open_calls=1))

    assert (placed.is_woken, placed.await_left) == (False, 1)


@pytest.mark.parametrize(("max_failed", "left", "is_woken"), [(0, -1, True), (1, 0, False), (2, 1, False)])
def test_place_when_failures_are_allowed_then_only_one_more_wakes(max_failed: int, left: int, is_woken: bool) -> None:
    states = {2: StepState.FAILED, 3: StepState.DUE, 4: StepState.DUE}

    placed = place(ending=suspended(2, 3, 4, max_failed=max_failed), standing=standing(states, open_calls=2))

    assert (placed.await_failures_left, placed.is_woken) == (left, is_woken)


@pytest.mark.parametrize(("open_calls", "is_over"), [(0, True), (1, False)])
def test_place_when_the_function_returned_then_the_run_is_over_when_nothing_is_open(
    open_calls: int, is_over: bool
) -> None:
    placed = place(
        ending=plan.Returned(shape={"$call": [2, []]}, refs=(2,)),
        standing=standing({2: StepState.SUCCEEDED}, open_calls=open_calls),
    )

    assert placed.function_state is run.FunctionState.RETURNED
    assert (placed.is_over, placed.is_broken, placed.is_woken) == (is_over, False, False)


def test_place_when_it_returned_with_new_calls_then_the_run_waits_for_them() -> None:
    placed = place(call(1), ending=plan.Returned(shape={"$call": [1, []]}, refs=(1,)))

    assert (placed.is_over, placed.is_broken) == (False, False)


@pytest.mark.parametrize("state", FAILURES)
def test_place_when_it_returned_a_failed_call_then_the_value_is_broken(state: StepState) -> None:
    placed = place(ending=plan.Returned(shape={"$call": [2, []]}, refs=(2,)), standing=standing({2: state}))

    assert (placed.is_broken, placed.is_over) == (True, True)


def test_place_when_it_returned_a_new_call_that_is_skipped_then_the_value_is_broken() -> None:
    ending = plan.Returned(shape=[{"$call": [5, []]}], refs=(5,))

    placed = place(call(5, 2), ending=ending, standing=standing({2: StepState.FAILED}))

    assert (placed.is_broken, placed.is_over) == (True, True)


def test_place_when_a_stopping_function_raised_with_cleanup_calls_then_the_run_ends_after_them() -> None:
    placed = place(call(8), ending=plans.RAISED, standing=standing(is_stopping=True))

    assert placed.function_state is run.FunctionState.RAISED
    assert (placed.opened, placed.is_over) == (1, False)


def test_place_when_a_stopping_function_raised_without_cleanup_then_the_run_is_over() -> None:
    placed = place(ending=plans.RAISED, standing=standing(is_stopping=True))

    assert placed.is_over


def test_place_when_a_function_raised_by_itself_then_it_is_a_bug_to_place_it() -> None:
    with pytest.raises(AssertionError, match="raised by itself"):
        place(ending=plans.RAISED)


def test_place_when_outputs_are_asked_for_then_it_is_a_bug_to_place_it() -> None:
    with pytest.raises(AssertionError, match="asks for outputs"):
        place(ending=plan.NeedOutputs(ordinals=(1,)))


def test_timers_when_a_sleep_is_placed_then_it_has_its_length() -> None:
    placed = place(call(1, kind=StepKind.SLEEP, delay_s=90.0))

    assert placed.timers == (placement.PlacedTimer(ordinal=1, kind="sleep", delay_s=90.0),)


@pytest.mark.parametrize(("delay_s", "timers"), [(None, ()), (5.0, (("signal", 5.0),))])
def test_timers_when_a_signal_is_not_there_yet_then_only_its_timeout_is_set(
    delay_s: float | None, timers: tuple[tuple[str, float], ...]
) -> None:
    placed = place(call(1, kind=StepKind.SIGNAL, name="art_director", delay_s=delay_s))

    assert tuple((timer.kind, timer.delay_s) for timer in placed.timers) == timers


def test_timers_when_a_signal_is_buffered_then_it_is_taken_at_once() -> None:
    waiting = call(1, kind=StepKind.SIGNAL, name="art_director", delay_s=5.0)

    placed = place(waiting, standing=standing(signals={"art_director": 1, "other": 3}))

    assert [timer.delay_s for timer in placed.timers] == [0.0]


def test_timers_when_one_signal_is_buffered_for_two_calls_then_the_first_takes_it_and_the_second_waits() -> None:
    both = [call(ordinal, kind=StepKind.SIGNAL, name="art_director", delay_s=60.0) for ordinal in (1, 2)]

    placed = place(*both, standing=standing(signals={"art_director": 1}))

    assert [(timer.ordinal, timer.delay_s) for timer in placed.timers] == [(1, 0.0), (2, 60.0)]


def test_timers_when_a_call_waits_for_another_then_it_has_none_yet() -> None:
    placed = place(call(1), call(2, 1, kind=StepKind.SLEEP, delay_s=5.0), call(3, kind=StepKind.WORKFLOW))

    assert placed.timers == ()
    assert plans.states(placed) == {1: "due", 2: "blocked", 3: "waiting"}


def test_named_then_it_lists_old_parents_awaited_and_returned_calls_once() -> None:
    calls = (call(5, 2, 3), call(6, 5, 2))

    assert placement.named(plans.made(*calls, ending=suspended(5, 1))) == (1, 2, 3)
    assert placement.named(plans.made(*calls, ending=plan.Returned(shape=None, refs=(6, 4)))) == (2, 3, 4)
    assert placement.named(plans.made(*calls, ending=plans.RAISED)) == (2, 3)
