"""Turn rows into records and records into arrays of parameters: the only place that knows both forms.

Traps it keeps: Django's connections return jsonb as text, psycopg's as objects; here psycopg decodes, and the doors
decode for themselves.
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from heddle.core import artifact, faults, placement, plan, step
from heddle.core import run as run_law
from heddle.ports import store


def dump(value: Any) -> str:
    """Write JSON for a jsonb parameter: marked artifacts are plain JSON already."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def optional_dump(value: Any) -> str | None:
    """Write JSON, or null for None."""
    return None if value is None else dump(value)


def array(values: Sequence[Any]) -> str:
    """Write the text form of a one-dimensional array: three times as fast as the driver's own, which walks it in
    Python.

    ``bench/README.md`` has the figures. Elements are of one type, or None: int, float, bool, UUID or str.
    """
    sample = next((value for value in values if value is not None), None)
    if isinstance(sample, str):
        return text_array(values)
    if isinstance(sample, bool):
        return "{" + ",".join(["NULL" if value is None else "t" if value else "f" for value in values]) + "}"
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def int_array(values: Iterable[int]) -> str:
    """Write the text form of an integer[]: ragged arrays cannot be parameters of unnest."""
    return "{" + ",".join(map(str, values)) + "}"


def text_array(values: Iterable[str | None]) -> str:
    """Write the text form of a text[] or jsonb[]."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def claimed(row: Sequence[Any]) -> store.Claimed:
    """Read one row of claim_local or claim_model."""
    (
        run_id,
        ordinal,
        fence,
        number,
        purpose,
        endpoint_id,
        tenant_id,
        kind,
        name,
        version,
        value,
        options,
        state,
        attempts_before,
        epoch,
        crashes,
        outputs,
        workflow,
        workflow_version,
        traceparent,
        deadline_in_s,
        handle,
        unknown_for_s,
        attempt_state,
        result,
        priority,
        waited_s,
    ) = row
    return store.Claimed(
        run_id=run_id,
        ordinal=ordinal,
        fence=fence,
        number=number,
        purpose=purpose,
        endpoint_id=endpoint_id,
        tenant_id=tenant_id,
        kind=kind,
        name=name,
        version=version,
        input=value,
        options=options,
        state=state,
        attempts_before=attempts_before,
        epoch=epoch,
        crashes=crashes,
        outputs=outputs,
        workflow=workflow,
        workflow_version=workflow_version,
        traceparent=traceparent,
        deadline_in_s=deadline_in_s,
        handle=handle,
        unknown_for_s=unknown_for_s,
        attempt_state=attempt_state,
        result=result,
        priority=priority,
        waited_s=waited_s,
    )


def journal(row: Sequence[Any], entries: dict[int, plan.JournalEntry]) -> store.LoadedJournal:
    """Read one row of journal_runs with the entries of its steps."""
    (
        run_id,
        workflow,
        version,
        value,
        patches,
        wake_seq,
        stopping,
        stop_ordinal,
        _awaited,
        _state,
        priority,
        tenant_id,
        _trace,
        _planned,
        now_s,
    ) = row
    return store.LoadedJournal(
        journal=plan.Journal(
            run_id=run_id,
            workflow=workflow,
            version=version,
            input=value,
            entries=entries,
            patches=frozenset(patches),
            now_s=now_s,
            stopping=None if stopping is None else plan.StopReason(stopping),
            stop_ordinal=stop_ordinal,
        ),
        wake_seq=wake_seq,
        tenant_id=tenant_id,
        priority=priority,
    )


def entry(row: Sequence[Any]) -> tuple[uuid.UUID, plan.JournalEntry]:
    """Read one row of journal_steps."""
    run_id, ordinal, kind, name, digest, state, fault, has_output, output = row
    return run_id, plan.JournalEntry(
        ordinal=ordinal,
        kind=step.StepKind(kind),
        name=name,
        digest=digest,
        state=step.StepState(state),
        has_output=has_output,
        output=output,
        fault=None if fault is None else faults.StepFault.from_json(fault),
    )


def ended(value: Any) -> tuple[store.EndedRun, ...]:
    """Read the runs a statement brought to their end."""
    return tuple(
        store.EndedRun(workflow=workflow, state=state, priority=priority, duration_s=duration_s)
        for workflow, state, priority, duration_s in value or ()
    )


def late_at(value: Any) -> dict[int, int]:
    """Read how many results were late, by endpoint."""
    return {int(endpoint_id): count for endpoint_id, count in (value or {}).items()}


def settlements(batch: Sequence[store.Settlement]) -> dict[str, Any]:
    """Write the parameters of settle."""
    return {
        "run_ids": [item.run_id for item in batch],
        "ordinals": [item.ordinal for item in batch],
        "fences": [item.fence for item in batch],
        "numbers": [item.number for item in batch],
        "verdicts": [item.verdict for item in batch],
        "outputs": [item.output for item in batch],
        "faults": [item.fault for item in batch],
        "delays": [item.delay_s for item in batch],
        "handles": [item.handle for item in batch],
        "notes": [item.note for item in batch],
        "costs": [item.cost_nano_usd for item in batch],
        "attempt_states": [item.attempt_state for item in batch],
        "locals": [item.is_local for item in batch],
        "breakers": [item.breaker for item in batch],
    }


_PLAN_ARRAYS = (
    "run_ids",
    "fences",
    "functions",
    "shapes",
    "refs",
    "awaits",
    "lefts",
    "failures_lefts",
    "handled",
    "awaited",
    "patches",
    "planned",
    "opens",
    "wakes",
    "overs",
    "broken",
    "call_runs",
    "ordinals",
    "kinds",
    "names",
    "versions",
    "lanes",
    "tenants",
    "states",
    "digests",
    "inputs",
    "options",
    "outputs",
    "faults",
    "blockers",
    "parents",
    "children",
    "child_runs",
    "edge_runs",
    "edge_parents",
    "edge_children",
    "timer_runs",
    "timer_ordinals",
    "timer_kinds",
    "timer_delays",
)


class PlanArrays:
    """Collect the parameters of plan.sql for a batch of placements."""

    def __init__(self) -> None:
        self.values: dict[str, list[Any]] = {name: [] for name in _PLAN_ARRAYS}

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
        lane_of: Any,
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
            shapes=None if returned is None else dump(returned.shape),
            refs=None if returned is None else int_array(returned.refs),
            awaits=None if suspended is None or placed.is_woken else int_array(suspended.need.ordinals),
            lefts=placed.await_left,
            failures_lefts=placed.await_failures_left,
            handled=int_array(made.handled),
            awaited=int_array(made.awaited),
            patches=text_array(made.patches),
            planned=max([planned, *(item.call.ordinal for item in placed.calls)]),
            opens=placed.opened,
            wakes=placed.is_woken,
            overs=placed.is_over,
            broken=placed.is_broken,
        )
        for item in placed.calls:
            self._call(
                made.run_id,
                item,
                tenant_id=tenant_id,
                lane=lane_of(item.call, priority),
                child=child_ids.get(item.call.ordinal),
            )
        for parent, child in placed.edges:
            self._add(edge_runs=made.run_id, edge_parents=parent, edge_children=child)
        for timer in placed.timers:
            self._add(
                timer_runs=made.run_id, timer_ordinals=timer.ordinal, timer_kinds=timer.kind, timer_delays=timer.delay_s
            )

    def _call(
        self, run_id: uuid.UUID, item: placement.PlacedCall, *, tenant_id: int, lane: int, child: uuid.UUID | None
    ) -> None:
        call = item.call
        self._add(
            call_runs=run_id,
            ordinals=call.ordinal,
            kinds=call.kind.value,
            names=call.name,
            versions=call.version,
            lanes=lane,
            tenants=tenant_id,
            states=item.state.value,
            digests=call.digest,
            inputs=dump(call.arguments),
            options=optional_dump(call.options.as_json() or None),
            outputs=optional_dump(call.output),
            faults=None if item.fault is None else dump(item.fault.as_json()),
            blockers=item.blockers,
            parents=int_array(call.parents) if call.parents else None,
            children=int_array(item.children) if item.children else None,
            child_runs=child,
        )


def revive(value: Any) -> Any:
    """Give the public form of a stored value."""
    return plan.public(value)


def artifacts_in(value: Any) -> list[artifact.Artifact]:
    """List the artifacts inside a stored value."""
    return list(plan.artifacts(value))
