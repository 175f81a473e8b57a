"""Begin, follow and close attempts at endpoints: mark_sending, look_again and close_attempt.

Neighbours: claims reserves attempts, settling writes what became of them.
"""

import uuid
from collections.abc import Sequence

from heddle.testing.memory import books, claims
from heddle.testing.memory.settling import holds
from heddle.testing.memory.tables import AttemptRow, Rows, Statement, StepRow, Tables


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
    charged: dict[int, list[int]] = {}
    for run_id, ordinal, fence, state, cost in zip(runs, ordinals, fences, states, costs, strict=True):
        lease, step = tables.leases.get((run_id, ordinal)), tables.step(run_id, ordinal)
        if lease is None or not holds(lease, fence):
            continue
        del tables.leases[run_id, ordinal]
        tried = None if step is None else step.tries.get(lease.number)
        if step is not None and tried is not None:
            if tried.finished_at is None:
                tried.finished_at = tables.now_s()
            if tried.state not in books.ENDED:
                tables.move_attempt(tried, state, of=step)
                if cost is not None:
                    tried.cost_nano_usd = cost
                elif state == "done" and tried.cost_nano_usd is None:
                    tried.cost_nano_usd = tried.price_nano_usd
                closed = books.close(tables, step, tried, is_as_reserved=cost is None and state == "done")
                step.cost_nano_usd += closed.charged or 0
                tables.runs[run_id].cost_nano_usd += closed.charged or 0
                if closed.charged is not None and tried.endpoint_id is not None:
                    entry = charged.setdefault(tried.endpoint_id, [tried.endpoint_id, 0, 0])
                    entry[1], entry[2] = entry[1] + closed.charged, entry[2] + int(closed.is_estimated)
        tables.free_slot((run_id, ordinal))
        tables.timers.pop((run_id, ordinal, "reconcile"), None)
    return [tuple(entry) for _, entry in sorted(charged.items())]


def mark_sending(
    tables: Tables,
    *,
    runs: Sequence[uuid.UUID],
    ordinals: Sequence[int],
    numbers: Sequence[int],
    fences: Sequence[int],
    digests: Sequence[str],
) -> Rows:
    """Make intents durable and reserve their price, unless a cap would be passed."""
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
    judged = _passed(tables, found)
    for (step, tried, digest), passed in zip(found, judged, strict=True):
        if passed is None:
            tables.move_attempt(tried, "sending", of=step)
            tried.sent_at = tables.now_s()
            tried.request_digest = digest
            books.reserve(tables, step, tried)
            for account in books.accounts(tables, step.run_id):
                tables.budget_calls.add((account, books.today(tables), step.run_id, step.ordinal, tried.number))
    return [(step.run_id, step.ordinal, passed, False) for (step, _, _), passed in zip(found, judged, strict=True)]


def _passed(tables: Tables, found: Sequence[tuple[StepRow, AttemptRow, str]]) -> list[str | None]:
    """Tell which cap each call would pass, in order; one that is sent adds its price to all it is paid from."""
    sums: dict[tuple[str, object], int] = {}
    passed: dict[int, str | None] = {}
    for place, (step, tried, _) in sorted(enumerate(found), key=lambda item: (item[1][0].run_id, item[1][0].ordinal)):
        price, caps = tried.price_nano_usd or 0, _caps(tables, step)
        after = {(kind, owner): sums.get((kind, owner), spent) + price for kind, owner, spent, _ in caps}
        over = [kind for kind, owner, _, cap in caps if cap is not None and after[kind, owner] > cap]
        passed[place] = over[0] if over else None
        sums |= {} if over else after
    return [passed[place] for place in range(len(found))]


def _caps(tables: Tables, step: StepRow) -> list[tuple[str, object, int, int | None]]:
    """List what a call is held to: kind, whose it is, what it has spent, how much it may spend."""
    row = tables.runs[step.run_id]
    root, tenant = tables.runs[row.cap_run or row.id], tables.tenants[row.tenant_id]
    workflow, day = tables.workflows.get(row.workflow), books.today(tables)
    caps: list[tuple[str, object, int, int | None]] = []
    if root.max_cost_nano_usd is not None:
        caps.append(("max_cost_usd", root.id, books.spent_under(tables, root.id), root.max_cost_nano_usd))
    if workflow is not None and workflow.budget_nano_usd_per_day is not None:
        spent = books.spent(tables, -workflow.id, since_day=day)
        caps.append(("workflow_budget_usd_per_day", workflow.id, spent, workflow.budget_nano_usd_per_day))
    if tenant.budget_nano_usd_per_day is not None:
        spent = books.spent(tables, tenant.id, since_day=day)
        caps.append(("budget_usd_per_day", tenant.id, spent, tenant.budget_nano_usd_per_day))
    if tenant.budget_nano_usd_per_month is not None:
        spent = books.spent(tables, tenant.id, since_day=books.month(tables))
        caps.append(("budget_usd_per_month", tenant.id, spent, tenant.budget_nano_usd_per_month))
    return caps


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
        if step is not None and tried is not None and tried.state in books.MAY_COST:
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
