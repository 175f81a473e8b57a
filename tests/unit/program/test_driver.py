"""One activation: what is planned, what is waited for, and what a replay recognises."""

from collections.abc import Iterator

import pytest

import heddle
from heddle.core import faults, plan, step
from heddle.program import driver, registry
from tests.unit.program import journals, shapes


@pytest.fixture(autouse=True)
def _own_names() -> Iterator[None]:
    with registry.isolated():
        yield


def test_call_when_not_awaited_then_the_whole_graph_is_planned_in_one_pass() -> None:
    planned = journals.first_plan(shapes.graph, {"number": 3})

    first, second = planned.calls
    assert (first.ordinal, first.kind, first.name, first.arguments) == (
        1,
        step.StepKind.STEP,
        "shapes.double",
        {"number": 3},
    )
    assert first.options.timeout_s == 20
    assert first.options.memory_bytes == 1 << 28
    assert second.arguments == {"number": {"$call": [1, []]}, "plus": 1}
    assert (first.parents, second.parents) == ((), (1,))
    assert planned.ending == plan.Returned(shape=[{"$call": [1, []]}, {"$call": [2, []]}, 7], refs=(1, 2))


def test_await_when_the_call_has_not_ended_then_the_activation_suspends_for_it() -> None:
    planned = journals.first_plan(shapes.chain, {"number": 3})

    assert planned.ending == plan.Suspended(need=plan.Need(ordinals=(1,), count=1, max_failed=0))
    assert planned.awaited == (1,)


def test_replay_when_a_call_has_succeeded_then_its_output_goes_on() -> None:
    (first,) = journals.first_plan(shapes.chain, {"number": 3}).calls
    entries = journals.by_ordinal(journals.succeeded(first, 6))

    planned = driver.activate(shapes.chain, journals.journal(shapes.chain, {"number": 3}, entries=entries))

    assert [(call.ordinal, call.arguments) for call in planned.calls] == [(2, {"number": 6})]
    assert planned.awaited == (2,)


def test_replay_when_everything_has_ended_then_the_value_is_returned() -> None:
    run = journals.by_ordinal(
        journals.succeeded(journals.first_plan(shapes.chain, {"number": 3}).calls[0], 6),
    )
    (second,) = driver.activate(shapes.chain, journals.journal(shapes.chain, {"number": 3}, entries=run)).calls

    planned = driver.activate(
        shapes.chain, journals.journal(shapes.chain, {"number": 3}, entries={**run, 2: journals.succeeded(second, 12)})
    )

    assert planned.ending == plan.Returned(shape=13, refs=())
    assert planned.calls == ()


def test_replay_when_an_output_is_not_loaded_then_it_is_asked_for_and_nothing_is_planned() -> None:
    (first,) = journals.first_plan(shapes.chain, {"number": 3}).calls
    entries = journals.by_ordinal(journals.entry(first, step.StepState.SUCCEEDED))

    planned = driver.activate(shapes.chain, journals.journal(shapes.chain, {"number": 3}, entries=entries))

    assert planned.ending == plan.NeedOutputs(ordinals=(1,))
    assert planned.calls == ()


def test_replay_when_arguments_differ_then_the_workflow_has_changed() -> None:
    (first,) = journals.first_plan(shapes.chain, {"number": 4}).calls
    entries = journals.by_ordinal(journals.succeeded(first, 8))

    fault = journals.fault_of(
        driver.activate(shapes.chain, journals.journal(shapes.chain, {"number": 3}, entries=entries))
    )

    assert fault.fault is faults.Fault.WORKFLOW_CHANGED
    assert "at call 1 the code calls shapes.double with other arguments" in fault.message


def test_replay_when_another_thing_is_called_then_the_fault_names_both() -> None:
    @heddle.workflow
    async def before() -> None:
        shapes.parts()

    @heddle.workflow
    async def after() -> None:
        try:
            shapes.double(1)
        except BaseException:  # noqa: BLE001 - not even this may hide the change
            return

    entries = journals.by_ordinal(journals.succeeded(journals.first_plan(before).calls[0], {}))

    fault = journals.fault_of(driver.activate(after, journals.journal(after, entries=entries)))

    assert fault.fault is faults.Fault.WORKFLOW_CHANGED
    assert "the journal has step shapes.parts, the code calls step shapes.double" in fault.message


def test_replay_when_the_result_no_longer_fits_its_annotation_then_the_workflow_has_changed() -> None:
    (first,) = journals.first_plan(shapes.chain, {"number": 3}).calls
    entries = journals.by_ordinal(journals.succeeded(first, {"was": "a record"}))

    fault = journals.fault_of(
        driver.activate(shapes.chain, journals.journal(shapes.chain, {"number": 3}, entries=entries))
    )

    assert fault.fault is faults.Fault.WORKFLOW_CHANGED
    assert "<call 1 of shapes.double>" in fault.message


def test_await_when_the_call_failed_then_the_workflow_can_handle_it() -> None:
    @heddle.workflow
    async def handles() -> str:
        try:
            await shapes.double(1)
        except heddle.StepFailed as error:
            return f"{error.step} {error.ordinal} {error.fault.fault.value}"
        return "not reached"

    entries = journals.by_ordinal(journals.failed(journals.first_plan(handles).calls[0]))

    planned = driver.activate(handles, journals.journal(handles, entries=entries))

    assert planned.ending == plan.Returned(shape="shapes.double 1 rejected_permanent", refs=())
    assert planned.handled == (1,)


@pytest.mark.parametrize("state", [step.StepState.SKIPPED, step.StepState.CANCELLED])
def test_await_when_the_call_never_ran_then_it_raises_step_failed(state: step.StepState) -> None:
    entries = journals.by_ordinal(journals.entry(journals.first_plan(shapes.chain, {"number": 3}).calls[0], state))

    planned = driver.activate(shapes.chain, journals.journal(shapes.chain, {"number": 3}, entries=entries))

    assert journals.fault_of(planned).fault is faults.Fault.CANCELLED
    assert state.value in journals.fault_of(planned).message
