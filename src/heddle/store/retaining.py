"""Remove weeks of history whose time is over: detach each of their partitions, look again that nothing lives, drop
them.

Nobody waits: ``DETACH … CONCURRENTLY`` takes a lock that writers and readers do not mind, and ``lock_timeout`` gives
up after 200 ms where another session (a dump, an autovacuum) is in the way; what was begun is finished at the next
call. No row of a partition is ever deleted. Which weeks are over is decided by ``core.policy.retention``. A
connection of its own, past any pooler: a detachment cannot be part of a transaction. Neighbours: ``partitions`` makes
weeks; ``engine.operate`` and ``heddle retention`` call this.
"""

import dataclasses
import datetime
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from heddle.core import ids
from heddle.core.policy import retention
from heddle.ports import operating
from heddle.store import partitions, pooler, statements

LOCK_TIMEOUT_MS = 200
COUNTED_MAX = 1_000
PRUNE_BATCH = 5_000
PRUNE_BATCHES_MAX = 200
_TABLE_MAX = 1_000
_LOCK = 0x6865_6464_7265
_LOOK_TIMEOUT_MS = 600_000
# A call that was cancelled is looked after as long as it has a slot or a timer. Then only a person may still say what
# became of it (`heddle settle`), who had as long as runs are kept: a reservation left open stays in the ledger.
_OF_NO_CANCELLED_CALL = (
    "not exists (select 1 from {step} s where s.run_id = x.run_id and s.ordinal = x.ordinal and s.state = 'cancelled')"
)
_RESERVED = (
    "x.run_id >= {low} and x.run_id < {high} and x.kind = 'reserve' and not exists (select 1 from heddle_ledger c "
    "where c.run_id = x.run_id and c.ordinal = x.ordinal and c.number = x.number and c.kind in ('charge', 'release'))"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WeekTables:
    """Hold the tables of one week by parent, each ``attached``, ``pending`` (a detachment was cut off) or ``alone``."""

    week: retention.Week
    states: dict[str, str]

    def table(self, parent: str) -> str:
        """Name the week's table of a parent."""
        return f"heddle_{parent}_p{partitions.week_name(self.week)}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Tell what retention would do now: weeks that may go, weeks that are kept and why, weeks within their time.

    ``astray``: those of the kept whose runs nobody sees, since a removal was cut off and one came to life.
    """

    removable: tuple[WeekTables, ...]
    kept: tuple[operating.KeptWeek, ...]
    young: int
    astray: tuple[WeekTables, ...] = ()


class NeedsDirect(Exception):
    """Say that retention was given a connection through a pooler."""


def connect(dsn: str) -> psycopg.Connection[Any]:
    """Open the connection that retention works on. Raises NeedsDirect, psycopg.Error."""
    connection = psycopg.connect(dsn, autocommit=True, connect_timeout=5, application_name="heddle-retention")
    if pooler.is_pooled(connection):
        connection.close()
        raise NeedsDirect("retention needs a connection past the pooler; set HEDDLE_DATABASE_DIRECT_URL")
    connection.execute(f"set lock_timeout = {LOCK_TIMEOUT_MS}")
    connection.execute(f"set statement_timeout = {_LOOK_TIMEOUT_MS}")
    return connection


def outlook(connection: psycopg.Connection[Any], *, runs_days: int, weeks_ahead: int) -> Outlook:
    """Look which weeks are over and what lives in them; changes nothing."""
    if runs_days == 0:
        return Outlook(removable=(), kept=(), young=len(_weeks(connection)))
    options = retention.RetentionOptions(weeks_ahead=weeks_ahead, weeks_kept=max(1, -(-runs_days // 7)))
    tables = {found.week: found for found in _weeks(connection)}
    now_s = partitions.database_now_s(connection.cursor())
    oldest_kept = retention.week_of(now_s=now_s).number - options.weeks_kept
    # What lives is looked up for weeks that are over only: it may mean reading a whole table.
    facts = [_facts(connection, each) for week, each in tables.items() if week.number < oldest_kept]
    removal = retention.to_remove(options, partitions=facts, now_s=now_s)
    return Outlook(
        removable=tuple(tables[week] for week in removal.removable),
        kept=tuple(operating.KeptWeek(week=each.week.label, reason=each.reason) for each in removal.stragglers),
        young=len(tables) - len(facts),
        astray=tuple(
            tables[each.week]
            for each in removal.stragglers
            if tables[each.week].states.get("run") in ("pending", "alone")
        ),
    )


def remove(connection: psycopg.Connection[Any], found: WeekTables) -> tuple[list[str], str | None]:
    """Detach and drop one week. Give the tables that are gone, and why the rest is left for later (None: all is gone).

    A run that came to life between the look and the detachment brings its week back.
    """
    try:
        for parent in partitions.PARENTS:
            _detach(connection, found, parent)
            if parent == "run" and (reason := _living(connection, found)):
                _attach_again(connection, found)
                return [], reason
        if not _prune_signals(connection, found.week):
            return [], "its signals are being removed"
        gone = []
        for parent in reversed(partitions.PARENTS):
            connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(found.table(parent))))
            gone.append(found.table(parent))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        return [], f"another session holds it ({' '.join(str(error).split())}); it is tried again"
    return gone, None


def run_at(dsn: str, *, runs_days: int, ledger_days: int, weeks_ahead: int) -> operating.RetentionReport:
    """Remove what is over, unless somebody is at it already. Raises NeedsDirect, psycopg.Error."""
    with connect(dsn) as connection:
        if not _value(connection, "select pg_try_advisory_lock(%s)", _LOCK):
            return operating.RetentionReport()
        looked = outlook(connection, runs_days=runs_days, weeks_ahead=weeks_ahead)
        dropped, kept = list[str](), list(looked.kept)
        for found in looked.astray:
            _bring_back(connection, found)
        for found in looked.removable:
            gone, reason = remove(connection, found)
            dropped += gone
            if reason is not None:
                kept.append(operating.KeptWeek(week=found.week.label, reason=reason))
        pruned = _prune(connection, runs_days=runs_days, ledger_days=ledger_days)
        return operating.RetentionReport(dropped=tuple(dropped), kept=tuple(kept), pruned=pruned)


def _value(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return None if row is None else row[0]


def _weeks(connection: psycopg.Connection[Any]) -> list[WeekTables]:
    """List every week that a parent has a table for, attached or left behind by a removal that was cut off."""
    found: dict[retention.Week, dict[str, str]] = {}
    for parent in partitions.PARENTS:
        rows = connection.execute(statements.load("week_tables"), {"parent": parent, "limit": _TABLE_MAX}).fetchall()
        for name, state in rows:
            found.setdefault(partitions.week_named(name), {})[parent] = state
    return [WeekTables(week=week, states=found[week]) for week in sorted(found)]


def _bounds(week: retention.Week) -> dict[str, Any]:
    return {
        "low": ids.first_id_at(database_unix_ms=int(week.starts_at_s * 1000)),
        "high": ids.first_id_at(database_unix_ms=int(week.ends_at_s * 1000)),
        "limit": COUNTED_MAX,
    }


def _facts(connection: psycopg.Connection[Any], found: WeekTables) -> retention.PartitionFacts:
    """Count what lives in a week, each kind to 1,000 at most."""
    held = connection.execute(statements.load("week_held"), _bounds(found.week)).fetchone()
    assert held is not None, "a select of counts gives a row"
    running, undelivered = held
    return retention.PartitionFacts(
        week=found.week,
        open_runs=_count(connection, found, "run", "state in ('queued', 'running')") or running,
        unknown_steps=_count(connection, found, "attempt", f"state = 'unknown' and {_OF_NO_CANCELLED_CALL}"),
        undelivered_webhooks=undelivered,
        open_reservations=_count(connection, found, "ledger", f"{_RESERVED} and {_OF_NO_CANCELLED_CALL}"),
    )


def _count(connection: psycopg.Connection[Any], found: WeekTables, parent: str, condition: str) -> int:
    """Count rows of one of the week's tables, or of those the week has in the ledger, that meet a condition."""
    needed = {"step"} if parent == "ledger" else {parent, "step"} if "{step}" in condition else {parent}
    # Its tables are dropped one after the other: nothing is asked any more of a week that is on its way.
    if not needed <= found.states.keys():
        return 0
    bounds = _bounds(found.week)
    query = sql.SQL("select count(*) from (select 1 from {table} x where {condition} limit {limit}) y").format(
        table=sql.Identifier("heddle_ledger" if parent == "ledger" else found.table(parent)),
        condition=sql.SQL(condition).format(
            step=sql.Identifier(found.table("step")), low=sql.Literal(bounds["low"]), high=sql.Literal(bounds["high"])
        ),
        limit=sql.Literal(COUNTED_MAX),
    )
    row = connection.execute(query).fetchone()
    assert row is not None, "a count gives a row"
    return int(row[0])


def _living(connection: psycopg.Connection[Any], found: WeekTables) -> str | None:
    """Say what came to life in a week that is being removed, None when nothing did."""
    facts = _facts(connection, found)
    options = retention.RetentionOptions()
    # A hundred weeks later it is over under any policy: only what lives in it is asked.
    looked = retention.to_remove(
        options, partitions=[facts], now_s=float(found.week.ends_at_s + 100 * retention.WEEK_S)
    )
    return looked.stragglers[0].reason if looked.stragglers else None


def _detach(connection: psycopg.Connection[Any], found: WeekTables, parent: str) -> None:
    names = {"parent": sql.Identifier(f"heddle_{parent}"), "table": sql.Identifier(found.table(parent))}
    match found.states.get(parent):
        case "attached":
            connection.execute(sql.SQL("alter table {parent} detach partition {table} concurrently").format(**names))
        case "pending":
            connection.execute(sql.SQL("alter table {parent} detach partition {table} finalize").format(**names))
        case _:
            return


def _bring_back(connection: psycopg.Connection[Any], found: WeekTables) -> None:
    """Finish a detachment that was cut off, and take it back; where another session is in the way, the next time."""
    try:
        _detach(connection, found, "run")
        _attach_again(connection, found)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        return


def _attach_again(connection: psycopg.Connection[Any], found: WeekTables) -> None:
    """Bring a week's runs back, and put in line what a claim may have dropped while they were away."""
    bounds = _bounds(found.week)
    with connection.transaction():
        connection.execute(
            sql.SQL("alter table heddle_run attach partition {} for values from ({}) to ({})").format(
                sql.Identifier(found.table("run")), sql.Literal(str(bounds["low"])), sql.Literal(str(bounds["high"]))
            )
        )
    connection.execute(statements.load("ready_again"), bounds)


def _prune_signals(connection: psycopg.Connection[Any], week: retention.Week) -> bool:
    """Remove the signals of a week's runs: their table has no weeks. False: some are left for the next time."""
    bounds = {**_bounds(week), "limit": PRUNE_BATCH}
    for _ in range(PRUNE_BATCHES_MAX):
        if connection.execute(statements.load("prune_signals"), bounds).rowcount < PRUNE_BATCH:
            return True
    return False


def _prune(connection: psycopg.Connection[Any], *, runs_days: int, ledger_days: int) -> int:
    """Remove what is past its time in small batches: the ledger, what adds it up, finished bulk operations, chains."""
    pruned = 0
    now_s = partitions.database_now_s(connection.cursor())
    for name, days in (
        ("prune_ledger", ledger_days),
        ("prune_spend_days", ledger_days),
        ("prune_spend_reported", ledger_days),
        ("prune_operations", runs_days),
        ("prune_chains", runs_days),
    ):
        if days == 0:
            continue
        before = ids.first_id_at(database_unix_ms=int((now_s - days * 86_400) * 1000))
        for _ in range(PRUNE_BATCHES_MAX):
            gone = connection.execute(
                statements.load(name), {"days": days, "before": before, "limit": PRUNE_BATCH}
            ).rowcount
            pruned += gone
            if gone < PRUNE_BATCH:
                break
    return pruned


def shown(week: retention.Week) -> str:
    """Write a week as people read it: its label and its first day."""
    moment = datetime.datetime.fromtimestamp(week.starts_at_s, tz=datetime.UTC)
    return f"{week.label} (from {moment:%Y-%m-%d})"


def tables_of(found: WeekTables) -> Iterator[str]:
    """Name the tables of a week."""
    return (found.table(parent) for parent in partitions.PARENTS if parent in found.states)
