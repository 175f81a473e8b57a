"""Keep the events that customers are told of: the statements ``outbox_…``, ``receiver_write`` and ``webhook_…``.

Neighbours: ``endings`` posts an event when a run ends, ``chains`` takes it back when the run goes on;
``store.delivering`` asks.
"""

import dataclasses
import json
import re
import uuid
from collections.abc import Sequence
from typing import Any

from heddle.testing.memory.posted import OutboxRow
from heddle.testing.memory.tables import Rows, RunRow, Statement, Tables

ReceiverKey = tuple[int, str]
_ORIGIN = re.compile(r"[a-zA-Z]+://[^/?#]+")


def post(tables: Tables, row: RunRow) -> None:
    """Post the event of a run that has just ended, when somebody wants to know."""
    if row.webhook_url is None or row.finished_at is None:
        return
    found = _ORIGIN.match(row.webhook_url)
    seq = row.events[-1][0]
    made = OutboxRow(
        run_id=row.id,
        seq=seq,
        tenant_id=row.tenant_id,
        type=f"run.{row.state}",
        url=row.webhook_url,
        receiver=row.webhook_url if found is None else found[0].lower(),
        at=row.finished_at,
        next_at=row.finished_at,
    )
    tables.outbox[row.id, seq] = tables.outbox_due[row.id, seq] = made


def unpost(tables: Tables, run_id: uuid.UUID) -> None:
    """Take back the event of a run that goes on as another."""
    for key in [key for key, row in tables.outbox.items() if key[0] == run_id and row.type == "run.succeeded"]:
        del tables.outbox[key], tables.outbox_due[key]


def _due(tables: Tables) -> list[OutboxRow]:
    return list(tables.outbox_due.values())


def _first(tables: Tables) -> list[OutboxRow]:
    """Give the due events that wait for no earlier end of their run."""
    first: dict[uuid.UUID, OutboxRow] = {}
    for row in _due(tables):
        known = first.setdefault(row.run_id, row)
        if row.seq < known.seq:
            first[row.run_id] = row
    return list(first.values())


def outbox_next(tables: Tables) -> Rows:
    """Tell in how many seconds the next event is due."""
    first = min((row.next_at for row in _due(tables)), default=None)
    return [(None if first is None else first - tables.now_s(),)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    row: OutboxRow
    failures: int
    place: int


def outbox_take(
    tables: Tables,
    *,
    want: int,
    want_failing: int,
    receiver_max: int,
    failures_max: int,
    busy_tenants: Sequence[int],
    busy_addresses: Sequence[str],
    busy_counts: Sequence[int],
    after_tenant: int,
    after_address: str,
    receivers: int,
    lease_s: float,
) -> Rows:
    """Lease due events, a few of each receiver."""
    now = tables.now_s()
    busy = dict(zip(zip(busy_tenants, busy_addresses, strict=True), busy_counts, strict=True))
    lines: dict[ReceiverKey, list[OutboxRow]] = {}
    for row in _first(tables):
        # Receivers with nothing due are passed over: looking at one by one, as the statement does, changes nothing.
        if row.next_at <= now and (row.tenant_id, row.receiver) > (after_tenant, after_address):
            lines.setdefault((row.tenant_id, row.receiver), []).append(row)
    looked = sorted(lines)[:receivers]
    found: list[_Found] = []
    for key in looked:
        failures, hold_until, probe_until = tables.receivers.get(key, (0, now, now))
        room = (1 if failures >= failures_max else receiver_max) - busy.get(key, 0)
        line = sorted(lines[key], key=lambda row: (row.next_at, row.run_id, row.seq))
        if max(hold_until, probe_until) <= now:
            found += [_Found(row=row, failures=failures, place=place) for place, row in enumerate(line[: max(0, room)])]
    found.sort(key=lambda each: (each.place, each.row.next_at, each.row.run_id, each.row.seq))
    well = [each for each in found if not each.failures][:want]
    chosen = (well + [each for each in found if each.failures][:want_failing])[:want]
    for each in chosen:
        each.row.fence += 1
        each.row.next_at = now + lease_s
        if each.failures >= failures_max:
            key = (each.row.tenant_id, each.row.receiver)
            tables.receivers[key] = (each.failures, tables.receivers[key][1], now + lease_s)
    events = [_taken(tables, each) for each in chosen]
    return [(events or None, list(looked[-1]) if len(looked) == receivers else None)]


def _taken(tables: Tables, each: _Found) -> list[Any]:
    row = each.row
    run = tables.runs.get(row.run_id)
    sized = None
    if row.body is None and run is not None:
        parts = [run.shape, *(run.steps[ordinal].output for ordinal in run.refs if ordinal in run.steps)]
        size = sum(len(json.dumps(part)) for part in parts if part is not None)
        sized = [run.chain_first or run.id, size, tables.tenants[row.tenant_id].name]
    return [
        *(row.run_id, row.seq, row.fence, row.tenant_id, row.receiver, row.url, row.type, row.at, row.tries),
        *(each.failures, row.body, (row.tenant_id, row.url) in tables.disabled),
        [[version, salt] for _, version, salt, _, _ in webhook_secret_keys(tables, tenants=[row.tenant_id])] or None,
        sized,
    ]


def outbox_write(
    tables: Tables,
    *,
    run_ids: Sequence[uuid.UUID],
    seqs: Sequence[int],
    fences: Sequence[int],
    states: Sequence[str],
    delays: Sequence[float],
    tried: Sequence[bool],
    statuses: Sequence[int | None],
    errors: Sequence[str | None],
    bodies: Sequence[str | None],
) -> Rows:
    """Write what became of events."""
    now, written = tables.now_s(), list[tuple[Any, ...]]()
    values = zip(run_ids, seqs, fences, states, delays, tried, statuses, errors, bodies, strict=True)
    for run_id, seq, fence, state, delay_s, is_try, status, error, body in values:
        row = tables.outbox.get((run_id, seq))
        if row is None or row.state != "due" or (row.fence != fence and state != "delivered"):
            continue
        row.state, row.fence, row.body = state, row.fence + 1, row.body if row.body is not None else body
        row.next_at = now + delay_s if state == "due" else row.next_at
        if state != "due":
            del tables.outbox_due[run_id, seq]
        row.ended_at = None if state == "due" else now
        row.last_error = error if is_try or error is not None else row.last_error
        if is_try:
            row.tries, row.last_at, row.last_status = row.tries + 1, now, status
        written.append((run_id,))
    return written


def receiver_write(
    tables: Tables,
    *,
    tenants: Sequence[int],
    addresses: Sequence[str],
    failures: Sequence[int],
    holds: Sequence[float],
) -> Rows:
    """Write how receivers are."""
    now = tables.now_s()
    for tenant_id, address, count, hold_s in zip(tenants, addresses, failures, holds, strict=True):
        _, before, _ = tables.receivers.get((tenant_id, address), (0, now, now))
        until = now + hold_s
        tables.receivers[tenant_id, address] = (count, max(before, until), now)
    return []


def webhook_disable(tables: Tables, *, tenants: Sequence[int], urls: Sequence[str], reasons: Sequence[str]) -> Rows:
    """Note that addresses are gone."""
    for tenant_id, url, reason in zip(tenants, urls, reasons, strict=True):
        tables.disabled.setdefault((tenant_id, url), (reason, tables.now_s()))
    return []


def webhook_spare(tables: Tables, *, run_ids: Sequence[uuid.UUID], seqs: Sequence[int]) -> Rows:
    """Note that addresses which are gone are still written to."""
    now = tables.now_s()
    for key in zip(run_ids, seqs, strict=True):
        row = tables.outbox.get(key)
        known = None if row is None else tables.disabled.get((row.tenant_id, row.url))
        if row is not None and known is not None and known[1] < now - 86_400.0:
            tables.disabled[row.tenant_id, row.url] = (known[0], now)
    return []


def outbox_counts(tables: Tables, *, limit: int) -> Rows:
    """Count what is not delivered."""
    states = [row.state for row in tables.outbox.values()]
    well = [row for row in _first(tables) if tables.receivers.get((row.tenant_id, row.receiver), (0, 0.0, 0.0))[0] == 0]
    overdue_s = max((tables.now_s() - row.next_at for row in well), default=None)
    counts = (min(limit, states.count(state)) for state in ("due", "dead", "disabled"))
    return [(*counts, overdue_s if overdue_s is not None and overdue_s > 0 else None)]


def outbox_give_up(tables: Tables, *, overdue_s: float, failures: int, reason: str, limit: int) -> Rows:
    """Give up what a failing receiver left no time for."""
    now, gone = tables.now_s(), list[tuple[Any, ...]]()
    late = [row for row in _first(tables) if row.next_at < now - overdue_s]
    for row in sorted(late, key=lambda row: row.next_at):
        count, _, tried_at = tables.receivers.get((row.tenant_id, row.receiver), (0, now, now))
        if count < failures or tried_at <= now - 3_600.0 or len(gone) == limit:
            continue
        before = [each for (run_id, seq), each in tables.outbox.items() if run_id == row.run_id and seq < row.seq]
        if all((each.ended_at or now) < now - overdue_s for each in before):
            row.state, row.fence, row.last_error, row.ended_at = "dead", row.fence + 1, reason, now
            del tables.outbox_due[row.run_id, row.seq]
            gone.append((row.run_id, row.seq))
    return gone


def outbox_prune(tables: Tables, *, days: int, limit: int) -> Rows:
    """Remove events that have been over for long, and disabled addresses that no event was for."""
    before = tables.now_s() - days * 86_400.0
    old = [key for key, row in tables.outbox.items() if row.ended_at is not None and row.ended_at < before][:limit]
    for key in old:
        del tables.outbox[key]
    unused = [address for address, (_, at) in tables.disabled.items() if at < before][:limit]
    for address in unused:
        del tables.disabled[address]
    return [(len(old) + len(unused),)]


def webhook_secret_first(tables: Tables, *, tenants: Sequence[int]) -> Rows:
    """Give tenants their first signing secret."""
    for tenant_id in tenants:
        if not any(key[0] == tenant_id for key in tables.secrets):
            tables.secrets[tenant_id, 1] = (uuid.UUID(int=tables.rng.getrandbits(128)), tables.now_s(), None)
    return []


def webhook_secret_keys(tables: Tables, *, tenants: Sequence[int]) -> Rows:
    """Name the signing secrets that count."""
    now = tables.now_s()
    return [
        (tenant_id, version, salt, created_at, retires_at)
        for (tenant_id, version), (salt, created_at, retires_at) in sorted(tables.secrets.items(), reverse=True)
        if tenant_id in tenants and (retires_at is None or retires_at > now)
    ]


def webhook_rotate(tables: Tables, *, tenant_id: int, grace_s: float) -> Rows:
    """Make a tenant's next signing secret."""
    now = tables.now_s()
    for key, (salt, created_at, retires_at) in list(tables.secrets.items()):
        if key[0] == tenant_id and (retires_at is None or retires_at > now + grace_s):
            tables.secrets[key] = (salt, created_at, now + grace_s)
    version = 1 + max((key[1] for key in tables.secrets if key[0] == tenant_id), default=0)
    made = uuid.UUID(int=tables.rng.getrandbits(128))
    tables.secrets[tenant_id, version] = (made, now, None)
    return [(version, made)]


def webhook_enable(tables: Tables, *, tenant_id: int, url: str) -> Rows:
    """Let an address be sent to again."""
    known = tables.disabled.pop((tenant_id, url), None)
    return [] if known is None else [(None, known[0])]


def outbox_again(tables: Tables, *, tenant_id: int, run_id: uuid.UUID, seq: int) -> Rows:
    """Let an event be sent again from the start."""
    row = tables.outbox.get((run_id, seq))
    if row is None or row.tenant_id != tenant_id:
        return []
    row.state, row.tries, row.fence, row.next_at, row.ended_at = "due", 0, row.fence + 1, tables.now_s(), None
    tables.outbox_due[run_id, seq] = row
    return [(row.type, row.url)]


STATEMENTS: dict[str, Statement] = {
    "outbox_next": outbox_next,
    "outbox_take": outbox_take,
    "outbox_write": outbox_write,
    "outbox_counts": outbox_counts,
    "outbox_give_up": outbox_give_up,
    "outbox_prune": outbox_prune,
    "outbox_again": outbox_again,
    "receiver_write": receiver_write,
    "webhook_disable": webhook_disable,
    "webhook_enable": webhook_enable,
    "webhook_rotate": webhook_rotate,
    "webhook_spare": webhook_spare,
    "webhook_secret_first": webhook_secret_first,
    "webhook_secret_keys": webhook_secret_keys,
}
