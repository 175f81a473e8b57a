"""Expand ``heddle.map``: one call in the author's workflow, a run of its own behind it that calls once for each item.

The run has no function: what to call next is decided here, purely, from how many calls were planned, are open and have
failed. It plans one chunk at a time and never has more than so many calls in flight, so that neither a plan nor a
journal grows with the items. Neighbours: ``forms`` makes the call, the engine activates the run as any other.
"""

import collections.abc
import dataclasses
from typing import Any

from heddle.core import faults, identity, plan, step
from heddle.program import encoding
from heddle.program.call import Call
from heddle.program.definitions import UNVERSIONED, Configured, ModelDefinition, StepDefinition, WorkflowDefinition

NAME = "heddle.map"
VERSION = 1
ITEMS_MAX = 10_000
CHUNK_MAX = 1_000
IN_FLIGHT_MAX = 2_000
# What the items and the arguments given besides may take as JSON: 10,000 artifacts are 1.7 MB.
BYTES_MAX = 2 * 1024**2

Newest = collections.abc.Callable[[str], int]
Mapped = StepDefinition | ModelDefinition | WorkflowDefinition | Configured


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Hold what a map run does: call ``name`` with each of ``items`` as its argument ``over``, ``given`` besides."""

    kind: step.StepKind
    name: str
    options: plan.CallOptions
    over: str
    given: dict[str, identity.JsonValue]
    items: identity.JsonValue
    chunk: int
    in_flight_max: int
    max_failed: int

    @classmethod
    def from_json(cls, value: collections.abc.Mapping[str, Any]) -> "Order":
        """Read the input of a map run."""
        return cls(
            kind=step.StepKind(value["kind"]),
            name=value["name"],
            options=plan.CallOptions.from_json(value["options"]),
            over=value["over"],
            given=value["given"],
            items=value["items"],
            chunk=value["chunk"],
            in_flight_max=value["in_flight_max"],
            max_failed=value["max_failed"],
        )

    def call(self, index: int, *, newest_version: Newest) -> plan.PlannedCall:
        """Plan the call of one item; its failure is counted here and fails nothing by itself."""
        arguments = {**self.given, self.over: self.items[index]}
        return plan.PlannedCall(
            ordinal=index + 1,
            kind=self.kind,
            name=self.name,
            version=newest_version(self.name) if self.kind is step.StepKind.WORKFLOW else UNVERSIONED,
            digest=identity.digest(kind=self.kind, name=self.name, arguments=arguments),
            arguments=arguments,
            parents=(),
            options=dataclasses.replace(self.options, detach=True),
        )


def arguments_of(
    what: Mapped,
    items: collections.abc.Iterable[object] | Call[Any],
    *,
    over: str | None,
    given: collections.abc.Mapping[str, object],
    chunk: int,
    in_flight_max: int,
    max_failed: int,
) -> dict[str, object]:
    """Give the arguments of the call of a map. Raises ValueError and TypeError naming what is wrong."""
    definition, options = (what.definition, what.options) if isinstance(what, Configured) else (what, None)
    if not isinstance(definition, StepDefinition | ModelDefinition | WorkflowDefinition):
        raise TypeError(f"heddle.map takes a step, a model or a workflow first, not {type(definition).__name__}")
    for name, value, low, high in (
        ("chunk", chunk, 1, CHUNK_MAX),
        ("in_flight_max", in_flight_max, 1, IN_FLIGHT_MAX),
        ("max_failed", max_failed, 0, ITEMS_MAX),
    ):
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{name} is a count of {low:,} to {high:,}, not {value!r}")
    over = _over(definition, over)
    if over in given:
        raise ValueError(f"{over} is what each item is given as; leave it out of given")
    return {
        "kind": _kind(definition).value,
        "name": definition.name,
        "options": (options or definition.call_options).as_json(),
        "over": over,
        "given": dict(given),
        "items": _items(items),
        "chunk": min(chunk, in_flight_max),
        "in_flight_max": in_flight_max,
        "max_failed": max_failed,
    }


def decode_each(what: Mapped) -> collections.abc.Callable[[identity.JsonValue], list[Any]]:
    """Give what reads the list of results, each as the type that was declared for one."""
    definition = what.definition if isinstance(what, Configured) else what
    decode = encoding.decode if isinstance(definition, ModelDefinition) else definition.output.decode
    if isinstance(definition, ModelDefinition) and definition.output_codec is not None:
        decode = definition.output_codec.decode
    return lambda output: [None if item is None else decode(item) for item in output]


def _kind(definition: StepDefinition | ModelDefinition | WorkflowDefinition) -> step.StepKind:
    match definition:
        case StepDefinition():
            return step.StepKind.STEP
        case ModelDefinition():
            return step.StepKind.MODEL
        case WorkflowDefinition():
            return step.StepKind.WORKFLOW


def _over(definition: StepDefinition | ModelDefinition | WorkflowDefinition, over: str | None) -> str:
    names: collections.abc.Collection[str] | None
    if isinstance(definition, ModelDefinition):
        names, first = definition.fields, None
    else:
        names, first = definition.parameters.names, next(iter(definition.parameters.positional), None)
    over = first if over is None else over
    if over is None:
        raise ValueError(f"name the argument of {definition.name} that each item is given as: over=…")
    if names is not None and over not in names:
        raise ValueError(f"over is {over!r}; {definition.name} takes {', '.join(sorted(names)) or 'nothing'}")
    return over


def _items(items: object) -> object:
    if isinstance(items, Call):
        return items
    if isinstance(items, str | bytes | collections.abc.Mapping) or not isinstance(items, collections.abc.Iterable):
        raise TypeError(f"heddle.map takes a list of items, or a call that gives one, not {type(items).__name__}")
    listed = list(items)
    if len(listed) > ITEMS_MAX:
        raise ValueError(_too_many(len(listed)))
    return listed


def _too_many(count: int) -> str:
    return (
        f"heddle.map takes at most {ITEMS_MAX:,} items, not {count:,}; map over parts of the list, "
        "or go on with heddle.continue_as_new"
    )


def activate(journal: plan.Journal, *, newest_version: Newest) -> plan.Plan:
    """Decide what a map run does next. Of the journal it needs the calls that have not succeeded, and ``planned``."""
    order = Order.from_json(journal.input)
    refused = _refused(journal, order)
    if refused is not None:
        return plan.Plan(run_id=journal.run_id, calls=(), ending=plan.Raised(fault=refused))
    entries = sorted(journal.entries.values(), key=lambda entry: entry.ordinal)
    failed = [
        entry for entry in entries if entry.state in step.TERMINAL and entry.state is not step.StepState.SUCCEEDED
    ]
    if len(failed) > order.max_failed:
        first = min(failed, key=lambda entry: (entry.ended_at_s or 0.0, entry.ordinal))
        return plan.Plan(run_id=journal.run_id, calls=(), ending=plan.Raised(fault=_fault(order, first)))
    open_calls = [entry.ordinal for entry in entries if entry.state not in step.TERMINAL]
    room = min(order.chunk, order.in_flight_max - len(open_calls))
    upto = max(journal.planned, min(len(order.items), journal.planned + room))
    calls = tuple(order.call(index, newest_version=newest_version) for index in range(journal.planned, upto))
    open_calls += [call.ordinal for call in calls]
    tolerated = order.max_failed - len(failed)
    return plan.Plan(run_id=journal.run_id, calls=calls, ending=_ending(order, open_calls, upto, tolerated, failed))


def _ending(
    order: Order, open_calls: list[int], upto: int, tolerated: int, failed: list[plan.JournalEntry]
) -> plan.Ending:
    left = len(order.items) - upto
    if left == 0 and not open_calls:
        return _returned(upto, {entry.ordinal for entry in failed})
    # Wake when there is room for a whole chunk again, at once when there is now; at the end, when all are over.
    over_room = len(open_calls) - (order.in_flight_max - min(order.chunk, left))
    count = max(0, over_room) if left else len(open_calls)
    return plan.Suspended(need=plan.Need(ordinals=tuple(open_calls), count=count, max_failed=tolerated))


def _returned(count: int, failed: set[int]) -> plan.Returned:
    ordinals = range(1, count + 1)
    shape = [None if ordinal in failed else {plan.CALL: [ordinal, []]} for ordinal in ordinals]
    return plan.Returned(shape=shape, refs=tuple(ordinal for ordinal in ordinals if ordinal not in failed))


def _refused(journal: plan.Journal, order: Order) -> faults.StepFault | None:
    if journal.stopping is plan.StopReason.EXPIRED:
        return faults.StepFault(fault=faults.Fault.DEADLINE, message="the run's time was over")
    if journal.stopping is not None:
        return faults.StepFault(fault=faults.Fault.CANCELLED, message="the run was asked to stop")
    if not isinstance(order.items, list):
        message = f"heddle.map takes a list; the call it maps over gave {_shown(order.items)}"
        return faults.StepFault(fault=faults.Fault.BAD_OUTPUT, message=message, where=NAME)
    if len(order.items) > ITEMS_MAX:
        return faults.StepFault(fault=faults.Fault.TOO_LARGE, message=_too_many(len(order.items)), where=NAME)
    return None


def _shown(value: identity.JsonValue) -> str:
    names = {dict: "an object", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "nothing")


def _fault(order: Order, entry: plan.JournalEntry) -> faults.StepFault:
    found = entry.fault or faults.StepFault(fault=faults.Fault.CANCELLED, message="it was cancelled")
    message = f"item {entry.ordinal - 1} of heddle.map over {order.name} failed: {found.message}"[:2_000]
    return faults.StepFault(fault=found.fault, message=message, where=found.where)
