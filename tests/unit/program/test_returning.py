"""A returned value made of calls is held to the declared type, at no cost where the calls' own types prove it."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

import heddle
from heddle.core import faults, plan
from heddle.program import local, registry

pytestmark = pytest.mark.usefixtures("_own_names")


@pytest.fixture
def _own_names() -> Iterator[None]:
    with registry.isolated():
        yield


@dataclasses.dataclass(frozen=True)
class Size:
    """Hold a size."""

    width_px: int


def made(annotation: Any, how: str = "list") -> local.LocalRun:
    """Begin a run of a workflow that returns calls of a step and of a model, under a declared type."""

    @heddle.step(name="returning.number")
    def number(value: int) -> int:
        return value

    @heddle.step(name="returning.size")
    def size(value: int) -> Size:
        return Size(width_px=value)

    untyped = heddle.model("returning.untyped")
    values: dict[str, Any] = {
        "list": lambda: [number(value=1), number(value=2)],
        "one": lambda: number(value=1),
        "model": lambda: untyped(x=1),
        "models": lambda: [untyped(x=1), 7],
        "dict": lambda: {"a": number(value=1), "b": 2},
        "pair": lambda: (number(value=1), "x"),
        "part": lambda: size(value=3).width_px,
        "missing": lambda: size(value=3).height_px,
        "record": lambda: Size(width_px=number(value=4)),
    }

    async def function() -> None:
        return values[how]()  # type: ignore[no-any-return]

    function.__annotations__["return"] = annotation
    workflow = heddle.workflow(name="returning.workflow")(function)
    run = local.LocalRun(workflow, {}, {"returning.untyped": lambda **_: "a text"})
    run.activate()
    return run


@pytest.mark.parametrize(
    ("annotation", "how"),
    [
        (list[int], "list"),
        (int, "one"),
        (int | None, "one"),
        (Any, "model"),
        (list[Any], "models"),
        (dict[str, int], "dict"),
        (tuple[int, str], "pair"),
    ],
)
def test_return_when_the_types_of_the_calls_prove_it_then_the_function_is_over_at_once(
    annotation: Any, how: str
) -> None:
    assert isinstance(made(annotation, how).ending, plan.Returned)


@pytest.mark.parametrize(
    ("annotation", "how", "value"),
    [(str, "model", "a text"), (float, "one", 1.0), (int, "part", 3), (Size, "record", {"width_px": 4})],
)
def test_return_when_the_types_do_not_prove_it_then_the_value_is_looked_at_when_it_is_there(
    annotation: Any, how: str, value: object
) -> None:
    run = made(annotation, how)

    assert isinstance(run.ending, plan.Suspended)
    assert local.finish(run) == value


@pytest.mark.parametrize(
    ("annotation", "how", "told"),
    [
        (int, "model", "the value is no int: output: Input should be a valid integer"),
        (list[str], "list", "the value is no list[str]: output[0]: Input should be a valid string"),
        (list[int], "models", "output[0]: Input should be a valid integer"),
        (int, "missing", "the output has no 'height_px'"),
    ],
)
def test_return_when_the_value_is_of_another_type_then_the_run_fails_and_names_the_type(
    annotation: Any, how: str, told: str
) -> None:
    run = made(annotation, how)
    while due := run.due():
        run.finish(due[0])
    run.activate()

    assert isinstance(run.ending, plan.Raised)
    assert run.ending.fault.fault is faults.Fault.BAD_OUTPUT
    assert told in run.ending.fault.message
    assert run.ending.fault.where == "workflow returning.workflow"


def test_return_when_the_run_is_stopped_while_its_value_is_waited_for_then_it_ends_without_being_told() -> None:
    run = made(str, "model")

    run.stop()
    planned = run.activate()

    assert planned.calls == ()
    assert isinstance(planned.ending, plan.Raised)
    assert planned.ending.fault.fault is faults.Fault.CANCELLED
