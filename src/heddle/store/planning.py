"""Write plans inside one transaction: read how things stand under the runs' locks, let the law place every call,
write.

A plan whose lease is gone is dropped; one that did not see a request to stop or a signal is made again. Neighbours:
``engine.activate`` above, ``core.placement`` beside it, ``store/sql/plan.sql`` below.
"""

import dataclasses
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from heddle.core import lanes, placement, plan, step
from heddle.core import run as run_law
from heddle.ports import store
from heddle.store import connections, rows, schedule


@dataclasses.dataclass(slots=True, kw_only=True)
class _Batch:
    """Sort a batch of plans by what is to be done with them."""

    arrays: rows.PlanArrays = dataclasses.field(default_factory=rows.PlanArrays)
    children: schedule.NewRuns = dataclasses.field(default_factory=schedule.NewRuns)
    again: list[store.PlanWrite] = dataclasses.field(default_factory=list)
    raised: list[tuple[store.PlanWrite, plan.Raised]] = dataclasses.field(default_factory=list)


async def write(
    transaction: connections.Transaction,
    plans: Sequence[store.PlanWrite],
    *,
    cleanup_s: float,
    new_run_id: Callable[[], uuid.UUID],
) -> store.PlanReport:
    """Write a batch of plans, in two round trips."""
    facts = await _facts(transaction, plans)
    batch = _Batch()
    for made in plans:
        fact = facts.get(made.plan.run_id)
        if fact is not None:
            _sort(batch, made, fact, new_run_id)
    return await _write(transaction, batch, dropped=len(plans) - len(facts), cleanup_s=cleanup_s)


async def _facts(
    transaction: connections.Transaction, plans: Sequence[store.PlanWrite]
) -> dict[uuid.UUID, tuple[Any, ...]]:
    run_ids = [made.plan.run_id for made in plans]
    await transaction.send("lock_runs", {"run_ids": sorted(run_ids)})
    named = [(made.plan.run_id, ordinal) for made in plans for ordinal in placement.named(made.plan)]
    found = await transaction.rows(
        "plan_facts",
        {
            "run_ids": run_ids,
            "fences": [made.fence for made in plans],
            "runs": [run_id for run_id, _ in named],
            "ordinals": [ordinal for _, ordinal in named],
        },
    )
    return {row[0]: row[1:] for row in found}


def _sort(batch: _Batch, made: store.PlanWrite, fact: tuple[Any, ...], new_run_id: Callable[[], uuid.UUID]) -> None:
    wake_seq, open_calls, planned, stopping, priority, tenant_id, _parent, states, signals = fact
    if wake_seq != made.wake_seq:
        batch.again.append(made)
        return
    if isinstance(made.plan.ending, plan.Raised) and stopping is None:
        batch.raised.append((made, made.plan.ending))
        return
    placed = placement.place(
        made.plan,
        placement.Standing(
            states={int(ordinal): step.StepState(state) for ordinal, state in (states or {}).items()},
            open_calls=open_calls,
            signals=signals or {},
            is_stopping=stopping is not None,
        ),
    )
    child_ids: dict[int, uuid.UUID] = {}
    for item in placed.calls:
        if item.call.kind is step.StepKind.WORKFLOW and item.state is step.StepState.WAITING:
            child_ids[item.call.ordinal] = child = new_run_id()
            batch.children.add(
                run_id=child,
                tenant_id=tenant_id,
                workflow=item.call.name,
                version=item.call.version,
                priority=priority,
                arguments=item.call.arguments,
                parent_run=made.plan.run_id,
                parent_ordinal=item.call.ordinal,
                deadline_s=item.call.options.timeout_s,
            )
    batch.arrays.add(
        write=made,
        placed=placed,
        tenant_id=tenant_id,
        priority=run_law.Priority(priority),
        planned=planned,
        lane_of=lanes.of_call,
        child_ids=child_ids,
    )


async def _write(
    transaction: connections.Transaction, batch: _Batch, *, dropped: int, cleanup_s: float
) -> store.PlanReport:
    if batch.children.is_any:
        await transaction.send("new_runs", batch.children.values)
    if batch.again:
        await transaction.send(
            "unplan",
            {"run_ids": [made.plan.run_id for made in batch.again], "fences": [made.fence for made in batch.again]},
        )
    written = len(batch.arrays.values["run_ids"])
    planned = await transaction.send("plan", batch.arrays.values) if written else None
    stopped = await _stop(transaction, batch.raised, cleanup_s) if batch.raised else None
    readied, timed = batch.children.count + len(batch.again), 0
    ended: tuple[store.EndedRun, ...] = ()
    if planned is not None:
        readied_now, timed, over = (await planned.fetchall())[0]
        readied, ended = readied + readied_now, rows.ended(over)
    if stopped is not None:
        ended = ended + rows.ended((await stopped.fetchall())[0][2])
    return store.PlanReport(
        written=written + len(batch.raised),
        dropped=dropped,
        again=len(batch.again),
        readied=readied,
        timed=timed,
        ended=ended,
    )


async def _stop(
    transaction: connections.Transaction, raised: Sequence[tuple[store.PlanWrite, plan.Raised]], cleanup_s: float
) -> Any:
    """End functions that raised by themselves: their open calls are cancelled, their runs fail."""
    run_ids = [made.plan.run_id for made, _ in raised]
    await transaction.send("end_functions", {"run_ids": run_ids, "fences": [made.fence for made, _ in raised]})
    return await transaction.send(
        "stop",
        {
            "run_ids": run_ids,
            "reasons": ["raised"] * len(raised),
            "faults": [rows.dump(ending.fault.as_json()) for _, ending in raised],
            "forced": [True] * len(raised),
            "cleanup_s": cleanup_s,
        },
    )
