"""first_of has one winner: the call that ended first when the function looked, on this pass and on every replay."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

import heddle
from heddle.core import faults, plan, step
from heddle.program import driver, local
from tests.property.program import workflows


@heddle.workflow(name="race.three")
async def three(numbers: list[int], max_failed: int) -> tuple[int, int]:
    """Race three calls and tell which one won."""
    found = await heddle.first_of([workflows.fragile(number=number) for number in numbers], max_failed=max_failed)
    return found.winner, found.value


@heddle.workflow(name="race.with_the_clock")
async def with_the_clock(number: int) -> str:
    """Give a step so much time."""
    found = await heddle.first_of([heddle.sleep(1.0), workflows.fragile(number=number)])
    return "late" if found.winner == 0 else "in time"


def new(numbers: list[int], max_failed: int = 0) -> local.LocalRun:
    """Begin a race of three."""
    run = local.LocalRun(three, {"numbers": numbers, "max_failed": max_failed}, {})
    run.activate()
    return run


def states(run: local.LocalRun) -> list[step.StepState]:
    """Give the states of the calls, by ordinal."""
    return [entry.state for _, entry in sorted(run.entries.items())]


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
def test_race_when_calls_end_in_any_order_before_it_looks_then_the_first_to_end_wins_and_replays_agree(
    order: tuple[int, int, int],
) -> None:
    run = new([2, 4, 6])
    for ordinal in order:
        run.finish(ordinal)

    run.activate()

    winner = order[0]
    assert run.result() == [winner - 1, winner * 20]
    again = driver.activate(run.workflow, run.journal())
    assert (again.ending, again.patches, again.cancels) == (run.ending, (), ())


@pytest.mark.parametrize("first", [1, 2, 3])
def test_race_when_one_has_ended_then_the_others_are_cancelled_and_the_run_is_over(first: int) -> None:
    run = new([2, 4, 6])
    run.finish(first)

    planned = run.activate()

    assert planned.cancels == tuple(ordinal for ordinal in (1, 2, 3) if ordinal != first)
    assert run.due() == []
    assert run.result() == [first - 1, first * 20]


def test_race_when_a_loser_ended_after_the_decision_was_made_then_the_replay_keeps_the_winner() -> None:
    run = new([2, 4, 6])
    run.finish(3)
    run.activate()
    entry = run.entries[1]
    earlier = plan.JournalEntry(
        ordinal=1,
        kind=entry.kind,
        name=entry.name,
        digest=entry.digest,
        state=step.StepState.SUCCEEDED,
        has_output=True,
        output=20,
        ended_at_s=0.0,
    )
    run.entries[1] = earlier

    again = driver.activate(run.workflow, run.journal())

    assert isinstance(again.ending, plan.Returned)
    assert again.ending.shape == [2, 60]


def test_race_when_the_first_to_end_failed_then_it_raises_that_failure_on_every_replay() -> None:
    run = new([2, 3, 5])
    run.finish(3)
    run.activate()
    again = driver.activate(run.workflow, run.journal())

    assert isinstance(run.ending, plan.Raised)
    assert run.ending.fault.fault is faults.Fault.CODE_RAISED
    assert again.ending == run.ending


@limits(max_examples=60)
@given(order=st.permutations([1, 2, 3]), max_failed=st.integers(1, 2))
def test_race_when_some_may_fail_then_the_first_success_within_the_tolerance_wins(
    order: list[int], max_failed: int
) -> None:
    run = new([3, 5, 6], max_failed)
    failed_before = order.index(3)

    for ordinal in order[: failed_before + 1]:
        if isinstance(run.ending, plan.Suspended):
            run.finish(ordinal)
            run.activate()

    assert isinstance(run.ending, plan.Returned if failed_before <= max_failed else plan.Raised)


@limits(max_examples=80)
@given(seed=st.integers(0, 2**32), numbers=st.lists(st.integers(0, 9), min_size=2, max_size=5))
def test_race_when_killed_at_every_await_then_each_replay_sees_the_same_winner(seed: int, numbers: list[int]) -> None:
    rng = random.Random(seed)
    run = local.LocalRun(workflows.race, {"numbers": numbers}, {})
    seen: set[str] = set()
    for _ in range(200):
        if run.needs_activation():
            assert driver.activate(run.workflow, run.journal()) == driver.activate(run.workflow, run.journal())
            run.activate()
            kept = {mark for mark in run.patches if mark.startswith("$first.")}
            assert seen <= kept
            seen = kept
        elif not isinstance(run.ending, plan.Suspended) or not (due := run.due()):
            break
        else:
            run.finish(rng.choice(due))

    assert isinstance(run.ending, plan.Returned | plan.Raised)
    assert len(seen) == len({mark.split(".")[1] for mark in seen})


@limits(max_examples=80)
@given(moves=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_race_when_the_run_is_stopped_at_any_moment_then_it_ends_cancelled(moves: int, seed: int) -> None:
    rng = random.Random(seed)
    run = local.LocalRun(workflows.race, {"numbers": [2, 4, 6]}, {})
    for _ in range(moves):
        if run.needs_activation():
            run.activate()
        elif isinstance(run.ending, plan.Suspended) and (due := run.due()):
            run.finish(rng.choice(due))
    was_over = isinstance(run.ending, plan.Returned)

    run.stop()
    if not was_over:
        run.activate()

    assert was_over or isinstance(run.ending, plan.Raised)
    assert was_over or run.ending.fault.fault is faults.Fault.CANCELLED  # type: ignore[union-attr]


def test_race_when_it_is_with_a_sleep_then_the_step_has_so_much_time() -> None:
    assert local.finish(local.LocalRun(with_the_clock, {"number": 2}, {}), min) == "late"
    assert local.finish(local.LocalRun(with_the_clock, {"number": 2}, {}), max) == "in time"


def test_race_when_nothing_races_or_the_count_is_wrong_then_it_is_refused() -> None:
    @heddle.workflow(name="race.bad")
    async def bad(max_failed: int, count: int) -> int:
        calls = [workflows.fragile(number=2) for _ in range(count)]
        return (await heddle.first_of(calls, max_failed=max_failed)).winner

    for max_failed, count in ((0, 0), (1, 1), (-1, 2)):
        with pytest.raises(local.LocalRunFailed, match=r"first_of takes|max_failed is a count"):
            local.run_locally(bad, {"max_failed": max_failed, "count": count})
