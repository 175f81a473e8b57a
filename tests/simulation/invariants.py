"""Say what holds between the rows of a store in memory after every transaction, and list what does not.

The rules are those of ``tests/races/invariants.py``, which holds PostgreSQL to them in SQL.
"""

import collections
import dataclasses
import uuid
from collections.abc import Iterator

from heddle.testing.memory.tables import LIVE, OPEN, RunRow, StepRow, Tables

_Key = tuple[uuid.UUID, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Hold what the tables say of each call and run, gathered once for a look at all of them."""

    tables: Tables
    lanes: dict[_Key, list[int]]
    timers: dict[_Key, set[str]]
    spent: dict[uuid.UUID, int]


def _gathered(tables: Tables) -> _Found:
    found = _Found(
        tables=tables,
        lanes=collections.defaultdict(list),
        timers=collections.defaultdict(set),
        spent=collections.defaultdict(int),
    )
    for entry in tables.ready_rows():
        found.lanes[entry.run_id, entry.ordinal].append(entry.lane)
    for run_id, ordinal, kind in tables.timers:
        found.timers[run_id, ordinal].add(kind)
    for key, entry in tables.ledger.items():
        if key[3] in ("charge", "adjustment"):
            found.spent[key[0]] += entry.amount
    return found


def broken(tables: Tables) -> list[str]:
    """List the violations."""
    found = _gathered(tables)
    return [
        *(line for row in tables.runs.values() for line in _run(found, row)),
        *_scopes(tables),
        *_queues(tables),
    ]


def left_over(tables: Tables) -> list[str]:
    """List what is left when every run is over and nothing is to be done any more."""
    found = [f"in line: {row.run_id}.{row.ordinal}" for row in tables.ready_rows()]
    found += [f"leased: {lease.run_id}.{lease.ordinal} ({lease.purpose})" for lease in tables.leases.values()]
    found += [f"slot: {key[0]}.{key[1]}" for key in tables.slots]
    found += [f"timer: {key[0]}.{key[1]} {key[2]}" for key in tables.timers]
    found += [f"to be told: {row.run_id} {row.type}" for row in tables.outbox_due.values()]
    return found + [f"live: {row.id} {row.state}" for row in tables.runs.values() if row.is_live]


def _run(found: _Found, row: RunRow) -> Iterator[str]:
    open_calls = sum(step.state in OPEN for step in row.steps.values())
    if row.open != open_calls:
        yield f"run {row.id} counts {row.open} open calls and has {open_calls}"
    if [event[0] for event in row.events] != list(range(1, len(row.events) + 1)):
        yield f"events of run {row.id} have a gap"
    if row.state in LIVE:
        if not row.open and not row.is_activation_due:
            yield f"run {row.id} is {row.state} and nothing moves it"
        places = len(found.lanes.get((row.id, 0), ())) + ((row.id, 0) in found.tables.leases)
        places += "start" in found.timers.get((row.id, 0), ())
        if places < int(row.is_activation_due) or (places > int(row.is_activation_due) and not _was_retried(row)):
            yield f"the activation of run {row.id} is due: {row.is_activation_due}, and in {places} places"
    if row.cost_nano_usd > (spent := found.spent.get(row.id, 0)):
        yield f"run {row.id} says it cost {row.cost_nano_usd}, the ledger {spent}"
    for step in row.steps.values():
        yield from _step(found, row, step)


def _was_retried(row: RunRow) -> bool:
    """Tell whether what a stop left in line may stand beside the entries of a retry; the lease lets one of them in."""
    return any(name == "run.retried" for _, name, _, _, _ in row.events)


def _step(found: _Found, row: RunRow, step: StepRow) -> Iterator[str]:
    tables = found.tables
    key, name = (row.id, step.ordinal), f"call {row.id}.{step.ordinal} ({step.kind} {step.state})"
    timers, in_line = found.timers.get(key, set()), found.lanes.get(key, [])
    is_leased, has_slot = key in tables.leases, key in tables.slots
    is_told_to_stop = step.state == "cancelled" and (bool(in_line) or "reconcile" in timers)
    if row.state not in LIVE and step.state in OPEN:
        yield f"{name} is open in a run that is over"
    deadline_at = tables.timers.get((row.id, 0, "deadline"))
    # A call that met a claim after its run's deadline is out of line, until the deadline's timer cancels it.
    is_past = not in_line and not is_leased and deadline_at is not None and deadline_at <= tables.now_s()
    match step.state:
        case "due" if not is_past and not (is_leased or in_line.count(step.lane)):
            yield f"{name} is neither in line nor leased"
        case "due" if in_line.count(step.lane) + is_leased > 1 and not _was_retried(row):
            yield f"{name} is in line {in_line.count(step.lane)} times and leased: {is_leased}"
        case "pending" | "unknown" if not ({"poll", "reconcile"} & timers or in_line or is_leased):
            if step.state == "pending" or has_slot:
                yield f"{name} is asked about by nobody"
        case "waiting" if not timers and not (step.kind == "workflow" and step.child_run) and step.kind != "signal":
            yield f"{name} has nothing that wakes it"
        case "blocked":
            waits_for = sum(row.steps[parent].state != "succeeded" for parent in step.parents or ())
            if step.blockers != waits_for or not any(row.steps[parent].state in OPEN for parent in step.parents or ()):
                yield f"{name} counts {step.blockers} blockers and has {waits_for}"
    is_working = step.state in ("pending", "unknown") or is_told_to_stop or "retry" in timers
    if has_slot and not is_working and not (is_leased and tables.leases[key].purpose in ("send", "poll")):
        yield f"{name} holds a slot for nothing"
    # A lease for no endpoint only puts a retry off.
    is_sent = is_leased and tables.leases[key].purpose == "send" and tables.leases[key].endpoint_id is not None
    if step.kind == "model" and not has_slot and (step.state == "pending" or is_sent):
        yield f"{name} works without a slot"
    is_asked = step.state == "cancelled" and is_leased and tables.leases[key].purpose == "poll"
    if is_leased and step.state not in OPEN and not is_asked:
        yield f"{name} is leased though it is over"


def _scopes(tables: Tables) -> Iterator[str]:
    for scope in tables.scopes.values():
        slots = sum(scope.id in tables.endpoints[slot.endpoint_id].scope_ids for slot in tables.slots.values())
        released = sum(delta.released for delta in tables.deltas if delta.scope_id == scope.id)
        if scope.in_flight - released != slots:
            yield f"scope {scope.name} counts {scope.in_flight} less {released} and has {slots} slots"
        most = scope.concurrency if scope.concurrency_max is None else scope.concurrency_max
        if most is not None and scope.in_flight > most:
            yield f"scope {scope.name} has {scope.in_flight} of {most} slots"


def _queues(tables: Tables) -> Iterator[str]:
    fences = [lease.fence for lease in tables.leases.values()]
    if len(fences) != len(set(fences)):
        yield "two leases have one fence"
