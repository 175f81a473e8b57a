"""Take local work: claim_local and model_ready, with the fairness of the statements.

Queues are read tenant by tenant, the ones with the lowest virtual time first; what is taken is charged to its tenant's
clock. A paused tenant's queues are not read. Neighbours: model_claims takes model calls by the same fairness; both make
leases here.
"""

import collections
import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from heddle.testing.memory import deployed, timers
from heddle.testing.memory import tables as tables_module
from heddle.testing.memory.tables import ReadyRow, Rows, RunRow, Statement, StepRow, Tables

_HEADS = 16


@dataclasses.dataclass(slots=True, kw_only=True)
class Queue:
    """Hold one tenant's queue of a lane as a claim reads it: at most ``cap + 1`` of its entries."""

    lane: int
    tenant_id: int
    group: Any
    share: float
    start: float
    weight: int
    is_idle: bool
    is_alone: bool
    items: list[ReadyRow]


@dataclasses.dataclass(slots=True, kw_only=True)
class Ranked:
    """Hold one entry with its turn in its lane and in its group."""

    queue: Queue
    row: ReadyRow
    turn: float


def queues_of(
    tables: Tables,
    lane: int,
    group: Any,
    share: float,
    *,
    cap: int,
    tenants: int,
    is_local: bool,
    is_polled: bool = False,
    caps_of: Mapping[int, int] | None = None,
) -> list[Queue]:
    """Give the queues of a lane that a claim looks at, those with the lowest clocks first.

    ``caps_of``: caps by rule of regions instead of one; tenants of other rules are left out.
    """
    backlog = [
        (tenant_id, entries)
        for tenant_id, entries in sorted(tables.ready.get(lane, {}).items())[:tenants]
        if is_polled or tables.tenants[tenant_id].paused_at is None
        if caps_of is None or tables.tenants[tenant_id].rule in caps_of
    ]
    clocks = {tenant_id: tables.queue_clocks.get((lane, tenant_id)) for tenant_id, _ in backlog}
    busy = [clock.v for clock in clocks.values() if clock is not None and not clock.is_idle]
    highest = max((0.0 if clock is None else clock.v for clock in clocks.values()), default=0.0)
    found: list[Queue] = []
    for tenant_id, entries in backlog:
        clock = clocks[tenant_id]
        v, is_idle = (0.0, True) if clock is None else (clock.v, clock.is_idle)
        found.append(
            Queue(
                lane=lane,
                tenant_id=tenant_id,
                group=group,
                share=share,
                start=max(v, min(busy, default=highest if is_local else v)) if is_idle else v,
                weight=tables.tenants[tenant_id].weight,
                is_idle=is_idle,
                is_alone=is_local and len(backlog) == 1,
                items=entries[: (cap if caps_of is None else caps_of[tables.tenants[tenant_id].rule]) + 1],
            )
        )
    if len(found) > 1:
        drawn = {id(queue): tables.rng.random() for queue in found}
        found.sort(key=lambda queue: (queue.start, drawn[id(queue)]))
    return found[:_HEADS]


def ranked(tables: Tables, queues: Sequence[Queue]) -> list[Ranked]:
    """Order the entries of one lane by their tenants' clocks, and give each its turn against other lanes."""
    items = [
        (queue.start + place / queue.weight, row.seq, queue, row)
        for queue in queues
        for place, row in enumerate(queue.items, start=1)
    ]
    items.sort(key=lambda item: item[:2])
    return [
        Ranked(queue=queue, row=row, turn=(place - tables.rng.random()) / queue.share)
        for place, (_, _, queue, row) in enumerate(items, start=1)
    ]


def charge(
    tables: Tables, queues: Sequence[Queue], taken: Sequence[ReadyRow], *, free: Sequence[ReadyRow] = ()
) -> None:
    """Charge what was taken to the clocks of the queues it came from; what is ``free`` costs nothing."""
    counts = collections.Counter((row.lane, row.tenant_id) for row in taken)
    spared = collections.Counter((row.lane, row.tenant_id) for row in free)
    for queue in queues:
        count = counts[queue.lane, queue.tenant_id]
        is_emptied = count == len(queue.items)
        is_fair = not queue.is_alone and (count or queue.is_idle)
        # A tenant that is alone in its lane is not charged: there is nobody to be fair to.
        if not is_fair and (queue.is_idle == is_emptied or not queue.is_alone):
            continue
        clock = tables.queue_clocks.setdefault((queue.lane, queue.tenant_id), deployed.QueueClock())
        spent = 0 if queue.is_alone else count - spared[queue.lane, queue.tenant_id]
        clock.v = max(clock.v, queue.start + spent / queue.weight)
        clock.is_idle = is_emptied


def claim_local(
    tables: Tables,
    *,
    worker: int,
    claim_id: uuid.UUID,
    lanes: Sequence[int],
    groups: Sequence[int],
    purposes: Sequence[str],
    shares: Sequence[float],
    caps: Sequence[int],
    tenants: int,
    **_where_to_look: Sequence[int],
) -> Rows:
    """Take activations, local steps and polls, at most a cap of each group.

    Where known queues begin and the gaps between them spare a database its dead rows; here every queue is read.
    """
    looked: list[Queue] = []
    by_group: dict[int, list[Ranked]] = {}
    purpose_of: dict[int, str] = {}
    for lane, group, purpose, share in zip(lanes, groups, purposes, shares, strict=True):
        if lane in tables.ready and caps[group - 1] > 0:
            queues = queues_of(
                tables,
                lane,
                group,
                share,
                cap=caps[group - 1],
                tenants=tenants,
                is_local=True,
                is_polled=purpose == "poll",
            )
            looked += queues
            purpose_of[lane] = purpose
            by_group.setdefault(group, []).extend(ranked(tables, queues))
    chosen: list[ReadyRow] = []
    for group, items in by_group.items():
        items.sort(key=lambda item: item.turn)
        chosen += [item.row for item in items[: caps[group - 1]]]
    tables.remove_ready(chosen)
    charge(tables, looked, chosen)
    rows: Rows = []
    for row in chosen:
        found = _lease_local(tables, row, purpose_of[row.lane], worker=worker, claim_id=claim_id)
        if found is not None:
            rows.append((*found, row.lane, row.seq))
    return rows


def _lease_local(
    tables: Tables, ready: ReadyRow, purpose: str, *, worker: int, claim_id: uuid.UUID
) -> tuple[Any, ...] | None:
    run_row = tables.runs[ready.run_id]
    step = run_row.steps.get(ready.ordinal)
    number, endpoint_id = 1, None
    if purpose == "activate":
        if not (run_row.is_activation_due and run_row.is_live):
            return None
    elif step is None or not _may_take(tables, run_row, step, purpose):
        return None
    elif purpose == "poll":
        number = max(step.attempts, 1)
        endpoint_id = step.tries[max(step.tries)].endpoint_id if step.tries else None
    else:
        number = step.attempts + 1
    return lease(tables, ready, purpose, worker=worker, claim_id=claim_id, number=number, endpoint_id=endpoint_id)


def _may_take(tables: Tables, row: RunRow, step: StepRow, purpose: str) -> bool:
    if purpose == "execute":
        return step.state == "due" and is_in_time(tables, row)
    return step.state in ("pending", "unknown", "cancelled")


def is_in_time(tables: Tables, row: RunRow) -> bool:
    """Tell whether calls of a run may still be started: its deadline has not passed, or it is cleaning up."""
    return row.deadline_at is None or row.deadline_at > tables.now_s() or row.stopping is not None


def lease(
    tables: Tables,
    ready: ReadyRow,
    purpose: str,
    *,
    worker: int,
    claim_id: uuid.UUID,
    number: int,
    endpoint_id: int | None,
    tier: int = 0,
    price_nano_usd: int | None = None,
    is_parked: bool = False,
) -> tuple[Any, ...] | None:
    """Lease one step and give the row of it that a worker gets; None when somebody holds it.

    ``is_parked``: the lease is for no endpoint, and only puts the call off.
    """
    fence = tables.next("fence")
    key = (ready.run_id, ready.ordinal)
    if key in tables.leases:
        return None
    now = tables.now_s()
    tables.leases[key] = tables_module.LeaseRow(
        run_id=ready.run_id,
        ordinal=ready.ordinal,
        worker_id=worker,
        fence=fence,
        claim_id=claim_id,
        number=number,
        lane=ready.lane,
        tenant_id=ready.tenant_id,
        endpoint_id=None if is_parked else endpoint_id,
        purpose=purpose,
        claimed_at=now,
    )
    run_row = tables.runs[ready.run_id]
    step = run_row.steps.get(ready.ordinal)
    head = (*key, fence, number, "park" if is_parked else purpose, endpoint_id, ready.tenant_id)
    about: tuple[Any, ...] = (None,) * 6 + (0, 0, 0, None)
    of_attempt: tuple[Any, ...] = (None, None, "reserved" if purpose == "send" else None, None)
    if step is not None:
        about = (step.kind, step.name, step.version, step.input, step.options, step.state)
        about += (step.attempts_before, step.epoch, step.crashes, timers.outputs_of(run_row, step.parents))
        if purpose == "poll":
            tier, price_nano_usd, of_attempt = _asked_after(step, number, now)
    first: tuple[Any, ...] = (None, 0.0)
    if purpose == "activate" and run_row.planned == 0 and run_row.stopping is None and not run_row.patches:
        # A first activation needs no journal: its claim brings the input.
        first, about = (run_row.wake_seq, now), (*about[:3], run_row.input, *about[4:])
    of_run, waited_s = _about_run(run_row, now), max(0.0, now - ready.at)
    row = (*head, *about, *of_run, *of_attempt, run_row.priority, waited_s, tier, price_nano_usd, *first)
    return (*row, *_told_of(step, number, now)) if purpose == "poll" and step is not None else row


def _about_run(row: RunRow, now: float) -> tuple[Any, ...]:
    """Give a run's workflow and version, its trace, and what is left of its time."""
    deadline_in_s = None if row.deadline_at is None else row.deadline_at - now
    return row.workflow, row.version, row.traceparent, deadline_in_s


def _told_of(step: StepRow, number: int, now: float) -> tuple[float | None, bool, str, bool]:
    """Give how long ago an attempt was sent, whether its provider called back, what was last told of it, and whether
    its worker did not wait for the answer.
    """
    tried = step.tries.get(number)
    if tried is None:
        return None, False, step.note, False
    sent_at = tried.started_at if tried.sent_at is None else tried.sent_at
    is_cut_off = tried.fault is not None and tried.fault["fault"] == "code_crashed"
    return now - sent_at, tried.called_back_at is not None, step.note, is_cut_off


def _asked_after(step: StepRow, number: int, now: float) -> tuple[int, int | None, tuple[Any, ...]]:
    """Give an attempt's tier and price, and its handle, for how long it is not known, its state and its result."""
    tried = step.tries.get(number)
    unknown_at = step.finished_at if step.state == "cancelled" else None
    if tried is not None and tried.unknown_at is not None:
        unknown_at = tried.unknown_at
    unknown_for_s = None if unknown_at is None else now - unknown_at
    if tried is None:
        return 0, None, (None, unknown_for_s, None, None)
    return tried.tier, tried.price_nano_usd, (tried.handle, unknown_for_s, tried.state, tried.result)


def model_ready(tables: Tables, *, lanes: Sequence[int]) -> Rows:
    """Tell whether any model call is ready."""
    return [(True,)] if any(lane in tables.ready for lane in lanes) else []


STATEMENTS: dict[str, Statement] = {"claim_local": claim_local, "model_ready": model_ready}
