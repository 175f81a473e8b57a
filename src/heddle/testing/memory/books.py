"""Keep the books in memory: reservations, charges and releases of attempts, and accounts with a budget.

The same entries as ``mark_sending``, ``settle`` and ``close_attempt`` write. An account is a tenant, by its id, or a
workflow, by minus its id. Neighbours: attempts reserves, settling closes.
"""

import dataclasses
import datetime
import uuid

from heddle.testing.memory.tables import AttemptRow, LedgerRow, StepRow, Tables

ENDED = frozenset({"done", "rejected", "late", "abandoned"})
MAY_COST = frozenset({"sending", "accepted", "unknown"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Tell what an attempt that ended was newly charged; None: nothing new."""

    charged: int | None = None
    is_estimated: bool = False


def today(tables: Tables) -> int:
    """Number the day that it is, in UTC."""
    return int(tables.now_s() // 86_400)


def reserve(tables: Tables, step: StepRow, tried: AttemptRow) -> None:
    """Write what an attempt may cost, once."""
    key = (step.run_id, step.ordinal, tried.number, "reserve")
    tables.ledger.setdefault(key, _entry(tables, step, tried, tried.price_nano_usd or 0, day=today(tables)))


def close(
    tables: Tables, step: StepRow, tried: AttemptRow, *, is_guess: bool = False, is_as_reserved: bool = False
) -> Closed:
    """Charge what an attempt that has ended cost, and release what was reserved besides, each once."""
    cost = tried.cost_nano_usd or 0
    if tried.state not in ENDED or (tried.sent_at is None and cost <= 0):
        return Closed()
    key = (step.run_id, step.ordinal, tried.number)
    held = tables.ledger.get((*key, "reserve")) if tried.sent_at is not None else None
    day = today(tables) if held is None else held.day
    if held is not None and held.amount != cost and (*key, "release") not in tables.ledger:
        tables.ledger[(*key, "release")] = _entry(tables, step, tried, held.amount - cost, day=day)
    if (*key, "charge") in tables.ledger or not (cost > 0 or tried.state in ("done", "late")):
        return Closed()
    is_list_priced = tried.endpoint_id is not None and tables.endpoints[tried.endpoint_id].is_list_priced
    is_estimated = is_guess or (is_as_reserved and is_list_priced)
    tables.ledger[(*key, "charge")] = _entry(tables, step, tried, cost, day=day, is_estimated=is_estimated)
    return Closed(charged=cost, is_estimated=is_estimated)


def adjust(tables: Tables, step: StepRow, tried: AttemptRow, *, cost: int, is_estimated: bool) -> int | None:
    """Book what an attempt that was closed has cost after all, once; give what that changes, None when somebody has
    corrected its charge by hand.
    """
    key = (step.run_id, step.ordinal, tried.number)
    entries = {kind: entry for (*of, kind), entry in tables.ledger.items() if tuple(of) == key}
    if "refund" in entries or "adjustment" in entries:
        return None
    held, charged = entries.get("reserve"), entries.get("charge")
    day = today(tables) if held is None else held.day
    base = 0 if charged is None else charged.amount
    if charged is None:
        released = entries.get("release")
        base = 0 if held is None else held.amount - (0 if released is None else released.amount)
        entry = _entry(tables, step, tried, base, day=day, is_estimated=is_estimated)
        tables.ledger[(*key, "charge")] = entry
    if cost != base:
        tables.ledger[(*key, "adjustment")] = _entry(tables, step, tried, cost - base, day=day)
    change = cost - (0 if charged is None else charged.amount)
    for account in accounts(tables, step.run_id):
        is_open = any(each[0] == account and each[2:] == key for each in tables.budget_calls)
        if not is_open and (account, day) in tables.budget_days:
            tables.budget_days[account, day] = max(0, tables.budget_days[account, day] + change)
    return change


def _entry(
    tables: Tables, step: StepRow, tried: AttemptRow, amount: int, *, day: int, is_estimated: bool = False
) -> LedgerRow:
    return LedgerRow(
        tenant_id=step.tenant_id,
        endpoint_id=tried.endpoint_id,
        amount=amount,
        day=day,
        workflow=tables.runs[step.run_id].workflow,
        model=step.name,
        is_estimated=is_estimated,
    )


def accounts(tables: Tables, run_id: uuid.UUID) -> list[int]:
    """List the accounts with a budget that a call of a run is paid from: its tenant's, its workflow's."""
    row = tables.runs[run_id]
    tenant, workflow = tables.tenants[row.tenant_id], tables.workflows.get(row.workflow)
    found = []
    if tenant.budget_nano_usd_per_day is not None or tenant.budget_nano_usd_per_month is not None:
        found.append(tenant.id)
    if workflow is not None and workflow.budget_nano_usd_per_day is not None:
        found.append(-workflow.id)
    return found


def budgeted(tables: Tables) -> list[int]:
    """List the accounts that have a budget."""
    tenants = [
        row.id
        for row in tables.tenants.values()
        if row.budget_nano_usd_per_day is not None or row.budget_nano_usd_per_month is not None
    ]
    return tenants + [-row.id for row in tables.workflows.values() if row.budget_nano_usd_per_day is not None]


def begin(tables: Tables, account: int) -> None:
    """Enter in the account of a new budget what was spent this month and what is in flight."""
    since_day = month(tables)
    names = {row.name for row in tables.workflows.values() if row.id == -account}
    sums: dict[int, int] = {}
    for (_, _, _, kind), entry in tables.ledger.items():
        is_own = entry.tenant_id == account or entry.workflow in names
        if is_own and kind in ("charge", "adjustment") and entry.day >= since_day:
            sums[entry.day] = sums.get(entry.day, 0) + entry.amount
    tables.budget_days |= {(account, day): amount for day, amount in sums.items()}
    for run_id, ordinal in tables.slots:
        row, step = tables.runs[run_id], tables.step(run_id, ordinal)
        tried = None if step is None or not step.tries else step.tries[max(step.tries)]
        if tried is None or tried.sent_at is None or not (row.tenant_id == account or row.workflow in names):
            continue
        if tried.state in MAY_COST and int(tried.sent_at // 86_400) >= since_day:
            tables.budget_calls.add((account, int(tried.sent_at // 86_400), run_id, ordinal, tried.number))


def month(tables: Tables) -> int:
    """Number the first day of the month that it is, in UTC."""
    date = datetime.datetime.fromtimestamp(tables.now_s(), tz=datetime.UTC)
    return today(tables) - date.day + 1


def spent(tables: Tables, account: int, *, since_day: int) -> int:
    """Give what calls of an account cost or may cost since a day, in nano-USD; those that are over go into the sum of
    their day.
    """
    amount = 0
    for entry in sorted(each for each in tables.budget_calls if each[0] == account):
        _, day, run_id, ordinal, number = entry
        row = tables.runs[run_id]
        tried = (row.steps[ordinal].tries if ordinal in row.steps else row.left[ordinal])[number]
        if tried.state not in MAY_COST:
            tables.budget_calls.remove(entry)
            key = (account, day)
            tables.budget_days[key] = tables.budget_days.get(key, 0) + (tried.cost_nano_usd or 0)
        elif day >= since_day:
            amount += (tried.price_nano_usd or 0) if tried.cost_nano_usd is None else tried.cost_nano_usd
    return amount + sum(
        sum_ for (owner, day), sum_ in tables.budget_days.items() if owner == account and day >= since_day
    )


def spent_under(tables: Tables, root: uuid.UUID) -> int:
    """Give what a run and everything under it has spent or may yet be billed for, in nano-USD."""
    seen: set[uuid.UUID] = set()
    todo, amount = [root], 0
    while todo:
        row = tables.runs[todo.pop()]
        if row.id in seen:
            continue
        seen.add(row.id)
        if row.continued_from is not None and row.id != root:
            todo.append(row.continued_from)
        for step in row.steps.values():
            before = [uuid.UUID(child) for child in (step.options or {}).get("before", [])]
            todo += [child for child in (step.child_run, *before) if child is not None and child in tables.runs]
        amount += sum(
            (each.price_nano_usd or 0) if each.cost_nano_usd is None else each.cost_nano_usd
            for tries in (*(step.tries for step in row.steps.values()), *row.left.values())
            for each in tries.values()
            if each.state in (*MAY_COST, "done", "late") or (each.cost_nano_usd or 0) > 0
        )
    return amount
