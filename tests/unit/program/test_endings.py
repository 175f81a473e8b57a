"""How an activation ends badly: where the fault is, what is dropped, and what stays silent."""

import dataclasses
import gc
import warnings
from collections.abc import Iterator

import pytest

import heddle
from heddle.core import faults, plan
from heddle.program import activation, driver, registry
from tests.unit.program import journals, shapes


@pytest.fixture(autouse=True)
def _own_names() -> Iterator[None]:
    with registry.isolated():
        yield


def test_return_when_journalled_calls_are_not_reached_then_the_workflow_has_changed() -> None:
    @heddle.workflow
    async def shorter(number: int) -> int:
        return int(await shapes.double(number))

    first, second = journals.first_plan(shapes.graph, {"number": 3}).calls
    entries = journals.by_ordinal(journals.succeeded(first, 6), journals.succeeded(second, 13))

    fault = journals.fault_of(driver.activate(shorter, journals.journal(shorter, {"number": 3}, entries=entries)))

    assert fault.fault is faults.Fault.WORKFLOW_CHANGED
    assert "call 2, step shapes.double" in fault.message


def test_failed_call_when_not_handled_then_the_run_has_its_fault_and_the_line() -> None:
    entries = journals.by_ordinal(journals.failed(journals.first_plan(shapes.chain, {"number": 3}).calls[0]))

    fault = journals.fault_of(
        driver.activate(shapes.chain, journals.journal(shapes.chain, {"number": 3}, entries=entries))
    )

    assert fault.fault is faults.Fault.REJECTED_PERMANENT
    assert fault.message == "shapes.double (call 1) failed, rejected_permanent: the photo is no photo"
    assert fault.where.startswith("tests/unit/program/shapes.py:")


def test_function_when_it_raises_then_type_message_and_line_are_named_and_its_calls_dropped() -> None:
    @heddle.workflow
    async def broken() -> None:
        shapes.double(1)
        raise LookupError("no such scene")

    planned = journals.first_plan(broken)

    fault = journals.fault_of(planned)
    assert (fault.fault, fault.message) == (faults.Fault.CODE_RAISED, "LookupError: no such scene")
    assert fault.where.startswith("tests/unit/program/test_endings.py:")
    assert planned.calls == ()


@pytest.mark.parametrize(
    "error", [SystemExit(3), GeneratorExit(), BaseException("odd")], ids=lambda error: type(error).__name__
)
def test_function_when_it_raises_what_is_no_exception_then_the_thread_lives(error: BaseException) -> None:
    @heddle.workflow
    async def leaves() -> None:
        raise error

    assert journals.fault_of(journals.first_plan(leaves)).fault is faults.Fault.CODE_RAISED


def test_eviction_when_the_function_cleans_up_then_it_is_silent_and_calls_nothing() -> None:
    unwound: list[str] = []

    @heddle.workflow
    async def tidy() -> None:
        try:
            await shapes.double(1)
        finally:
            try:
                shapes.double(2)
            finally:
                unwound.append("call refused")
                await shapes.double(3)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        planned = journals.first_plan(tidy)
        gc.collect()

    assert [call.ordinal for call in planned.calls] == [1]
    assert isinstance(planned.ending, plan.Suspended)
    assert unwound == ["call refused"]


def test_eviction_when_the_function_swallows_everything_then_the_activation_still_ends() -> None:
    @heddle.workflow
    async def stubborn() -> None:
        for _ in range(5):
            try:
                await shapes.double(1)
            except BaseException:  # noqa: BLE001 - what is tested
                continue

    planned = journals.first_plan(stubborn)

    assert isinstance(planned.ending, plan.Suspended)
    assert [call.ordinal for call in planned.calls] == [1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_eviction_when_the_function_never_lets_go_then_the_thread_is_not_held_and_the_author_is_told() -> None:
    @heddle.workflow
    async def endless() -> None:
        while True:
            try:
                await shapes.double(1)
            except BaseException:  # noqa: BLE001 - what is tested
                continue

    planned = journals.first_plan(endless)

    assert journals.fault_of(planned).fault is faults.Fault.WORKFLOW_MISUSE
    assert "catches BaseException" in journals.fault_of(planned).message


def test_argument_when_too_large_then_the_field_is_named() -> None:
    @heddle.workflow
    async def heavy() -> None:
        shapes.double({"pages": ["x", "y" * 70_000]})

    fault = journals.fault_of(journals.first_plan(heavy))

    assert fault.fault is faults.Fault.TOO_LARGE
    assert fault.message.startswith("shapes.double(…): number.pages[1] is 70,002 bytes")
    assert fault.where.startswith("tests/unit/program/test_endings.py:")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1, 2}, "number[0] is a set"),
        (b"x", "number[0] is a bytes"),
        (float("nan"), "number[0] is nan"),
        ({1: 2}, "number[0] has the key 1"),
        (object(), "number[0] is a object"),
    ],
)
def test_argument_when_it_cannot_be_stored_then_the_place_is_named(value: object, words: str) -> None:
    @heddle.workflow
    async def odd() -> None:
        shapes.double([value])

    fault = journals.fault_of(journals.first_plan(odd))

    assert fault.fault is faults.Fault.WORKFLOW_MISUSE
    assert words in fault.message


def test_value_when_it_holds_itself_then_it_is_refused_not_followed_for_ever() -> None:
    @heddle.workflow
    async def knot() -> None:
        value: list[object] = []
        value.append(value)
        shapes.double(value)

    assert "nested more than 64 deep" in journals.fault_of(journals.first_plan(knot)).message


def test_result_when_it_breaks_its_annotation_then_the_run_has_a_bad_output() -> None:
    @heddle.workflow
    async def liar() -> list[int]:
        return [1, "two"]  # type: ignore[list-item]

    fault = journals.fault_of(journals.first_plan(liar))

    assert fault.fault is faults.Fault.BAD_OUTPUT
    assert fault.message.startswith("output[1]: Input should be a valid integer")
    assert fault.where == "workflow liar"


def test_calls_when_more_than_the_limit_then_nothing_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation, "CALLS_MAX", 3)

    @heddle.workflow
    async def endless() -> None:
        while True:
            try:
                shapes.double(1)
            except heddle.WorkflowMisused:
                continue

    planned = journals.first_plan(endless)

    assert "more than 3 calls" in journals.fault_of(planned).message
    assert planned.calls == ()


def test_awaits_when_more_than_the_limit_then_the_fault_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation, "AWAITS_MAX", 3)

    @heddle.workflow
    async def impatient() -> None:
        for _ in range(4):
            await heddle.now()

    fault = journals.fault_of(journals.first_plan(impatient))

    assert fault.fault is faults.Fault.WORKFLOW_MISUSE
    assert "more than 3 times" in fault.message
    assert "heddle.all_of" in fault.message


def test_call_when_kept_from_another_run_then_it_is_refused() -> None:
    kept: list[heddle.Call[int]] = []

    @heddle.workflow
    async def keeps() -> None:
        kept.append(shapes.double(1))
        shapes.double(kept[0])
        await kept[0]

    journals.first_plan(keeps)
    fault = journals.fault_of(journals.first_plan(keeps))

    assert fault.fault is faults.Fault.WORKFLOW_MISUSE
    assert "of another run" in fault.message


def test_stored_input_when_it_no_longer_fits_then_the_workflow_has_changed() -> None:
    fault = journals.fault_of(
        driver.activate(
            shapes.chain, dataclasses.replace(journals.journal(shapes.chain, {"number": 1}), input={"count": 1})
        )
    )

    assert fault.fault is faults.Fault.WORKFLOW_CHANGED
    assert "number: Field required" in fault.message
