"""Write plans inside one transaction: read how things stand under the runs' locks, let the law place every call,
write.

A plan whose lease is gone is dropped; one that did not see a request to stop or a signal is made again. First
activations, which are most, need no facts: they go in one round trip, on the guard that nothing has changed since their
claim. Neighbours: ``engine.activate`` above, ``core.placement`` beside it, ``store/sql/plan.sql`` below.
"""

import dataclasses
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from heddle.core import placement, plan, step
from heddle.core import run as run_law
from heddle.ports import store
from heddle.store import chains, connections, plan_arrays, quotas, rows, schedule

_NEEDS_FACTS = frozenset({step.StepKind.SIGNAL, step.StepKind.WORKFLOW})


@dataclasses.dataclass(slots=True, kw_only=True)
class _Batch:
    """Sort a batch of plans by what is to be done with them."""

    arrays: plan_arrays.PlanArrays
    children: schedule.NewRuns = dataclasses.field(default_factory=schedule.NewRuns)
    again: list[store.PlanWrite] = dataclasses.field(default_factory=list)
    raised: list[tuple[store.PlanWrite, plan.Raised]] = dataclasses.field(default_factory=list)
    continued: list[chains.Wanted] = dataclasses.field(default_factory=list)


Report = Callable[[], Awaitable[store.PlanReport]]


def is_guardable(made: store.PlanWrite) -> bool:
    """Tell whether a plan can be written on the guard alone: a first activation whose calls depend on nothing else."""
    return (
        made.first is not None
        and isinstance(made.plan.ending, plan.Suspended | plan.Returned)
        and not made.plan.cancels
        and not any(call.kind in _NEEDS_FACTS for call in made.plan.calls)
    )


async def write_first(
    transaction: connections.Transaction, plans: Sequence[store.PlanWrite], direct: store.Direct | None
) -> Report:
    """Write plans of first activations, in one round trip. Raises DivisionByZero when one is not as it was claimed."""
    arrays = plan_arrays.PlanArrays(direct)
    nothing = placement.Standing(states={}, open_calls=0, signals={}, is_stopping=False)
    for made in plans:
        assert made.first is not None, "is_guardable was asked"
        arrays.add(
            write=made,
            placed=placement.place(made.plan, nothing),
            tenant_id=made.first.tenant_id,
            priority=run_law.Priority(made.first.priority),
            planned=0,
            child_ids={},
        )
    run_ids = [made.plan.run_id for made in plans]
    await transaction.send("lock_runs", {"run_ids": sorted(run_ids)})
    await transaction.send(
        "plan_guard",
        {"run_ids": run_ids, "fences": [made.fence for made in plans], "wake_seqs": [made.wake_seq for made in plans]},
    )
    planned = await transaction.send("plan", arrays.values)
    await _number_on(transaction, arrays)

    async def report() -> store.PlanReport:
        readied, timed, over, fences = (await planned.fetchall())[0]
        leased = _leased(arrays, fences) if direct is not None else ()
        return store.PlanReport(written=len(plans), readied=readied, timed=timed, ended=rows.ended(over), leased=leased)

    return report


async def _number_on(transaction: connections.Transaction, arrays: plan_arrays.PlanArrays) -> None:
    """Let calls go on with the numbers of those that stood in their places before a retry."""
    calls = [(made.plan.run_id, call.ordinal) for made, call in arrays.calls if made.wake_seq > 0]
    if calls:
        given = {"runs": [run_id for run_id, _ in calls], "ordinals": [ordinal for _, ordinal in calls]}
        await transaction.send("plan_numbers", given)


def _leased(arrays: plan_arrays.PlanArrays, fences: Sequence[int | None] | None) -> tuple[store.Claimed, ...]:
    """Give the claims of calls that were leased as they were planned; nothing of them has to be read."""
    return tuple(
        store.Claimed(
            run_id=made.plan.run_id,
            ordinal=call.ordinal,
            fence=fence,
            number=1,
            purpose="execute",
            endpoint_id=None,
            tenant_id=made.first.tenant_id,
            kind=call.kind.value,
            name=call.name,
            version=call.version,
            input=call.arguments,
            options=call.options.as_json() or None,
            state="due",
            attempts_before=0,
            epoch=0,
            crashes=0,
            outputs=None,
            workflow=made.first.workflow,
            workflow_version=made.first.workflow_version,
            traceparent=made.first.traceparent,
            deadline_in_s=made.first.deadline_in_s,
            handle=None,
            unknown_for_s=None,
            attempt_state=None,
            result=None,
            priority=made.first.priority,
            waited_s=0.0,
        )
        for (made, call), fence in zip(arrays.calls, fences or (), strict=True)
        if fence is not None and made.first is not None
    )


async def write(
    transaction: connections.Transaction,
    plans: Sequence[store.PlanWrite],
    *,
    cleanup_s: float,
    new_run_id: Callable[[], uuid.UUID],
) -> Report:
    """Write a batch of plans, in two round trips; three when calls are cancelled."""
    await transaction.send("lock_runs", {"run_ids": await chains.to_lock(transaction, plans)})
    stopped = await _cancel_calls(transaction, plans)
    facts = await _facts(transaction, plans)
    batch = _Batch(arrays=plan_arrays.PlanArrays(None))
    for made in plans:
        fact = facts.get(made.plan.run_id)
        if fact is not None:
            _sort(batch, made, fact, new_run_id)
    written = await _write(transaction, batch, dropped=len(plans) - len(facts), cleanup_s=cleanup_s)
    gone_on = await chains.go_on(transaction, batch.continued, new_run_id) if batch.continued else None

    async def report() -> store.PlanReport:
        found = await written()
        continued = () if gone_on is None else tuple(row[0] for row in await gone_on.fetchall())
        return dataclasses.replace(found, stopped=stopped, continued=continued, readied=found.readied + len(continued))

    return report


async def _cancel_calls(
    transaction: connections.Transaction, plans: Sequence[store.PlanWrite]
) -> tuple[uuid.UUID, ...]:
    """Cancel calls that lost a race; give the runs of which a worker was on one."""
    losing = [made for made in plans if made.plan.cancels]
    if not losing:
        return ()
    calls = [(made.plan.run_id, ordinal) for made in losing for ordinal in made.plan.cancels]
    found = await transaction.rows(
        "cancel_calls",
        {
            "run_ids": [made.plan.run_id for made in losing],
            "fences": [made.fence for made in losing],
            "wakes": [made.wake_seq for made in losing],
            "runs": [run_id for run_id, _ in calls],
            "ordinals": [ordinal for _, ordinal in calls],
            "lost": rows.dump(plan.lost().as_json()),
        },
    )
    return tuple(row[0] for row in found)


async def _facts(
    transaction: connections.Transaction, plans: Sequence[store.PlanWrite]
) -> dict[uuid.UUID, tuple[Any, ...]]:
    run_ids = [made.plan.run_id for made in plans]
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
    wake_seq, open_calls, planned, stopping, priority, tenant_id, chain_number, states, signals, over_bound = fact
    if wake_seq != made.wake_seq:
        batch.again.append(made)
        return
    if over_bound is not None and stopping is None:
        batch.raised.append((made, quotas.throttled(over_bound)))
        return
    if isinstance(made.plan.ending, plan.Raised) and stopping is None:
        batch.raised.append((made, made.plan.ending))
        return
    if isinstance(made.plan.ending, plan.Continued):
        too_long = chains.refused(chain_number)
        if too_long is not None:
            batch.raised.append((made, plan.Raised(fault=too_long)))
            return
        batch.continued.append((made.plan.run_id, made.plan.ending, priority))
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
        child_ids=child_ids,
    )


async def _write(transaction: connections.Transaction, batch: _Batch, *, dropped: int, cleanup_s: float) -> Report:
    if batch.children.is_any:
        await transaction.send("new_runs", batch.children.values)
    if batch.again:
        await transaction.send(
            "unplan",
            {"run_ids": [made.plan.run_id for made in batch.again], "fences": [made.fence for made in batch.again]},
        )
    written = len(batch.arrays.values["run_ids"])
    planned = await transaction.send("plan", batch.arrays.values) if written else None
    await _number_on(transaction, batch.arrays)
    stopped = await _stop(transaction, batch.raised, cleanup_s) if batch.raised else None

    async def report() -> store.PlanReport:
        readied, timed = batch.children.count + len(batch.again), 0
        ended: tuple[store.EndedRun, ...] = ()
        if planned is not None:
            readied_now, timed, over, _ = (await planned.fetchall())[0]
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

    return report


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


def added(reports: Sequence[store.PlanReport]) -> store.PlanReport:
    """Add up what became of the parts of a batch."""
    return store.PlanReport(
        written=sum(report.written for report in reports),
        dropped=sum(report.dropped for report in reports),
        again=sum(report.again for report in reports),
        readied=sum(report.readied for report in reports),
        timed=sum(report.timed for report in reports),
        ended=tuple(run for report in reports for run in report.ended),
        leased=tuple(item for report in reports for item in report.leased),
        stopped=tuple(run_id for report in reports for run_id in report.stopped),
        continued=tuple(workflow for report in reports for workflow in report.continued),
    )
