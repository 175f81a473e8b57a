"""Carry out bulk operations for the leading worker, a chunk a transaction.

The cursor of an operation moves in the transaction that does its work, so a crash repeats nothing and leaves nothing
out, and whoever leads next goes on. A reprioritised run is moved in two passes: runs by their ids (they and what
becomes ready from now on), then the queues they waited in, each once from its head. Neighbours: ``store.operators``
writes operations; ``engine.operate`` calls this.
"""

import datetime
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from heddle.core import faults, lanes, plan
from heddle.ports import operating, operators
from heddle.store import connections, reusing, rows
from heddle.store import operators as operators_store

CALLS_AT_ONCE = 10_000
"""Calls of runs after which a chunk takes no further run along: as many as one run may have."""
_REASON_CHARACTERS = 300
_CHASE_MAX = 3
"""How often a run is looked for that goes on as another just then."""
_OPEN_CALL_KINDS = ("activation", "step", "model")


class Operation(NamedTuple):
    """Name the columns of operation_take."""

    id: uuid.UUID
    tenant_id: int
    action: str
    priority: str | None
    filter: dict[str, Any]
    cursor: uuid.UUID
    until: uuid.UUID
    queues: list[int]
    queue_seq: int
    created_at: datetime.datetime


class _Done(NamedTuple):
    """Hold what one chunk did."""

    changed: int
    stopped: tuple[uuid.UUID, ...] = ()
    queues: tuple[int, ...] = ()


async def step(
    transaction: connections.Transaction, *, batch: int, cleanup_s: float, on_taken: Callable[[Operation], None]
) -> operating.OperationStep | None:
    """Do one chunk of an operation inside a transaction: of each tenant the oldest, in turn.

    ``on_taken``: told which it is before anything is done, as its commit may be what fails.
    """
    found = await transaction.rows("operation_take", {})
    if not found:
        return None
    taken = Operation(*found[0])
    on_taken(taken)
    where = operators_store.page_parameters(
        action=operators.Action(taken.action), where=taken.filter, priority=taken.priority, limit=batch
    )
    page = {**where, "tenant_id": taken.tenant_id, "cursor": taken.cursor, "until": taken.until}
    page |= {"open_since": taken.created_at, "calls": CALLS_AT_ONCE}
    looked_at, last, matched, is_end = (await transaction.rows("operation_page", page))[0]
    if looked_at == 0 and taken.queues:
        return await _requeue(transaction, taken, batch=batch)
    matched = matched or []
    done = await _act(transaction, taken, matched, cleanup_s=cleanup_s) if matched else _Done(changed=0)
    queues = sorted({*taken.queues, *done.queues})
    is_over = is_end and not queues
    changed_in_all = await _advance(
        transaction,
        taken,
        cursor=last or taken.cursor,
        looked_at=looked_at,
        matched=len(matched),
        changed=done.changed,
        queues=queues,
        is_over=is_over,
    )
    return operating.OperationStep(
        id=taken.id,
        action=taken.action,
        changed=done.changed,
        changed_in_all=changed_in_all,
        readied=done.changed,
        is_over=is_over,
        stopped=done.stopped,
    )


async def _advance(
    transaction: connections.Transaction,
    taken: Operation,
    *,
    cursor: uuid.UUID,
    looked_at: int = 0,
    matched: int = 0,
    changed: int = 0,
    queues: Sequence[int],
    queue_seq: int = 0,
    is_over: bool,
) -> int:
    found = await transaction.rows(
        "operation_advance",
        {
            "id": taken.id,
            "cursor": cursor,
            "looked_at": looked_at,
            "matched": matched,
            "changed": changed,
            "unchanged": matched - changed,
            "queues": list(queues),
            "queue_seq": queue_seq,
            "is_over": is_over,
        },
    )
    return int(found[0][0])


async def _act(
    transaction: connections.Transaction, taken: Operation, run_ids: list[uuid.UUID], *, cleanup_s: float
) -> _Done:
    """Lock the runs in order, then do to them what is asked; what is over in the meantime is left alone."""
    action = operators.Action(taken.action)
    if action is not operators.Action.RETRY:
        run_ids = await _lock_latest(transaction, run_ids)
    else:
        await transaction.send("lock_runs", {"run_ids": run_ids})
    match action:
        case operators.Action.CANCEL:
            return await _cancel(transaction, run_ids, cleanup_s=cleanup_s)
        case operators.Action.RETRY:
            return await _retry(transaction, run_ids)
        case operators.Action.REPRIORITISE:
            assert taken.priority is not None, "an operation that reprioritises names a class"
            return await _reprioritise(transaction, run_ids, priority=taken.priority)


async def _lock_latest(transaction: connections.Transaction, run_ids: list[uuid.UUID]) -> list[uuid.UUID]:
    """Lock what the runs have gone on as; one that does so while its lock is waited for is followed, to newer ids."""
    locked = list[uuid.UUID]()
    for _ in range(_CHASE_MAX):
        latest = [row[0] for row in await transaction.rows("latest_runs", {"run_ids": run_ids})]
        if latest == locked:
            break
        await transaction.send("lock_runs", {"run_ids": latest})
        locked = latest
    return locked


async def _cancel(transaction: connections.Transaction, run_ids: list[uuid.UUID], *, cleanup_s: float) -> _Done:
    fault = faults.StepFault(fault=faults.Fault.CANCELLED, message="an operator cancelled it in bulk")
    found = await transaction.rows(
        "stop",
        {
            "run_ids": run_ids,
            "reasons": ["cancelled"] * len(run_ids),
            "faults": [rows.dump(fault.as_json())] * len(run_ids),
            "forced": [False] * len(run_ids),
            "cleanup_s": cleanup_s,
        },
    )
    stopped, leased_runs, _ended = found[0]
    return _Done(changed=stopped, stopped=tuple(uuid.UUID(run_id) for run_id in leased_runs or ()))


async def _retry(transaction: connections.Transaction, run_ids: list[uuid.UUID]) -> _Done:
    looks = reusing.looking_again(await transaction.rows("look_lanes", {"run_ids": run_ids}))
    given = {"lost": plan.LOST, "above": None, **looks}
    cursors = [await transaction.send("retry_run", {"run_id": run_id, **given}) for run_id in run_ids]
    return _Done(changed=sum([len(await cursor.fetchall()) for cursor in cursors]))


async def _reprioritise(transaction: connections.Transaction, run_ids: list[uuid.UUID], *, priority: str) -> _Done:
    found = await transaction.rows("run_lanes", {"run_ids": run_ids})
    assert all(kind in _OPEN_CALL_KINDS for _, kind, _, _ in found), "run_lanes names only what waits in lanes"
    moves = {
        # A model call that has not looked for an equal one yet stays among those that do.
        lane: lanes.number(plan.LOOK, name, version, priority)
        if kind == "model" and reusing.is_look_lane(lane, name=name, version=version)
        else lanes.number(kind, name, version, priority)
        for lane, kind, name, version in found
    }
    changed = await transaction.rows(
        "reprioritise", {"run_ids": run_ids, "priority": priority, "old": list(moves), "new": list(moves.values())}
    )
    return _Done(changed=len(changed), queues=tuple(old for old, new in moves.items() if old != new))


async def _requeue(transaction: connections.Transaction, taken: Operation, *, batch: int) -> operating.OperationStep:
    """Move a stretch of the first queue; at its end go on with the next."""
    lane, *others = taken.queues
    queue = {"lane": lane, "tenant_id": taken.tenant_id}
    await transaction.send("requeue_lock", queue)
    looked_at, last, moved = (await transaction.rows("requeue", {**queue, "seq": taken.queue_seq, "limit": batch}))[0]
    is_at_end = looked_at < batch
    queues = others if is_at_end else taken.queues
    is_over = not queues
    changed_in_all = await _advance(
        transaction,
        taken,
        cursor=taken.cursor,
        queues=queues,
        queue_seq=0 if is_at_end else last,
        is_over=is_over,
    )
    return operating.OperationStep(
        id=taken.id,
        action=taken.action,
        changed=0,
        changed_in_all=changed_in_all,
        readied=moved,
        is_over=is_over,
    )


def failure(taken: Operation, error: Exception) -> operating.ChunkFailed:
    """Say whose chunk failed and of what: the first line of it, as what follows may quote a row."""
    first = (str(error).splitlines() or [""])[0][:_REASON_CHARACTERS]
    reason = ": ".join(part for part in (type(error.__cause__ or error).__name__, first) if part)
    return operating.ChunkFailed(id=taken.id, action=taken.action, reason=reason)


def described(where: dict[str, Any]) -> str:
    """Write a filter in one line, for the log."""
    return json.dumps(where, sort_keys=True)
