"""Begin, follow and close attempts at endpoints: mark_sending, look_again and close_attempt.

Neighbours: claims reserves attempts, settling writes what became of them.
"""

import uuid
from collections.abc import Sequence

from heddle.testing.memory import claims
from heddle.testing.memory.settling import ENDED, book, holds
from heddle.testing.memory.tables import AttemptRow, Rows, Statement, StepRow, Tables

_MAY_COST = ("sending", "accepted", "unknown")


def close_attempt(
    tables: Tables,
    *,
    runs: Sequence[uuid.UUID],
    ordinals: Sequence[int],
    fences: Sequence[int],
    states: Sequence[str],
    costs: Sequence[int | None],
) -> Rows:
    """Close what is left of cancelled steps whose provider job is known to be over."""
    for run_id, ordinal, fence, state, cost in zip(runs, ordinals, fences, states, costs, strict=True):
        lease, step = tables.leases.get((run_id, ordinal)), tables.step(run_id, ordinal)
        if lease is None or not holds(lease, fence):
            continue
        del tables.leases[run_id, ordinal]
        tried = None if step is None else step.tries.get(lease.number)
        if step is not None and tried is not None:
            tables.move_attempt(tried, tried.state if tried.state in ENDED else state, of=step)
            tried.cost_nano_usd = tried.cost_nano_usd if cost is None else cost
            tried.finished_at = tables.now_s()
            book(tables, step, tried, cost)
        tables.free_slot((run_id, ordinal))
        tables.timers.pop((run_id, ordinal, "reconcile"), None)
    return []


def mark_sending(
    tables: Tables,
    *,
    runs: Sequence[uuid.UUID],
    ordinals: Sequence[int],
    numbers: Sequence[int],
    fences: Sequence[int],
    digests: Sequence[str],
) -> Rows:
    """Make intents durable, unless a cap on cost or a tenant's budget of the day would be passed."""
    found: list[tuple[StepRow, AttemptRow, str]] = []
    for run_id, ordinal, number, fence, digest in zip(runs, ordinals, numbers, fences, digests, strict=True):
        step = tables.step(run_id, ordinal)
        tried = None if step is None else step.tries.get(number)
        if step is None or tried is None or tried.state != "reserved" or (tried.send_by or 0.0) <= tables.now_s():
            continue
        lease = tables.leases.get((run_id, ordinal))
        is_held = lease is not None and holds(lease, fence) and step.state == "due"
        if is_held and claims.is_in_time(tables, tables.runs[run_id]):
            found.append((step, tried, digest))
    judged = _over(tables, found)
    for (step, tried, digest), is_over in zip(found, judged, strict=True):
        if not is_over:
            tables.move_attempt(tried, "sending", of=step)
            tried.sent_at = tables.now_s() if tried.sent_at is None else tried.sent_at
            tried.request_digest = digest
            if tables.tenants[step.tenant_id].budget_nano_usd_per_day is not None:
                tables.budget_calls.add((step.tenant_id, today(tables), step.run_id, step.ordinal, tried.number))
    return [(step.run_id, step.ordinal, is_over) for (step, _, _), is_over in zip(found, judged, strict=True)]


def _over(tables: Tables, found: Sequence[tuple[StepRow, AttemptRow, str]]) -> list[bool]:
    """Tell which calls would pass a cap or their tenant's budget, in order, each adding its price."""
    under: dict[uuid.UUID, int] = {}
    today_s: dict[int, int] = {}
    over: dict[int, bool] = {}
    for place, (step, tried, _) in sorted(enumerate(found), key=lambda item: (item[1][0].run_id, item[1][0].ordinal)):
        row, price = tables.runs[step.run_id], tried.price_nano_usd or 0
        root = tables.runs[row.cap_run or row.id]
        over[place] = False
        if root.max_cost_nano_usd is not None:
            under[root.id] = under.get(root.id, spent_under(tables, root.id)) + price
            over[place] = under[root.id] > root.max_cost_nano_usd
        budget = tables.tenants[row.tenant_id].budget_nano_usd_per_day
        if budget is not None:
            today_s[row.tenant_id] = today_s.get(row.tenant_id, spent_today(tables, row.tenant_id)) + price
            over[place] = over[place] or today_s[row.tenant_id] > budget
    return [over[place] for place in range(len(found))]


def spent_under(tables: Tables, root: uuid.UUID) -> int:
    """Give what a run and everything under it has spent or may yet be billed for, in nano-USD."""
    seen: set[uuid.UUID] = set()
    todo, spent = [root], 0
    while todo:
        row = tables.runs[todo.pop()]
        if row.id in seen:
            continue
        seen.add(row.id)
        if row.continued_from is not None and row.id != root:
            todo.append(row.continued_from)
        for step in row.steps.values():
            if step.child_run is not None and step.child_run in tables.runs:
                todo.append(step.child_run)
            spent += sum(
                (each.price_nano_usd or 0) if each.cost_nano_usd is None else each.cost_nano_usd
                for each in step.tries.values()
                if each.state in (*_MAY_COST, "done", "late") or (each.cost_nano_usd or 0) > 0
            )
    return spent


def today(tables: Tables) -> int:
    """Number the day that it is, in UTC."""
    return int(tables.now_s() // 86_400)


def spent_today(tables: Tables, tenant_id: int) -> int:
    """Give what a tenant's calls of today cost or may cost, in nano-USD; those that are over go into the day's sum."""
    spent = 0
    for entry in sorted(each for each in tables.budget_calls if each[0] == tenant_id):
        _, day, run_id, ordinal, number = entry
        tried = tables.runs[run_id].steps[ordinal].tries[number]
        if tried.state not in _MAY_COST:
            tables.budget_calls.remove(entry)
            key = (tenant_id, day)
            tables.budget_days[key] = tables.budget_days.get(key, 0) + (tried.cost_nano_usd or 0)
        elif day == today(tables):
            spent += (tried.price_nano_usd or 0) if tried.cost_nano_usd is None else tried.cost_nano_usd
    return spent + tables.budget_days.get((tenant_id, today(tables)), 0)


def look_again(
    tables: Tables,
    *,
    runs: Sequence[uuid.UUID],
    ordinals: Sequence[int],
    fences: Sequence[int],
    handles: Sequence[str | None],
    delays: Sequence[float],
) -> Rows:
    """Look later after the job of a cancelled step, of which it is not known yet whether it is over."""
    now = tables.now_s()
    for run_id, ordinal, fence, handle, delay_s in zip(runs, ordinals, fences, handles, delays, strict=True):
        lease, step = tables.leases.get((run_id, ordinal)), tables.step(run_id, ordinal)
        if lease is None or not holds(lease, fence):
            continue
        del tables.leases[run_id, ordinal]
        tried = None if step is None else step.tries.get(lease.number)
        if step is not None and tried is not None and tried.state in _MAY_COST:
            tried.handle = handle or tried.handle
            tables.move_attempt(tried, "unknown" if tried.handle is None else "accepted", of=step)
            if handle is not None and tried.accepted_at is None:
                tried.accepted_at = now
            if tried.handle is None and tried.unknown_at is None:
                tried.unknown_at = now
        tables.set_timer((run_id, ordinal, "reconcile"), now + delay_s)
    return []


STATEMENTS: dict[str, Statement] = {
    "close_attempt": close_attempt,
    "look_again": look_again,
    "mark_sending": mark_sending,
}
