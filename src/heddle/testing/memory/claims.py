"""Take work: claim_local, model_ready and claim_model, with the fairness of the statements.

Queues are read tenant by tenant, the ones with the lowest virtual time first; what is taken is charged to its tenant's
clock. Neighbours: limits says how much room endpoints have; leases, slots and attempts are made here.
"""

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from heddle.testing.memory import limits, timers
from heddle.testing.memory import tables as tables_module
from heddle.testing.memory.tables import ReadyRow, Rows, Statement, Tables

_HEADS = 16


@dataclasses.dataclass(slots=True, kw_only=True)
class _Queue:
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
class _Ranked:
    """Hold one entry with its turn in its lane and in its group."""

    queue: _Queue
    row: ReadyRow
    turn: float


def _queues(
    tables: Tables, lane: int, group: Any, share: float, *, cap: int, tenants: int, is_local: bool
) -> list[_Queue]:
    """Give the queues of a lane that a claim looks at, those with the lowest clocks first."""
    backlog = sorted(tables.ready.get(lane, {}).items())[:tenants]
    clocks = {tenant_id: tables.queue_clocks.get((lane, tenant_id)) for tenant_id, _ in backlog}
    busy = [clock.v for clock in clocks.values() if clock is not None and not clock.is_idle]
    highest = max((0.0 if clock is None else clock.v for clock in clocks.values()), default=0.0)
    found: list[_Queue] = []
    for tenant_id, entries in backlog:
        clock = clocks[tenant_id]
        v, is_idle = (0.0, True) if clock is None else (clock.v, clock.is_idle)
        found.append(
            _Queue(
                lane=lane,
                tenant_id=tenant_id,
                group=group,
                share=share,
                start=max(v, min(busy, default=highest if is_local else v)) if is_idle else v,
                weight=tables.tenants[tenant_id][1],
                is_idle=is_idle,
                is_alone=is_local and len(backlog) == 1,
                items=entries[: cap + 1],
            )
        )
    if len(found) > 1:
        drawn = {id(queue): tables.rng.random() for queue in found}
        found.sort(key=lambda queue: (queue.start, drawn[id(queue)]))
    return found[:_HEADS]


def _ranked(tables: Tables, queues: Sequence[_Queue]) -> list[_Ranked]:
    """Order the entries of one lane by their tenants' clocks, and give each its turn against other lanes."""
    items = [
        (queue.start + place / queue.weight, row.seq, queue, row)
        for queue in queues
        for place, row in enumerate(queue.items, start=1)
    ]
    items.sort(key=lambda item: item[:2])
    return [
        _Ranked(queue=queue, row=row, turn=(place - tables.rng.random()) / queue.share)
        for place, (_, _, queue, row) in enumerate(items, start=1)
    ]


def _charge(tables: Tables, queues: Sequence[_Queue], taken: Sequence[ReadyRow]) -> None:
    """Charge what was taken to the clocks of the queues it came from."""
    counts: dict[tuple[int, int], int] = {}
    for row in taken:
        counts[row.lane, row.tenant_id] = counts.get((row.lane, row.tenant_id), 0) + 1
    for queue in queues:
        count = counts.get((queue.lane, queue.tenant_id), 0)
        is_emptied = count == len(queue.items)
        is_fair = not queue.is_alone and (count or queue.is_idle)
        # A tenant that is alone in its lane is not charged: there is nobody to be fair to.
        if not is_fair and (queue.is_idle == is_emptied or not queue.is_alone):
            continue
        clock = tables.queue_clocks.setdefault((queue.lane, queue.tenant_id), tables_module.QueueClock())
        clock.v = max(clock.v, queue.start + (0 if queue.is_alone else count) / queue.weight)
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
    looked: list[_Queue] = []
    by_group: dict[int, list[_Ranked]] = {}
    purpose_of: dict[int, str] = {}
    for lane, group, purpose, share in zip(lanes, groups, purposes, shares, strict=True):
        if lane in tables.ready and caps[group - 1] > 0:
            queues = _queues(tables, lane, group, share, cap=caps[group - 1], tenants=tenants, is_local=True)
            looked += queues
            purpose_of[lane] = purpose
            by_group.setdefault(group, []).extend(_ranked(tables, queues))
    chosen: list[ReadyRow] = []
    for group, items in by_group.items():
        items.sort(key=lambda item: item.turn)
        chosen += [item.row for item in items[: caps[group - 1]]]
    tables.remove_ready(chosen)
    _charge(tables, looked, chosen)
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
    elif step is None or step.state not in (("due",) if purpose == "execute" else ("pending", "unknown", "cancelled")):
        return None
    elif purpose == "poll":
        number = max(step.attempts, 1)
        endpoint_id = step.tries[max(step.tries)].endpoint_id if step.tries else None
    else:
        number = step.attempts + 1
    return _lease(tables, ready, purpose, worker=worker, claim_id=claim_id, number=number, endpoint_id=endpoint_id)


def _lease(
    tables: Tables,
    ready: ReadyRow,
    purpose: str,
    *,
    worker: int,
    claim_id: uuid.UUID,
    number: int,
    endpoint_id: int | None,
) -> tuple[Any, ...] | None:
    """Lease one step and give the row of it that a worker gets; None when somebody holds it."""
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
        endpoint_id=endpoint_id,
        purpose=purpose,
        claimed_at=now,
    )
    run_row = tables.runs[ready.run_id]
    step = run_row.steps.get(ready.ordinal)
    head = (*key, fence, number, purpose, endpoint_id, ready.tenant_id)
    about: tuple[Any, ...] = (None,) * 6 + (0, 0, 0, None)
    tried = None
    if step is not None:
        about = (step.kind, step.name, step.version, step.input, step.options, step.state)
        about += (step.attempts_before, step.epoch, step.crashes, timers.outputs_of(run_row, step.parents))
        tried = step.tries.get(number) if purpose in ("poll", "send") else None
    deadline_in_s = None if run_row.deadline_at is None else run_row.deadline_at - now
    of_run = (run_row.workflow, run_row.version, run_row.traceparent, deadline_in_s)
    if purpose == "send":
        of_attempt: tuple[Any, ...] = (None, None, "reserved", None)
    elif tried is not None:
        unknown_for_s = None if tried.unknown_at is None else now - tried.unknown_at
        of_attempt = (tried.handle, unknown_for_s, tried.state, tried.result)
    else:
        of_attempt = (None, None, None, None)
    first: tuple[Any, ...] = (None, 0.0)
    if purpose == "activate" and run_row.planned == 0 and run_row.stopping is None and not run_row.patches:
        # A first activation needs no journal: its claim brings the input.
        first, about = (run_row.wake_seq, now), (*about[:3], run_row.input, *about[4:])
    return (*head, *about, *of_run, *of_attempt, run_row.priority, max(0.0, now - ready.at), 0, *first)


def model_ready(tables: Tables, *, lanes: Sequence[int]) -> Rows:
    """Tell whether any model call is ready."""
    return [(True,)] if any(lane in tables.ready for lane in lanes) else []


@dataclasses.dataclass(slots=True, kw_only=True)
class _Span:
    """Say which turns of a model's ready calls go to an endpoint: those after ``low``, up to ``high``."""

    endpoint_id: int
    low: int
    high: int


def claim_model(
    tables: Tables,
    *,
    worker: int,
    claim_id: uuid.UUID,
    lanes: Sequence[int],
    models: Sequence[str],
    shares: Sequence[float],
    want: int,
    endpoints: int,
    send_window_s: float,
    tenants: int,
    **_law: float,
) -> Rows:
    """Take model calls, each for exactly one endpoint with room in all its scopes."""
    busy = [
        (lane, model, share) for lane, model, share in zip(lanes, models, shares, strict=True) if lane in tables.ready
    ]
    usable = limits.usable(tables, {model for _, model, _ in busy})
    picked = limits.picked(tables, usable, most=endpoints)
    judged = limits.judge(tables, picked)
    rooms = limits.rooms(tables, picked, judged, want=want)
    spans = _spans(tables, usable, rooms)
    looked: list[_Queue] = []
    by_model: dict[str, list[_Ranked]] = {}
    for lane, model, share in busy:
        if model in spans:
            cap = min(spans[model][-1].high, want)
            queues = _queues(tables, lane, model, share, cap=cap, tenants=tenants, is_local=False)
            looked += queues
            by_model.setdefault(model, []).extend(_ranked(tables, queues))
    chosen = _route(by_model, spans, rooms, want=want)
    tables.remove_ready([row for row, _ in chosen])
    _charge(tables, looked, [row for row, _ in chosen])
    rows: Rows = []
    spent: dict[int, int] = {}
    for row, endpoint_id in chosen:
        found = _send_lease(tables, row, endpoint_id, worker=worker, claim_id=claim_id, send_window_s=send_window_s)
        if found is not None:
            rows.append(found)
            for scope_id in tables.endpoints[endpoint_id].scope_ids:
                spent[scope_id] = spent.get(scope_id, 0) + 1
    limits.write(tables, judged, spent)
    return rows


def _spans(
    tables: Tables, usable: Sequence[tables_module.RouteRow], rooms: Mapping[int, int]
) -> dict[str, list[_Span]]:
    """Lay the endpoints of each model end to end, in order of tier and a weighted draw, as long as they have room."""
    drawn: dict[str, list[tuple[int, float, int]]] = {}
    for route in usable:
        if route.endpoint_id in rooms:
            draw = tables.rng.expovariate(1.0) / route.weight
            drawn.setdefault(route.model, []).append((route.tier, draw, route.endpoint_id))
    spans: dict[str, list[_Span]] = {}
    for model, places in drawn.items():
        low = 0
        for _, _, endpoint_id in sorted(places):
            high = low + rooms[endpoint_id]
            spans.setdefault(model, []).append(_Span(endpoint_id=endpoint_id, low=low, high=high))
            low = high
    return spans


def _route(
    by_model: Mapping[str, list[_Ranked]], spans: Mapping[str, list[_Span]], rooms: Mapping[int, int], *, want: int
) -> list[tuple[ReadyRow, int]]:
    """Give each chosen entry its endpoint; an endpoint that serves several models never gets more than its room."""
    routed: list[tuple[int, ReadyRow, int]] = []
    for model, items in by_model.items():
        items.sort(key=lambda item: item.turn)
        for place, item in enumerate(items, start=1):
            found = next((span for span in spans[model] if span.low < place <= span.high), None)
            if found is not None:
                routed.append((place, item.row, found.endpoint_id))
    routed.sort(key=lambda item: (item[0], item[1].seq))
    used: dict[int, int] = {}
    chosen: list[tuple[ReadyRow, int]] = []
    for _, row, endpoint_id in routed:
        if len(chosen) < want and used.get(endpoint_id, 0) < rooms[endpoint_id]:
            used[endpoint_id] = used.get(endpoint_id, 0) + 1
            chosen.append((row, endpoint_id))
    return chosen


def _send_lease(
    tables: Tables, ready: ReadyRow, endpoint_id: int, *, worker: int, claim_id: uuid.UUID, send_window_s: float
) -> tuple[Any, ...] | None:
    step = tables.step(ready.run_id, ready.ordinal)
    if step is None or step.state != "due":
        return None
    number = step.attempts + 1
    row = _lease(tables, ready, "send", worker=worker, claim_id=claim_id, number=number, endpoint_id=endpoint_id)
    if row is None:
        return None
    key, now = (ready.run_id, ready.ordinal), tables.now_s()
    assert key not in tables.slots, f"call {key} holds a slot before it is claimed"
    assert number not in step.tries, f"attempt {number} of call {key} is new"
    tables.slots[key] = endpoint_id
    step.tries[number] = tables_module.AttemptRow(
        number=number,
        endpoint_id=endpoint_id,
        worker_id=worker,
        fence=row[2],
        state="reserved",
        price_nano_usd=tables.endpoints[endpoint_id].price_nano_usd,
        started_at=now,
        send_by=now + send_window_s,
    )
    return row


STATEMENTS: dict[str, Statement] = {"claim_local": claim_local, "model_ready": model_ready, "claim_model": claim_model}
