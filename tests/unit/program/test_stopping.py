"""A run that is told to stop hears of it once, at the await it waits in, and may clean up."""

from collections.abc import Iterator

import pytest

import heddle
from heddle.core import faults, plan, step
from heddle.program import driver, registry
from tests.unit.program import journals


@pytest.fixture(autouse=True)
def _own_names() -> Iterator[None]:
    with registry.isolated():
        yield


@heddle.step(name="stopping.work")
def work(number: int) -> int:
    """Give the number."""
    return number


HEARD: list[object] = []


@heddle.workflow(name="stopping.tidy")
async def tidy() -> int:
    """Await two calls that were made together, then a third, and clean up when told to stop."""
    first, second = work(1), work(2)
    try:
        total = await first
        total += await second
        return total + int(await work(3))
    except Exception:  # noqa: BLE001 - a workflow that hides failures must still hear the request
        return -1
    except heddle.RunStopping as stopping:
        HEARD.append(stopping.reason)
        await work(100)
        raise


@pytest.fixture
def two() -> tuple[plan.PlannedCall, plan.PlannedCall]:
    """Give the calls of the first activation."""
    HEARD.clear()
    first, second = journals.first_plan(tidy).calls
    return first, second


def stop(
    *entries: plan.JournalEntry,
    reason: plan.StopReason = plan.StopReason.CANCELLED,
    patches: frozenset[str] = frozenset(),
    stop_ordinal: int = 2,
) -> plan.Plan:
    """Activate with a request to stop."""
    return driver.activate(
        tidy,
        journals.journal(
            tidy, entries=journals.by_ordinal(*entries), stopping=reason, stop_ordinal=stop_ordinal, patches=patches
        ),
    )


Two = tuple[plan.PlannedCall, plan.PlannedCall]


@pytest.mark.parametrize("state", [step.StepState.DUE, step.StepState.PENDING, step.StepState.CANCELLED])
def test_stop_when_an_await_waits_then_it_is_raised_there_and_the_cleanup_is_planned(
    state: step.StepState, two: Two
) -> None:
    planned = stop(journals.succeeded(two[0], 1), journals.entry(two[1], state))

    assert HEARD == [plan.StopReason.CANCELLED]
    assert [(call.ordinal, call.arguments) for call in planned.calls] == [(3, {"number": 100})]
    assert planned.patches == ("$stop.2.2",)


def test_stop_when_what_it_waited_for_has_just_ended_then_no_new_work_is_begun(two: Two) -> None:
    planned = stop(journals.succeeded(two[0], 1), journals.succeeded(two[1], 2))

    assert [call.arguments for call in planned.calls] == [{"number": 100}]


@pytest.mark.parametrize(
    ("reason", "fault"),
    [(plan.StopReason.CANCELLED, faults.Fault.CANCELLED), (plan.StopReason.EXPIRED, faults.Fault.DEADLINE)],
)
def test_stop_when_the_cleanup_has_ended_then_the_run_ends_by_its_reason(
    reason: plan.StopReason, fault: faults.Fault, two: Two
) -> None:
    open_entries = (journals.succeeded(two[0], 1), journals.entry(two[1], step.StepState.CANCELLED))
    first = stop(*open_entries, reason=reason)

    ended = stop(
        *open_entries, journals.succeeded(first.calls[0], 100), reason=reason, patches=frozenset(first.patches)
    )

    assert journals.fault_of(ended).fault is fault
    assert ended.calls == ()
    assert ended.patches == ()


def test_stop_when_the_function_does_not_clean_up_then_it_ends_at_once() -> None:
    @heddle.workflow(name="stopping.plain")
    async def plain() -> int:
        return int(await work(1))

    entries = journals.by_ordinal(journals.entry(journals.first_plan(plain).calls[0], step.StepState.CANCELLED))

    planned = driver.activate(
        plain, journals.journal(plain, entries=entries, stopping=plan.StopReason.CANCELLED, stop_ordinal=1)
    )

    assert journals.fault_of(planned).fault is faults.Fault.CANCELLED


def test_stop_when_the_function_returns_all_the_same_then_the_run_still_is_cancelled() -> None:
    @heddle.workflow(name="stopping.returns")
    async def returns() -> int:
        try:
            return int(await work(1))
        except heddle.RunStopping:
            work(9)
            return 0

    entries = journals.by_ordinal(journals.entry(journals.first_plan(returns).calls[0], step.StepState.DUE))

    planned = driver.activate(
        returns, journals.journal(returns, entries=entries, stopping=plan.StopReason.CANCELLED, stop_ordinal=1)
    )

    assert journals.fault_of(planned).fault is faults.Fault.CANCELLED
    assert [call.arguments for call in planned.calls] == [{"number": 9}]


def test_stop_when_an_output_is_needed_to_get_there_then_it_is_asked_for_first(two: Two) -> None:
    planned = stop(journals.entry(two[0], step.StepState.SUCCEEDED), journals.entry(two[1], step.StepState.DUE))

    assert planned.ending == plan.NeedOutputs(ordinals=(1,))
    assert HEARD == []
