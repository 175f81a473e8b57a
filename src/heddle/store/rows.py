"""Turn rows into records and records into arrays of parameters: the only place that knows both forms.

Traps it keeps: Django's connections return jsonb as text, psycopg's as objects; here psycopg decodes, and the doors
decode for themselves.
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from heddle.core import artifact, faults, json_text, plan, step
from heddle.ports import store

_write = json_text.writer()


def dump(value: Any) -> str:
    """Write JSON for a jsonb parameter: marked artifacts are plain JSON already."""
    return _write(value)


def optional_dump(value: Any) -> str | None:
    """Write JSON, or null for None."""
    return None if value is None else dump(value)


def array(values: Sequence[Any]) -> str:
    """Write the text form of a one-dimensional array: three times as fast as the driver's own, which walks it in
    Python.

    ``bench/README.md`` has the figures. Elements are of one type, or None: int, float, bool, UUID or str.
    """
    sample = next((value for value in values if value is not None), None)
    if sample is None:
        return "{}"  # unnest fills up with nulls whatever is shorter than its longest argument
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
    """Read one row of claim_local or claim_model, whose columns are the record's fields in order."""
    return store.Claimed(*row)


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
        planned,
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
            planned=planned,
        ),
        wake_seq=wake_seq,
        tenant_id=tenant_id,
        priority=priority,
    )


def entry(row: Sequence[Any]) -> tuple[uuid.UUID, plan.JournalEntry]:
    """Read one row of journal_steps."""
    run_id, ordinal, kind, name, digest, state, fault, ended_at_s, has_output, output = row
    return run_id, plan.JournalEntry(
        ordinal=ordinal,
        kind=step.StepKind(kind),
        name=name,
        digest=digest,
        state=step.StepState(state),
        has_output=has_output,
        output=output,
        fault=None if fault is None else faults.StepFault.from_json(fault),
        ended_at_s=ended_at_s,
    )


def ended(value: Any) -> tuple[store.EndedRun, ...]:
    """Read the runs a statement brought to their end."""
    return tuple(
        store.EndedRun(
            workflow=workflow,
            state=state,
            priority=priority,
            duration_s=duration_s,
            run_id=uuid.UUID(named[0]) if named else None,
            is_awaited=named[1:] == [True],
        )
        for workflow, state, priority, duration_s, *named in value or ()
    )


def late_at(value: Any) -> dict[int, int]:
    """Read how many results were late, by endpoint."""
    return {int(endpoint_id): count for endpoint_id, count in (value or {}).items()}


def settlements(batch: Sequence[store.Settlement]) -> dict[str, Any]:
    """Write the parameters of settle; what only model calls have is left out of a batch without any."""
    calls = batch if any(not item.is_local for item in batch) else ()
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
        "tiers": [item.tier for item in calls],
        "throttles": [item.is_throttled for item in calls],
        "latencies": [item.latency_s for item in calls],
        "tokens": [item.tokens for item in calls],
        "images": [item.images for item in calls],
        "freezes": [item.frozen_s for item in calls],
        "told": [item.told for item in calls],
        "billed": [item.is_billed for item in calls],
    }


def settled_results(batch: Sequence[store.Settlement]) -> dict[str, Any]:
    """Write the parameters of settle_results."""
    return {
        "run_ids": [item.run_id for item in batch],
        "ordinals": [item.ordinal for item in batch],
        "fences": [item.fence for item in batch],
        "numbers": [item.number for item in batch],
        "outputs": [item.output for item in batch],
    }


def settled_calls(batch: Sequence[store.Settlement]) -> dict[str, Any]:
    """Write the parameters of settle_call."""
    return {
        "run_ids": [item.run_id for item in batch],
        "fences": [item.fence for item in batch],
        "numbers": [item.number for item in batch],
        "outputs": [item.output for item in batch],
        "costs": [item.cost_nano_usd for item in batch],
        "tiers": [item.tier for item in batch],
        "throttles": [item.is_throttled for item in batch],
        "latencies": [item.latency_s for item in batch],
        "tokens": [item.tokens for item in batch],
        "images": [item.images for item in batch],
        "told": [item.told for item in batch],
        "billed": [item.is_billed for item in batch],
    }


def direct(offer: store.Direct | None) -> dict[str, Any]:
    """Write the parameters by which steps that become due are leased at once; nothing is, without an offer."""
    if offer is None:
        return {"worker": None, "claim_id": None, "direct_lanes": [], "direct_groups": [], "direct_places": []}
    return {
        "worker": offer.worker,
        "claim_id": offer.claim_id,
        "direct_lanes": list(offer.lanes),
        "direct_groups": list(offer.lanes.values()),
        "direct_places": [offer.places.get(group, 0) for group in range(1, max(offer.places, default=0) + 1)],
    }


def settle_report(row: Sequence[Any], settled: Sequence[store.Settlement]) -> store.SettleReport:
    """Read the one row of settle."""
    count, fenced, late, readied, timed, over, taken, charged = row
    return store.SettleReport(
        settled=count,
        fenced=fenced,
        late_at=late_at(late),
        readied=readied,
        timed=timed,
        ended=ended(over),
        leased=leased(taken, settled),
        charged=tuple(
            store.Charged(endpoint_id=endpoint_id, amount_nano_usd=int(amount), estimates=estimates)
            for endpoint_id, amount, estimates in charged or ()
        ),
    )


def leased(found: Any, settled: Sequence[store.Settlement]) -> tuple[store.Claimed, ...]:
    """Read the steps that a settlement leased at once; outputs that it has just written itself are taken from it."""
    if not found:
        return ()
    fresh = {(str(item.run_id), item.ordinal): item.output for item in settled if item.output is not None}
    return tuple(_leased(row, fresh) for row in found)


def _leased(row: Sequence[Any], fresh: Mapping[tuple[str, int], str]) -> store.Claimed:
    run, ordinal, fence, number, tenant_id, name, version, value, options, before, epoch, crashes, parents = row[:13]
    outputs, workflow, workflow_version, traceparent, deadline_in_s, priority = row[13:]
    known = dict(outputs or {})
    for parent in parents or ():
        if str(parent) not in known:
            known[str(parent)] = json.loads(fresh[run, parent])
    return store.Claimed(
        run_id=uuid.UUID(run),
        ordinal=ordinal,
        fence=fence,
        number=number,
        purpose="execute",
        endpoint_id=None,
        tenant_id=tenant_id,
        kind="step",
        name=name,
        version=version,
        input=value,
        options=options,
        state="due",
        attempts_before=before,
        epoch=epoch,
        crashes=crashes,
        outputs=known,
        workflow=workflow,
        workflow_version=workflow_version,
        traceparent=traceparent,
        deadline_in_s=deadline_in_s,
        handle=None,
        unknown_for_s=None,
        attempt_state=None,
        result=None,
        priority=priority,
        waited_s=0.0,
    )


def revive(value: Any) -> Any:
    """Give the public form of a stored value."""
    return plan.public(value)


def artifacts_in(value: Any) -> list[artifact.Artifact]:
    """List the artifacts inside a stored value."""
    return list(plan.artifacts(value))
