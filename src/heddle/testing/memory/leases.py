"""Keep workers and their leases: register, beat, retire, lead, held, readback, mark_dead, dead_leases and reclaim.

Neighbours: claims makes leases, settling ends them; what the dead leave behind is put in line again here.
"""

import dataclasses
import json
import math
import uuid
from collections.abc import Sequence
from typing import Any

from heddle.testing.memory import tables as tables_module
from heddle.testing.memory.settling import holds
from heddle.testing.memory.tables import AttemptRow, LeaseRow, Rows, Statement, StepRow, Tables


def register_worker(tables: Tables, *, name: str, detail: str) -> Rows:
    """Make a worker row."""
    number = tables.next("worker")
    row = tables_module.WorkerRow(id=number, name=name, seen_at=tables.now_s(), detail=json.loads(detail))
    tables.workers[number] = row
    return [(number,)]


def retire_worker(tables: Tables, *, worker: int) -> Rows:
    """Tell that a worker left in order."""
    if worker in tables.workers:
        tables.workers[worker].state = "gone"
    return []


def beat(tables: Tables, *, worker: int, detail: str) -> Rows:
    """Tell that a worker lives; nothing comes back when it was declared dead."""
    row = tables.workers.get(worker)
    if row is None or row.state not in ("alive", "draining"):
        return []
    row.seen_at = tables.now_s()
    row.detail.update(json.loads(detail))
    return [(worker,)]


def lead(tables: Tables, *, worker: int, lead_s: float) -> Rows:
    """Become or stay the leader."""
    holder, until = tables.leader
    leader = None if holder is None else tables.workers.get(holder)
    is_led = leader is not None and leader.state in ("alive", "draining") and until >= tables.now_s()
    if is_led and holder != worker:
        return []
    tables.leader = (worker, tables.now_s() + lead_s)
    return [("sweep",)]


def held(tables: Tables, *, worker: int, grace_s: float) -> Rows:
    """List a worker's leases older than a grace."""
    until = tables.now_s() - grace_s
    return [_shown(lease) for lease in tables.leases.values() if lease.worker_id == worker and lease.claimed_at < until]


def readback(tables: Tables, *, worker: int, claim_ids: Sequence[uuid.UUID]) -> Rows:
    """Find what a claim of unknown outcome took."""
    found = (lease for lease in tables.leases.values() if lease.worker_id == worker and lease.claim_id in claim_ids)
    return [_shown(lease) for lease in found]


def _shown(lease: LeaseRow) -> tuple[Any, ...]:
    return (lease.run_id, lease.ordinal, lease.fence, lease.number, lease.purpose, lease.endpoint_id)


def watch_sessions(
    tables: Tables, *, is_leader: bool, gone_s: float, unwatched_s: float, is_anew: bool, may_declare: bool
) -> Rows:
    """Look for living workers whose session is gone, the leader alone for one that does not lead; declare dead."""
    holder, _ = tables.leader
    rows: Rows = []
    for row in tables.workers.values():
        session, now_s = row.detail.get("session"), tables.now_s()
        is_gone = row.state in ("alive", "draining") and session is not None and session not in tables.sessions
        if not is_gone or not (is_leader or row.id == holder):
            continue
        before = row.detail.get("gone", {})
        goes_on = not is_anew and before.get("session") == session and before["seen_s"] >= now_s - unwatched_s
        since_s = before["since_s"] if goes_on else now_s
        if may_declare and goes_on and since_s <= now_s - gone_s:
            row.state = "dead"
        row.detail["gone"] = {"session": session, "since_s": since_s, "seen_s": now_s}
        rows.append((row.id, row.state == "dead"))
    return rows


def mark_dead(tables: Tables, *, lease_s: float | None) -> Rows:
    """Declare silent workers dead (none without ``lease_s``); dead ones that still have leases come back too."""
    until = -math.inf if lease_s is None else tables.now_s() - lease_s
    rows: Rows = []
    leased = {lease.worker_id for lease in tables.leases.values()}
    for worker in tables.workers.values():
        if worker.state in ("alive", "draining"):
            if worker.seen_at < until:
                worker.state = "dead"
                rows.append((worker.id, True))
        elif worker.id in leased:
            rows.append((worker.id, False))
    return rows


def dead_leases(tables: Tables, *, workers: Sequence[int], limit: int) -> Rows:
    """List a batch of dead workers' leases."""
    found = sorted(key for key, lease in tables.leases.items() if lease.worker_id in workers)
    return [(*key, tables.leases[key].fence) for key in found[:limit]]


@dataclasses.dataclass(slots=True, kw_only=True)
class _Taken:
    """Hold a lease that was taken, and how its step and attempt stood."""

    lease: LeaseRow
    step: StepRow | None
    tried: AttemptRow | None
    is_paid: bool
    attempt_state: str | None
    step_state: str | None

    @property
    def is_unknown(self) -> bool:
        return self.lease.purpose == "send" and self.attempt_state == "sending" and self.is_paid

    @property
    def is_unsent(self) -> bool:
        return self.lease.purpose == "send" and (self.attempt_state == "reserved" or not self.is_paid)


def reclaim(
    tables: Tables,
    *,
    runs: Sequence[uuid.UUID],
    ordinals: Sequence[int],
    fences: Sequence[int],
    is_death: bool,
    margin_s: float,
) -> Rows:
    """Take leases and say what becomes of their steps."""
    taken = [found for key in zip(runs, ordinals, fences, strict=True) if (found := _take(tables, *key)) is not None]
    readied = 0
    for item in taken:
        _write_attempt(tables, item, is_death=is_death)
        readied += _write_step(tables, item, is_death=is_death, margin_s=margin_s)
        key = (item.lease.run_id, item.lease.ordinal)
        if item.lease.purpose == "send" and item.step_state not in ("due", "pending", "unknown"):
            tables.free_slot(key)
    return [(len(taken), readied, sum(item.is_unknown for item in taken))]


def _take(tables: Tables, run_id: uuid.UUID, ordinal: int, fence: int) -> _Taken | None:
    lease = tables.leases.get((run_id, ordinal))
    if lease is None or not holds(lease, fence):
        return None
    del tables.leases[run_id, ordinal]
    step = tables.step(run_id, ordinal)
    tried = None if step is None else step.tries.get(lease.number)
    return _Taken(
        lease=lease,
        step=step,
        tried=tried,
        is_paid=(lease.endpoint_id is not None and tables.endpoints[lease.endpoint_id].is_paid)
        or (tried is not None and tried.sent_at is not None),
        attempt_state=None if tried is None else tried.state,
        step_state=None if step is None else step.state,
    )


def _write_attempt(tables: Tables, item: _Taken, *, is_death: bool) -> None:
    now, step, tried = tables.now_s(), item.step, item.tried
    if step is None:
        return
    if item.lease.purpose == "send" and tried is not None and tried.state in ("reserved", "sending"):
        is_gone = tried.state == "reserved" or not item.is_paid
        tried.unknown_at = None if is_gone else tried.unknown_at or now
        tried.finished_at = now if is_gone else None
        if not is_gone:
            message = "the worker that sent it did not wait for its answer"
            tried.fault = {"fault": "code_crashed", "message": message, "where": ""}
        tables.move_attempt(tried, "abandoned" if is_gone else "unknown", of=step)
    if item.lease.purpose == "execute" and is_death and item.lease.number not in step.tries:
        step.tries[item.lease.number] = AttemptRow(
            number=item.lease.number,
            endpoint_id=None,
            worker_id=item.lease.worker_id,
            fence=item.lease.fence,
            state="abandoned",
            fault={"fault": "code_crashed", "message": "the worker that ran it died", "where": ""},
            started_at=now,
            finished_at=now,
        )


def _write_step(tables: Tables, item: _Taken, *, is_death: bool, margin_s: float) -> int:
    """Put a step back in line or set its timer; give how many entries became ready."""
    lease, step, now = item.lease, item.step, tables.now_s()
    if lease.purpose == "activate":
        row = tables.runs[lease.run_id]
        if row.is_activation_due and row.is_live:
            tables.put_ready(lease.lane, lease.tenant_id, lease.run_id, 0)
            return 1
        return 0
    if step is None:
        return 0
    if lease.purpose == "poll" and step.state == "cancelled":
        assert lease.endpoint_id is not None, "a poll asks an endpoint"
        tables.put_ready(tables.endpoints[lease.endpoint_id].poll_lane, step.tenant_id, step.run_id, step.ordinal)
        return 1
    if step.state not in ("due", "pending", "unknown"):
        return 0
    is_execute = lease.purpose == "execute"
    step.crashes += int(is_execute and is_death)
    if not is_execute or is_death:
        step.attempts = max(step.attempts, lease.number)
    step.attempts_before += int(item.is_unsent or (is_execute and is_death))
    if is_execute:
        tables.move_step(step, "due")
        tables.put_ready(step.lane, step.tenant_id, step.run_id, step.ordinal)
        return 1
    if lease.purpose == "poll":
        kind = "poll" if step.state == "pending" else "reconcile"
        tables.set_timer((step.run_id, step.ordinal, kind), now)
        return 0
    tables.move_step(step, "unknown" if item.is_unknown else "waiting")
    send_by = now if item.tried is None or item.tried.send_by is None else item.tried.send_by + margin_s
    kind = "reconcile" if item.is_unknown else "retry"
    tables.set_timer((step.run_id, step.ordinal, kind), max(now, send_by) if item.is_unknown else now)
    return 0


STATEMENTS: dict[str, Statement] = {
    "register_worker": register_worker,
    "retire_worker": retire_worker,
    "beat": beat,
    "lead": lead,
    "held": held,
    "readback": readback,
    "mark_dead": mark_dead,
    "watch_sessions": watch_sessions,
    "dead_leases": dead_leases,
    "reclaim": reclaim,
}
