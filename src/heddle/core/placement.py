"""Turn a plan into what is written, given how the calls it names stand at the moment of writing.

A plan is made over a journal that may be a few milliseconds old; by the time it is written, calls it takes values
from or waits for may have ended. The store reads their states under the run's lock and asks this module; nothing
here can miss a wake-up, because the lock is held. Before this in the walk: ``program.driver``. After:
``store/sql/plan.sql``.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from heddle.core import faults, plan, run, step

_FAILED = frozenset({step.StepState.FAILED, step.StepState.CANCELLED, step.StepState.SKIPPED})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Hold how a run and the calls its plan names stand now. ``open_calls`` counts those not ended; ``signals`` the
    buffered ones by name.
    """

    states: Mapping[int, step.StepState]
    open_calls: int
    signals: Mapping[str, int]
    is_stopping: bool


class PlacedCall(NamedTuple):
    """Hold one new call as it is written. ``blockers`` counts the calls it still waits for; ``children`` are new calls
    that wait for it.
    """

    call: plan.PlannedCall
    state: step.StepState
    blockers: int
    children: tuple[int, ...]
    fault: faults.StepFault | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTimer:
    """Hold one timer that a new call starts with."""

    ordinal: int
    kind: str
    delay_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Hold everything that is written for one plan.

    ``edges``: (existing parent, new child). ``is_woken``: what it waits for has happened already, so it runs again
    at once. ``is_over``: the function has returned and nothing is open. ``is_broken``: the returned value refers to
    a call that cannot give one.
    """

    calls: tuple[PlacedCall, ...]
    edges: tuple[tuple[int, int], ...]
    timers: tuple[PlacedTimer, ...]
    function_state: run.FunctionState
    opened: int
    await_left: int
    await_failures_left: int | None
    is_woken: bool
    is_over: bool
    is_broken: bool


def named(made: plan.Plan) -> tuple[int, ...]:
    """List the existing calls whose state a placement needs: parents, awaited ones and those in the returned value."""
    fresh = {call.ordinal for call in made.calls}
    wanted = {parent for call in made.calls for parent in call.parents}
    match made.ending:
        case plan.Suspended(need=need):
            wanted.update(need.ordinals)
        case plan.Returned(refs=refs):
            wanted.update(refs)
        case plan.Continued() | plan.Raised() | plan.NeedOutputs():
            pass
    return tuple(sorted(wanted - fresh))


def place(made: plan.Plan, standing: Standing) -> Placement:
    """Decide the state every new call starts in and what happens to the function.

    A function that raised is placed only in a run that is stopping: its calls are the cleanup, and the run ends
    when they have.
    """
    states = dict(standing.states)
    calls, edges, children = _place_calls(made, states)
    unclaimed = dict(standing.signals)
    timers = tuple(timer for placed in calls for timer in _timers(placed, unclaimed))
    opened = sum(1 for placed in calls if placed.state not in step.TERMINAL)
    placed_calls = tuple(
        placed._replace(children=tuple(children[placed.call.ordinal])) if placed.call.ordinal in children else placed
        for placed in calls
    )
    left, failures_left, is_woken, is_broken = 0, None, False, False
    is_over = False
    function_state = run.FunctionState.RUNNING
    match made.ending:
        case plan.Suspended(need=need):
            ended = sum(1 for ordinal in need.ordinals if states[ordinal] in step.TERMINAL)
            failed = sum(1 for ordinal in need.ordinals if states[ordinal] in _FAILED)
            left = need.count - ended
            failures_left = None if need.max_failed is None else need.max_failed - failed
            is_woken = left <= 0 or (failures_left is not None and failures_left < 0)
        case plan.Returned(refs=refs):
            function_state = run.FunctionState.RETURNED
            is_broken = any(states[ordinal] in _FAILED for ordinal in refs)
            is_over = standing.open_calls + opened == 0
        case plan.Continued():
            function_state = run.FunctionState.RETURNED
            is_over = standing.open_calls + opened == 0
            assert is_over, "a run goes on as another when everything it called has ended"
        case plan.Raised():
            assert standing.is_stopping, "a function that raised by itself stops its run instead"
            function_state = run.FunctionState.RAISED
            is_over = standing.open_calls + opened == 0
        case plan.NeedOutputs():
            raise AssertionError("a plan that asks for outputs is not placed")
    return Placement(
        calls=placed_calls,
        edges=tuple(edges),
        timers=timers,
        function_state=function_state,
        opened=opened,
        await_left=left,
        await_failures_left=failures_left,
        is_woken=is_woken,
        is_over=is_over,
        is_broken=is_broken,
    )


def _place_calls(
    made: plan.Plan, states: dict[int, step.StepState]
) -> tuple[list[PlacedCall], list[tuple[int, int]], dict[int, list[int]]]:
    placed: list[PlacedCall] = []
    edges: list[tuple[int, int]] = []
    children: dict[int, list[int]] = {}
    fresh = {call.ordinal for call in made.calls}
    for call in made.calls:
        blockers = [parent for parent in call.parents if states[parent] is not step.StepState.SUCCEEDED]
        cause = next((parent for parent in blockers if states[parent] in _FAILED), None)
        fault = None
        if call.ordinal in made.cancels:
            state, fault = step.StepState.CANCELLED, plan.lost()
        elif cause is not None:
            state = step.StepState.SKIPPED
            fault = faults.StepFault(
                fault=faults.Fault.REJECTED_PERMANENT,
                message=f"skipped: call {cause}, which it takes a value from, failed",
            )
        else:
            state = plan.first_state(call, is_every_parent_over=not blockers)
        # A skipped call keeps its edges too: a retry of the run makes what it waits for due again.
        for parent in blockers:
            if parent in fresh:
                children.setdefault(parent, []).append(call.ordinal)
            else:
                edges.append((parent, call.ordinal))
        states[call.ordinal] = state
        waits_for = 0 if fault is not None else len(blockers)
        placed.append(PlacedCall(call=call, state=state, blockers=waits_for, children=(), fault=fault))
    return placed, edges, children


def _timers(placed: PlacedCall, unclaimed: dict[str, int]) -> list[PlacedTimer]:
    """Give the timers a call starts with, and count down the buffered signals: one ends one call that waits for it."""
    if placed.state is not step.StepState.WAITING:
        return []
    ordinal, delay_s = placed.call.ordinal, placed.call.options.delay_s
    match placed.call.kind:
        case step.StepKind.SLEEP:
            assert delay_s is not None, "a sleep has a length"
            return [PlacedTimer(ordinal=ordinal, kind="sleep", delay_s=delay_s)]
        case step.StepKind.SIGNAL if unclaimed.get(placed.call.name, 0) > 0:
            unclaimed[placed.call.name] -= 1
            return [PlacedTimer(ordinal=ordinal, kind="signal", delay_s=0.0)]
        case step.StepKind.SIGNAL if delay_s is not None:
            return [PlacedTimer(ordinal=ordinal, kind="signal", delay_s=delay_s)]
        case _:
            return []
