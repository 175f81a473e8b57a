"""Keep timers: due_timers, take_timers, next_timer and what ``store.schedule`` writes beside them; signals, callbacks.

Neighbours: ``store.schedule`` decides what a due timer leads to; settling writes the ends of sleeps and signals.
"""

import json
import uuid
from collections.abc import Sequence
from typing import Any

from heddle.testing.memory import deployed
from heddle.testing.memory import tables as tables_module
from heddle.testing.memory.tables import Rows, RunRow, SignalRow, Statement, StepRow, Tables, TimerKey

_BUSY_WAIT_S = 0.5
_SILENT = deployed.Shown(is_silent=True)


def due_timers(tables: Tables, *, late_s: float, limit: int) -> Rows:
    """Look which timers are due by more than ``late_s``."""
    until = tables.now_s() - late_s
    due = sorted(((due_at, key) for key, due_at in tables.timers.items() if due_at <= until), key=lambda item: item[0])
    return [(*key, None) for _, key in due[:limit]]


def put_off_timer(tables: Tables, *, run_id: uuid.UUID, ordinal: int, kind: str, delay_s: float) -> Rows:
    """Let a timer that is due be due later."""
    due_at, now = tables.timers.get((run_id, ordinal, kind)), tables.now_s()
    if due_at is None or due_at > now:
        return []
    tables.set_timer((run_id, ordinal, kind), now + delay_s)
    return [(1,)]


def next_timer(tables: Tables) -> Rows:
    """Tell in how many seconds the next timer is due."""
    return [(min(tables.timers.values()) - tables.now_s() if tables.timers else None,)]


def set_timers(
    tables: Tables,
    *,
    runs: Sequence[uuid.UUID],
    ordinals: Sequence[int],
    kinds: Sequence[str],
    delays: Sequence[float],
) -> Rows:
    """Arm timers for steps that have just begun."""
    for run_id, ordinal, kind, delay_s in zip(runs, ordinals, kinds, delays, strict=True):
        tables.set_timer((run_id, ordinal, kind), tables.now_s() + delay_s)
    return []


def lock_children(tables: Tables, *, run_ids: Sequence[uuid.UUID]) -> Rows:
    """Name the child runs that are to go on; here nobody else holds them."""
    return [(run_id,) for run_id in run_ids if run_id in tables.runs]


def child_deadlines(tables: Tables, *, run_ids: Sequence[uuid.UUID], deadlines_s: Sequence[float]) -> Rows:
    """Give child runs that go on the time again that their calls allow them."""
    for run_id, deadline_s in zip(run_ids, deadlines_s, strict=True):
        row = tables.runs[run_id]
        if row.state == "running" and row.stopping is None:
            row.deadline_at = tables.now_s() + deadline_s
            tables.set_timer((run_id, 0, "deadline"), row.deadline_at)
    return []


def set_child(
    tables: Tables, *, runs: Sequence[uuid.UUID], ordinals: Sequence[int], children: Sequence[uuid.UUID]
) -> Rows:
    """Remember which run a call of a workflow became."""
    for run_id, ordinal, child in zip(runs, ordinals, children, strict=True):
        step = tables.runs[run_id].steps[ordinal]
        if step.child_run is not None:
            before = (step.options or {}).get("before", [])
            step.options = {**(step.options or {}), "before": [*before, str(step.child_run)]}
        step.child_run = child
    return []


def lease_waiting(tables: Tables, *, worker: int, runs: Sequence[uuid.UUID], ordinals: Sequence[int]) -> Rows:
    """Lease waiting steps, to be settled in the same transaction."""
    rows: Rows = []
    for run_id, ordinal in zip(runs, ordinals, strict=True):
        step = tables.step(run_id, ordinal)
        if step is None or step.state != "waiting" or (run_id, ordinal) in tables.leases:
            continue
        fence = tables.next("fence")
        tables.leases[run_id, ordinal] = tables_module.LeaseRow(
            run_id=run_id,
            ordinal=ordinal,
            worker_id=worker,
            fence=fence,
            claim_id=None,
            number=1,
            lane=step.lane,
            tenant_id=step.tenant_id,
            endpoint_id=None,
            purpose="execute",
            claimed_at=tables.now_s(),
        )
        rows.append((run_id, ordinal, fence))
    return rows


def consume_signals(tables: Tables, *, runs: Sequence[uuid.UUID], seqs: Sequence[int], ordinals: Sequence[int]) -> Rows:
    """Mark buffered signals as taken."""
    for run_id, seq, ordinal in zip(runs, seqs, ordinals, strict=True):
        for signal in tables.runs[run_id].signals:
            if signal.seq == seq:
                signal.consumed_by = ordinal
    return []


def signal_add(tables: Tables, *, run_id: uuid.UUID, name: str, key: str | None, payload: str, kept_max: int) -> Rows:
    """Buffer a signal, and make the oldest call that waits for it and has none yet due; tell whether it was kept."""
    row = tables.runs[run_id]
    if key is not None and any((signal.name, signal.key) == (name, key) for signal in row.signals):
        return [(True,)]
    kept = [signal.name for signal in row.signals if signal.consumed_by is None]
    waiting = [step for step in row.steps.values() if (step.kind, step.name, step.state) == ("signal", name, "waiting")]
    waiting.sort(key=lambda step: step.ordinal)
    buffered = kept.count(name)
    target = waiting[buffered : buffered + 1]
    if not target and len(kept) >= kept_max:
        return [(False,)]
    row.signals.append(SignalRow(seq=tables.next("signal"), name=name, key=key, payload=json.loads(payload)))
    for step in target:
        tables.set_timer((run_id, step.ordinal, "signal"), tables.now_s())
    return [(True,)]


def callback_add(
    tables: Tables,
    *,
    endpoint: str,
    run_id: uuid.UUID,
    ordinal: int,
    number: int,
    event_id: str,
    handle: str | None,
) -> Rows:
    """Keep a callback once, with the job it names, and make the step's next poll due."""
    step = tables.step(run_id, ordinal)
    tried = None if step is None else step.tries.get(number)
    named = None if tried is None or tried.endpoint_id is None else tables.endpoints.get(tried.endpoint_id)
    if step is None or tried is None or named is None or named.name != endpoint:
        return [(0, 0, False)]
    is_closed = tried.sent_at is not None and tried.state in ("rejected", "abandoned")
    if (named.id, event_id) in tables.inbox:
        return [(1, 0, is_closed)]
    tables.inbox[named.id, event_id] = (run_id, ordinal, number, tables.now_s())
    if tried.handle is None and tried.state in ("sending", "unknown"):
        tried.handle = handle
    if tried.called_back_at is None:
        tried.called_back_at = tables.now_s()
    if step.state in ("due", "pending", "unknown"):
        kind = "reconcile" if step.state == "unknown" else "poll"
        tables.set_timer((run_id, ordinal, kind), tables.now_s())
    return [(1, 1, is_closed)]


def callback_find(tables: Tables, *, endpoint: str, handle: str) -> Rows:
    """Find the attempt in flight whose job a callback names."""
    found = [
        (run_id, ordinal, tried.number)
        for (run_id, ordinal) in tables.slots
        if (step := tables.step(run_id, ordinal)) is not None
        for tried in step.tries.values()
        if tried.handle == handle and tried.endpoint_id is not None
        if tables.endpoints[tried.endpoint_id].name == endpoint
    ]
    return sorted(found, reverse=True)[:1]


def callback_stray(tables: Tables, *, endpoint: str, handle: str) -> Rows:
    """Note a callback whose job no attempt in flight has."""
    for row in tables.endpoints.values():
        if row.name == endpoint and len(handle) <= 1_000:
            tables.strays.setdefault((row.id, handle), tables.now_s())
    return []


def take_timers(
    tables: Tables,
    *,
    runs: Sequence[uuid.UUID],
    ordinals: Sequence[int],
    kinds: Sequence[str],
    result_bytes_max: int,
) -> Rows:
    """Take due timers and do what needs no decision; the others come back to be carried out."""
    gone: list[tuple[TimerKey, float]] = []
    now = tables.now_s()
    for key in zip(runs, ordinals, kinds, strict=True):
        due_at = tables.timers.get(key)
        if key[2] in ("poll", "reconcile") and key[:2] in tables.leases and due_at is not None:
            tables.timers[key] = now + _BUSY_WAIT_S
        elif due_at is not None and due_at <= now:
            del tables.timers[key]
            gone.append((key, due_at))
    before = {key[:2]: None if (step := tables.step(*key[:2])) is None else step.state for key, _ in gone}
    readied = sum(_ready(tables, key) for key, _ in gone)
    others = [other for other, _ in gone]
    found = [_due_row(tables, key, due_at, before, others, result_bytes_max=result_bytes_max) for key, due_at in gone]
    return [(*row, readied) for row in sorted(found, key=lambda row: row[:3])]


def _ready(tables: Tables, key: TimerKey) -> int:
    """Put in line what a timer was set for; give how many entries that made."""
    run_id, ordinal, kind = key
    row = tables.runs[run_id]
    step = row.steps.get(ordinal)
    if kind == "start" and row.is_live:
        tables.put_ready(row.lane, row.tenant_id, row.id, int(row.is_call))
        return 1
    if step is None:
        return 0
    if kind == "retry" and step.state == "waiting":
        tables.move_step(step, "due")
        tables.put_ready(step.lane, step.tenant_id, run_id, ordinal)
        tables.free_slot((run_id, ordinal), is_claimed=True, shown=_SILENT)
        return 1
    is_asked = step.state in ("pending", "unknown") or (kind, step.state) == ("reconcile", "cancelled")
    if kind in ("poll", "reconcile") and is_asked:
        tried = step.tries.get(step.attempts)
        if tried is not None and tried.endpoint_id is not None:
            tables.put_ready(tables.endpoints[tried.endpoint_id].poll_lane, step.tenant_id, run_id, ordinal)
            return 1
    return 0


def outputs_of(row: RunRow, ordinals: Sequence[int] | None) -> dict[str, Any] | None:
    """Give outputs by ordinal, as JSON has them; None when nothing is asked for."""
    if ordinals is None:
        return None
    return {str(ordinal): row.steps[ordinal].output for ordinal in ordinals if ordinal in row.steps} or None


def _due_row(
    tables: Tables,
    key: TimerKey,
    due_at: float,
    before: dict[Any, str | None],
    gone: Sequence[TimerKey],
    *,
    result_bytes_max: int,
) -> tuple[Any, ...]:
    run_id, ordinal, kind = key
    row, now = tables.runs[run_id], tables.now_s()
    step = row.steps.get(ordinal)
    has_child = kind in ("child", "begin") and step is not None
    child = tables.runs.get(step.child_run) if has_child and step is not None and step.child_run else None
    about: tuple[Any, ...] = (None,) * 9
    timeout_in_s = None
    if step is not None:
        outputs = outputs_of(row, step.parents)
        about = (step.kind, step.name, step.version, step.input, step.options, before[run_id, ordinal])
        about += (step.tenant_id, step.lane, outputs)
        if (step.options or {}).get("delay_s") is not None:
            assert step.options is not None, "it has a delay"
            timeout_in_s = step.created_at - now + step.options["delay_s"]
    of_child: tuple[Any, ...] = (None, None, None, None, None, 0, None)
    if child is not None:
        outputs = outputs_of(child, child.refs)
        is_told = kind == "child" and child.state == "succeeded"
        kept = outputs.values() if outputs is not None and is_told else ()
        child_bytes = sum(len(json.dumps(output, ensure_ascii=False).encode()) for output in kept)
        is_small = child_bytes <= result_bytes_max
        of_child = (child.id, child.state, child.stopping is not None, child.shape, child.error, child_bytes)
        of_child += (outputs if is_small else None,)
    of_run = (row.stopping is not None, row.workflow, row.priority, row.traceparent, row.deadline_at)
    signal = _signal(row, step, gone)
    return (run_id, ordinal, kind, *about, *of_run, *of_child, signal, timeout_in_s, now - due_at)


def _signal(row: RunRow, step: StepRow | None, gone: Sequence[TimerKey]) -> list[Any] | None:
    """Give the buffered signal that is meant for a call: each of those whose timers were taken has one of its own."""
    if step is None or step.kind != "signal":
        return None
    others = [row.steps[ordinal] for run_id, ordinal, _ in gone if run_id == row.id and 0 < ordinal < step.ordinal]
    before = sum((other.kind, other.name, other.state) == ("signal", step.name, "waiting") for other in others)
    buffered = [each for each in row.signals if each.name == step.name and each.consumed_by is None]
    buffered.sort(key=lambda each: each.seq)
    return [buffered[before].seq, buffered[before].payload] if before < len(buffered) else None


STATEMENTS: dict[str, Statement] = {
    "due_timers": due_timers,
    "next_timer": next_timer,
    "put_off_timer": put_off_timer,
    "set_timers": set_timers,
    "lock_children": lock_children,
    "child_deadlines": child_deadlines,
    "set_child": set_child,
    "lease_waiting": lease_waiting,
    "consume_signals": consume_signals,
    "signal_add": signal_add,
    "callback_add": callback_add,
    "callback_find": callback_find,
    "callback_stray": callback_stray,
    "take_timers": take_timers,
}
