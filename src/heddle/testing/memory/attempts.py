"""Begin and close attempts at endpoints: mark_sending and close_attempt.

Neighbours: claims reserves attempts, settling writes what became of them.
"""

import uuid
from collections.abc import Sequence

from heddle.testing.memory.settling import ENDED, book, holds
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
    """Make intents durable, unless a run's cap on cost would be passed."""
    found: list[tuple[StepRow, AttemptRow, str]] = []
    for run_id, ordinal, number, fence, digest in zip(runs, ordinals, numbers, fences, digests, strict=True):
        step = tables.step(run_id, ordinal)
        tried = None if step is None else step.tries.get(number)
        if step is None or tried is None or tried.state != "reserved" or (tried.send_by or 0.0) <= tables.now_s():
            continue
        lease = tables.leases.get((run_id, ordinal))
        if lease is not None and holds(lease, fence) and step.state == "due":
            found.append((step, tried, digest))
    judged = _over_cap(tables, found)
    for (step, tried, digest), is_over in zip(found, judged, strict=True):
        if not is_over:
            tables.move_attempt(tried, "sending", of=step)
            tried.sent_at = tables.now_s() if tried.sent_at is None else tried.sent_at
            tried.request_digest = digest
    return [(step.run_id, step.ordinal, is_over) for (step, _, _), is_over in zip(found, judged, strict=True)]


def _over_cap(tables: Tables, found: Sequence[tuple[StepRow, AttemptRow, str]]) -> list[bool]:
    """Tell which calls would pass their run's cap, in order of their ordinals, each adding its price."""
    spent: dict[uuid.UUID, int] = {}
    over: dict[int, bool] = {}
    for place, (step, tried, _) in sorted(enumerate(found), key=lambda item: item[1][0].ordinal):
        row = tables.runs[step.run_id]
        if step.run_id not in spent:
            spent[step.run_id] = sum(
                (each.price_nano_usd or 0) if each.cost_nano_usd is None else each.cost_nano_usd
                for other in row.steps.values()
                for each in other.tries.values()
                if each.state in ("sending", "accepted", "unknown", "done", "late") or (each.cost_nano_usd or 0) > 0
            )
        spent[step.run_id] += tried.price_nano_usd or 0
        over[place] = row.max_cost_nano_usd is not None and spent[step.run_id] > row.max_cost_nano_usd
    return [over[place] for place in range(len(found))]


STATEMENTS: dict[str, Statement] = {"close_attempt": close_attempt, "mark_sending": mark_sending}
