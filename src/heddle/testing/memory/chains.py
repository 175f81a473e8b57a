"""Let runs go on as others: chain_links, continue_runs and latest_run. Neighbours: ``store.chains`` and the doors."""

import json
import uuid
from collections.abc import Sequence

from heddle.testing.memory import books, outbox
from heddle.testing.memory.tables import Rows, RunRow, Statement, Tables


def chain_links(tables: Tables, *, run_ids: Sequence[uuid.UUID]) -> Rows:
    """Name the runs that ones that go on are linked with."""
    found = [tables.runs[run_id] for run_id in run_ids if run_id in tables.runs]
    return [(row.parent_run, row.chain_first) for row in found]


def latest_run(tables: Tables, *, run_id: uuid.UUID, tenant_id: int) -> Rows:
    """Name the run that a tenant's run has gone on as, itself when it has not; also by a first that has gone."""
    row = tables.runs.get(run_id)
    if row is not None:
        return [(latest(tables, row) or run_id,)] if row.tenant_id == tenant_id else []
    owner, last = tables.chains.get(run_id, (None, run_id))
    return [(last,)] if owner == tenant_id and last in tables.runs else []


def latest(tables: Tables, row: RunRow) -> uuid.UUID | None:
    """Name the run that one goes on as by now, None when it did not go on."""
    return None if row.continued_as is None else tables.chains[row.chain_first or row.id][1]


def continue_runs(
    tables: Tables,
    *,
    olds: Sequence[uuid.UUID],
    ids: Sequence[uuid.UUID],
    inputs: Sequence[str],
    versions: Sequence[int],
    lanes: Sequence[int],
) -> Rows:
    """Let runs whose functions asked for it go on as new ones of the same workflow; give the workflows."""
    rows: Rows = []
    for old_id, run_id, given, version, lane in zip(olds, ids, inputs, versions, lanes, strict=True):
        old = tables.runs[old_id]
        if old.state == "succeeded" and old.continued_as is None:
            _go_on(tables, old, run_id, given=json.loads(given), version=version, lane=lane)
            rows.append((old.workflow,))
    return rows


def _go_on(tables: Tables, old: RunRow, run_id: uuid.UUID, *, given: object, version: int, lane: int) -> None:
    now, cap = tables.now_s(), old.max_cost_nano_usd
    made = RunRow(
        id=run_id,
        tenant_id=old.tenant_id,
        workflow=old.workflow,
        version=version,
        priority=old.priority,
        lane=lane,
        input=given,
        labels=dict(old.labels),
        webhook_url=old.webhook_url,
        max_cost_nano_usd=None if cap is None else max(0, cap - books.spent_under(tables, old.id)),
        created_at=now,
        deadline_at=old.deadline_at,
        parent_run=old.parent_run,
        parent_ordinal=old.parent_ordinal,
        traceparent=old.traceparent,
        cap_run=old.cap_run,
        continued_from=old.id,
        chain_first=old.chain_first or old.id,
        chain_number=(old.chain_number or 1) + 1,
    )
    tables.runs[run_id] = made
    tables.tell(made, "run.queued")
    old.continued_as = run_id
    outbox.unpost(tables, old.id)
    first = old.chain_first or old.id
    if first in tables.runs:
        tables.runs[first].chain_last = run_id
    tables.chains[first] = old.tenant_id, run_id
    above = None
    if old.parent_run is not None and old.parent_ordinal is not None:
        above = tables.step(old.parent_run, old.parent_ordinal)
        tables.timers.pop((old.parent_run, old.parent_ordinal, "child"), None)
    if above is not None and above.child_run == old.id:
        above.child_run = run_id
        if above.state != "waiting":
            # The call above was stopped since: what was to cancel its child has met the old run, which was over.
            tables.set_timer((run_id, 0, "cleanup"), now)
    made.signals = [signal for signal in old.signals if signal.consumed_by is None]
    old.signals = [signal for signal in old.signals if signal.consumed_by is not None]
    if made.deadline_at is not None:
        tables.set_timer((run_id, 0, "deadline"), made.deadline_at)
    tables.put_ready(lane, made.tenant_id, run_id, 0)


STATEMENTS: dict[str, Statement] = {
    "chain_links": chain_links,
    "continue_runs": continue_runs,
    "latest_run": latest_run,
}
