"""Collect the parameters of ``plan.sql`` for a batch of placements: columns, not rows.

What many calls share (what is called, its lane) is written once and named by its place; a column in which every value
is null or the usual one is left empty. Neighbours: ``store.planning`` before, ``store/sql/plan.sql`` behind.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from heddle.core import lanes, placement, plan, step
from heddle.core import run as run_law
from heddle.ports import store
from heddle.store import rows

_COLUMNS = (
    *("run_ids", "fences", "functions", "shapes", "refs", "awaits", "lefts", "failures_lefts", "handled", "awaited"),
    *("patches", "planned", "opens", "wakes", "overs", "broken"),
    *("kinds", "names", "versions", "lanes", "tenants"),
    *("call_runs", "ordinals", "callees", "states", "digests", "inputs", "options", "outputs", "faults", "blockers"),
    *("parents", "children", "child_runs", "directs"),
    *("edge_runs", "edge_parents", "edge_children"),
    *("timer_runs", "timer_ordinals", "timer_kinds", "timer_delays"),
)
_DUE = step.StepState.DUE


class PlanArrays:
    """Hold the columns of one batch. ``direct``: who takes calls at once, None for nobody."""

    def __init__(self, direct: store.Direct | None) -> None:
        self.values: dict[str, Any] = {name: [] for name in _COLUMNS}
        self.values["worker"] = None if direct is None else direct.worker
        self.values["claim_id"] = None if direct is None else direct.claim_id
        self.calls: list[tuple[store.PlanWrite, plan.PlannedCall]] = []
        self._direct = direct
        self._callees: dict[tuple[Any, ...], int] = {}
        self._options: dict[int, str | None] = {}

    def _add(self, **values: Any) -> None:
        for name, value in values.items():
            self.values[name].append(value)

    def add(
        self,
        *,
        write: store.PlanWrite,
        placed: placement.Placement,
        tenant_id: int,
        priority: run_law.Priority,
        planned: int,
        child_ids: Mapping[int, uuid.UUID],
    ) -> None:
        """Add one run with its calls, edges and timers."""
        made = write.plan
        ending = made.ending
        returned = ending if isinstance(ending, plan.Returned) else None
        suspended = ending if isinstance(ending, plan.Suspended) else None
        self._add(
            run_ids=made.run_id,
            fences=write.fence,
            functions=placed.function_state.value,
            shapes=None if returned is None else rows.dump(returned.shape),
            refs=None if returned is None else rows.int_array(returned.refs),
            awaits=None if suspended is None or placed.is_woken else rows.int_array(suspended.need.ordinals),
            lefts=placed.await_left,
            failures_lefts=placed.await_failures_left,
            handled=rows.int_array(made.handled),
            awaited=rows.int_array(made.awaited),
            patches=rows.text_array(made.patches),
            planned=max([planned, *(item.call.ordinal for item in placed.calls)]),
            opens=placed.opened,
            wakes=placed.is_woken,
            overs=placed.is_over,
            broken=placed.is_broken,
        )
        run = len(self.values["run_ids"])
        for item in placed.calls:
            self._call(write, run, item, tenant_id=tenant_id, priority=priority, child=child_ids.get(item.call.ordinal))
        for parent, child in placed.edges:
            self._add(edge_runs=made.run_id, edge_parents=parent, edge_children=child)
        for timer in placed.timers:
            self._add(
                timer_runs=made.run_id, timer_ordinals=timer.ordinal, timer_kinds=timer.kind, timer_delays=timer.delay_s
            )

    def _call(
        self,
        write: store.PlanWrite,
        run: int,
        item: placement.PlacedCall,
        *,
        tenant_id: int,
        priority: run_law.Priority,
        child: uuid.UUID | None,
    ) -> None:
        call, values = item.call, self.values
        # Calls of a model that look for equal ones wait in another lane than those that do not.
        callee = (call.kind, call.name, call.version, priority, tenant_id, call.options.reuse is not None)
        number = self._callees.get(callee)
        if number is None:
            number = self._callee(callee, lane=lanes.of_call(call, priority))
        self.calls.append((write, call))
        values["call_runs"].append(run)
        values["ordinals"].append(call.ordinal)
        values["callees"].append(number)
        values["digests"].append(call.digest)
        values["inputs"].append(rows.dump(call.arguments))
        values["states"].append(None if item.state is _DUE else item.state.value)
        values["options"].append(self._options_of(call.options))
        values["outputs"].append(rows.optional_dump(call.output))
        values["faults"].append(None if item.fault is None else rows.dump(item.fault.as_json()))
        values["blockers"].append(item.blockers or None)
        values["parents"].append(rows.int_array(call.parents) if call.parents else None)
        values["children"].append(rows.int_array(item.children) if item.children else None)
        values["child_runs"].append(child)
        values["directs"].append(self._is_direct(number, item) or None)

    def _callee(self, callee: tuple[Any, ...], *, lane: int) -> int:
        kind, name, version, _, tenant_id, _ = callee
        self._add(kinds=kind.value, names=name, versions=version, lanes=lane, tenants=tenant_id)
        self._callees[callee] = number = len(self._callees) + 1
        return number

    def _options_of(self, options: plan.CallOptions) -> str | None:
        """Write options once for all calls that share the record; the plans keep it alive meanwhile."""
        key = id(options)
        if key not in self._options:
            self._options[key] = rows.optional_dump(options.as_json() or None)
        return self._options[key]

    def _is_direct(self, callee: int, item: placement.PlacedCall) -> bool:
        """Tell whether the worker that planned a call may take it at once, and take one of its places for it."""
        direct = self._direct
        if direct is None or item.state is not _DUE or item.call.kind is not step.StepKind.STEP or item.call.parents:
            return False
        group = direct.lanes.get(self.values["lanes"][callee - 1])
        if group is None or direct.places[group] <= 0:
            return False
        direct.places[group] -= 1
        return True
