"""Whatever is killed and whichever call ends first, a workflow plans the same calls and gives the same result."""

import dataclasses
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from heddle.core import faults, plan, step
from heddle.program import driver, local
from heddle.program.definitions import WorkflowDefinition
from tests.property.program import workflows

CASES: list[tuple[WorkflowDefinition, dict[str, Any], dict[str, object]]] = [
    (workflows.shoot, {"photo": "photo", "scenes": ["a", "b", "c"]}, {}),
    (workflows.shoot, {"photo": "p" * 60, "scenes": ["a", "b"]}, {}),
    (workflows.salvage, {"numbers": [2, 4, 6]}, {}),
    (workflows.salvage, {"numbers": [2, 3, 4]}, {}),
    (workflows.approve, {"picture": "x", "patience_s": 60.0}, {"art_director": "approved"}),
    (workflows.approve, {"picture": "x", "patience_s": 60.0}, {}),
    (workflows.family, {"numbers": [2, 3]}, {}),
]
# Which failure of a group comes first decides what is called next, so only these plan the same calls in every order.
STEADY = [0, 1, 2, 4, 5]
NAMES = [f"{workflow.name}-{index}" for index, (workflow, _, _) in enumerate(CASES)]


def keys(run: local.LocalRun) -> list[tuple[int, str, str, str, tuple[int, ...]]]:
    return [(call.ordinal, call.kind.value, call.name, call.digest, call.parents) for call in run.history]


def new_run(case: int) -> local.LocalRun:
    workflow, given_input, signals = CASES[case]
    return local.LocalRun(workflow, given_input, workflows.MODELS, signals=signals)


def reference(case: int) -> tuple[list[Any], object]:
    run = new_run(case)
    result = local.finish(run)
    return keys(run), result


def killed_finish(run: local.LocalRun, choose: Callable[[list[int]], int]) -> object:
    """Carry a run to its end, each activation run three times: twice its plan is lost, as if the worker had died."""

    def lost_twice() -> None:
        first = driver.activate(run.workflow, run.journal())
        second = driver.activate(run.workflow, run.journal())
        assert first == second

    for _ in range(2_000):
        if run.needs_activation():
            lost_twice()
            run.activate()
            continue
        due = run.due()
        if not due or isinstance(run.ending, plan.Raised):
            return run.result()
        run.finish(choose(due))
    raise AssertionError("the run did not end")


@pytest.mark.parametrize("case", STEADY, ids=[NAMES[case] for case in STEADY])
@pytest.mark.parametrize("choose", [min, max], ids=["first-made-first", "last-made-first"])
def test_run_when_every_activation_is_lost_twice_then_plans_and_result_are_equal(
    case: int, choose: Callable[[list[int]], int]
) -> None:
    run = new_run(case)

    result = killed_finish(run, choose)

    expected_keys, expected = reference(case)
    assert keys(run) == expected_keys
    assert result == expected


@limits(max_examples=60)
@given(case=st.sampled_from(STEADY), seed=st.integers(0, 2**32))
def test_run_when_calls_end_in_any_order_then_plans_and_result_are_equal(case: int, seed: int) -> None:
    run = new_run(case)

    result = killed_finish(run, random.Random(seed).choice)

    expected_keys, expected = reference(case)
    assert keys(run) == expected_keys
    assert result == expected


@limits(max_examples=60)
@given(case=st.integers(0, len(CASES) - 1), seed=st.integers(0, 2**32))
def test_finished_run_when_replayed_from_its_whole_journal_then_nothing_new_is_planned(case: int, seed: int) -> None:
    rng = random.Random(seed)
    run = new_run(case)
    local.finish(run, rng.choice)
    ending = run.ending

    replayed = driver.activate(run.workflow, run.journal())

    assert replayed.calls == ()
    assert replayed.ending == ending
    assert replayed.patches == ()


@limits(max_examples=60)
@given(case=st.integers(0, len(CASES) - 1), seed=st.integers(0, 2**32))
def test_activation_when_outputs_are_not_loaded_then_it_asks_for_them_and_plans_the_same(case: int, seed: int) -> None:
    run = new_run(case)

    pairs = plans_both_ways(run, random.Random(seed))

    assert isinstance(run.ending, plan.Returned)
    assert all(dataclasses.replace(asked, awaited=full.awaited) == full for asked, full in pairs)
    assert all(set(asked.awaited) >= set(full.awaited) for asked, full in pairs)


def plans_both_ways(run: local.LocalRun, rng: random.Random) -> list[tuple[plan.Plan, plan.Plan]]:
    """Carry a run to its end; give each plan as made by asking for outputs, and as made with all of them loaded."""
    pairs = []
    for _ in range(2_000):
        if run.needs_activation():
            pairs.append((asked_until_planned(run), driver.activate(run.workflow, run.journal())))
            run.activate()
        elif due := run.due():
            run.finish(rng.choice(due))
        else:
            return pairs
    raise AssertionError("the run did not end")


def asked_until_planned(run: local.LocalRun) -> plan.Plan:
    """Activate with no output loaded, then with what is asked for, until there is a plan."""
    journal = run.journal()
    loaded: set[int] = set()
    for _ in range(200):
        entries: Mapping[int, plan.JournalEntry] = {
            ordinal: entry if ordinal in loaded else dataclasses.replace(entry, has_output=False, output=None)
            for ordinal, entry in journal.entries.items()
        }
        planned = driver.activate(run.workflow, dataclasses.replace(journal, entries=entries))
        if not isinstance(planned.ending, plan.NeedOutputs):
            return planned
        assert not loaded & set(planned.ending.ordinals), "what is loaded is not asked for again"
        loaded |= set(planned.ending.ordinals)
    raise AssertionError("the activation kept asking for outputs")


@limits(max_examples=100)
@given(moves=st.integers(1, 7), seed=st.integers(0, 2**32))
def test_run_when_told_to_stop_at_any_moment_then_it_is_told_once_and_cleans_up(moves: int, seed: int) -> None:
    rng = random.Random(seed)
    run = local.LocalRun(workflows.careful, {"numbers": [1, 2, 3]}, workflows.MODELS)
    move(run, moves, rng)
    planned_before = len(run.history)

    run.stop()
    move(run, 20, rng)

    assert isinstance(run.ending, plan.Raised)
    assert run.ending.fault.fault is faults.Fault.CANCELLED
    assert [call.name for call in run.history[planned_before:]] == ["replay.total", "replay.fragile"]


def move(run: local.LocalRun, moves: int, rng: random.Random) -> None:
    """Make up to so many moves: an activation that is needed, else the end of one due call."""
    for _ in range(moves):
        if run.needs_activation():
            assert driver.activate(run.workflow, run.journal()) == driver.activate(run.workflow, run.journal())
            run.activate()
        elif due := run.due():
            run.finish(rng.choice(due))


def test_run_when_told_to_stop_before_it_began_then_it_calls_nothing() -> None:
    run = local.LocalRun(workflows.careful, {"numbers": [1, 2, 3]}, workflows.MODELS)

    run.stop(plan.StopReason.EXPIRED)
    planned = run.activate()

    assert planned.calls == ()
    assert isinstance(planned.ending, plan.Raised)
    assert planned.ending.fault.fault is faults.Fault.DEADLINE


def test_stop_when_a_cancelled_call_turns_out_to_have_succeeded_then_replays_stop_at_the_same_await() -> None:
    run = local.LocalRun(workflows.careful, {"numbers": [1, 2]}, workflows.MODELS)
    run.activate()
    run.finish(1)
    run.stop()
    run.activate()
    run.entries[2] = dataclasses.replace(run.entries[2], state=step.StepState.SUCCEEDED, has_output=True, output=40)

    run.finish(3)
    ended = run.activate()

    assert isinstance(ended.ending, plan.Raised)
    assert ended.ending.fault.fault is faults.Fault.CANCELLED
    assert [call.arguments for call in run.history[2:]] == [{"numbers": [20]}, {"number": 22}]
