"""A call is no value before it is awaited, and says so at the line that takes it for one."""

import copy
import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import heddle
from heddle.core import faults, plan
from heddle.program import registry
from tests.unit.program import journals


@pytest.fixture(autouse=True)
def _own_names() -> Iterator[None]:
    with registry.isolated():
        yield


@heddle.step(name="call.rate")
def rate() -> float:
    """Give a number."""
    return 0.5


USES: dict[str, Callable[[Any], object]] = {
    "bool": bool,
    "not": lambda call: not call,
    "iter": iter,
    "list": list,
    "len": len,
    "in": lambda call: 1 in call,
    "equal": lambda call: call == 1,
    "unequal": lambda call: call != call,
    "greater": lambda call: call >= 0.8,
    "less from the right": lambda call: call > 0.8,
    "str": str,
    "f-string": lambda call: f"{call}",
    "percent": lambda call: "%s" % call,  # noqa: UP031 - what is tested
    "format": lambda call: format(call, ".2f"),
    "int": int,
    "float": float,
    "index": lambda call: [1, 2][call],
    "round": round,
    "floor": math.floor,
    "add": lambda call: call + 1,
    "add from the right": lambda call: 1 + call,
    "negate": lambda call: -call,
    "sum": lambda call: sum([call]),
    "pickle": pickle.dumps,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "call": lambda call: call(),
    "method": lambda call: call.items(),
    "slice": lambda call: call[1:2],
    "with": lambda call: call.__enter__(),
    "set item": lambda call: call.__setitem__("k", 1),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_call_when_used_as_a_value_then_it_says_await_it_first(use: Callable[[Any], object]) -> None:
    raised: list[BaseException] = []

    @heddle.workflow(name="call.uses")
    async def uses() -> None:
        call = rate()
        try:
            use(call)
        except heddle.CallNotAwaited as error:
            raised.append(error)
            raise

    fault = journals.fault_of(journals.first_plan(uses))

    assert "await it first" in str(raised[0])
    assert fault.fault is faults.Fault.WORKFLOW_MISUSE
    assert fault.where.startswith("tests/unit/program/test_call.py:")


def test_call_when_shown_by_a_debugger_then_repr_is_safe() -> None:
    shown: list[str] = []

    @heddle.workflow(name="call.shows")
    async def shows() -> None:
        call = rate()
        shown.extend([repr(call), repr(call["a"][0].b)])

    journals.first_plan(shows)

    assert shown == ["<call 1 of call.rate>", "<call 1 of call.rate['a'][0]['b']>"]


def test_call_when_taken_apart_then_private_names_are_attribute_errors() -> None:
    @heddle.workflow(name="call.private")
    async def private() -> bool:
        return hasattr(rate(), "_repr_html_")

    assert journals.first_plan(private).ending == plan.Returned(shape=False, refs=())


def test_calls_when_in_a_set_then_their_order_is_that_of_the_run() -> None:
    @heddle.workflow(name="call.sets")
    async def sets() -> list[float]:
        return list({rate() for _ in range(6)})

    ending = journals.first_plan(sets).ending

    assert isinstance(ending, plan.Returned)
    assert [edge["$call"][0] for edge in ending.shape] == [1, 2, 3, 4, 5, 6]


def test_call_when_it_sits_deep_in_arguments_and_results_then_it_is_an_edge_there() -> None:
    @heddle.step(name="call.takes")
    def takes(value: dict[str, Any]) -> None:
        """Take anything."""

    @heddle.workflow(name="call.deep")
    async def deep() -> dict[str, Any]:
        call = rate()
        takes({"$odd": [{"x": (call.part, 1)}]})
        return {"$answer": [call]}

    planned = journals.first_plan(deep)

    assert planned.calls[1].arguments == {"value": {"$$odd": [{"x": [{"$call": [1, ["part"]]}, 1]}]}}
    assert planned.ending == plan.Returned(shape={"$$answer": [{"$call": [1, []]}]}, refs=(1,))
