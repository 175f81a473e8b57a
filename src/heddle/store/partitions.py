"""Make and remove the weekly partitions of the durable tables; never from a migration.

A partition is created as a table of its own and then attached, so that nobody waits on the parent. Which weeks are
needed is decided by ``core.policy.retention``. There is no default partition: a row without one is refused, and
readiness names the shortage long before.
"""

import datetime
import functools
import re
import uuid
from collections.abc import Collection, Iterable
from typing import Any

import psycopg

from heddle.core import ids
from heddle.core.policy import retention
from heddle.store import pool, statements

PARENTS = ("run", "step", "attempt", "event")
_FILLFACTOR = {"run": 70, "step": 60, "attempt": 70, "event": 100}
_FIRST_S = retention.Week(number=0).starts_at_s
_CONNECT_TIMEOUT_S = 5
# Creating a table takes milliseconds; what takes longer waits for somebody's lock and is tried again later.
_BOUNDS = {"statement_timeout": "10s", "transaction_timeout": "20s"}
_NAME = re.compile(r"heddle_run_p(\d{8})\Z")


@functools.lru_cache(maxsize=64)
def week_name(week: retention.Week) -> str:
    """Write the first day of a week as the names of its tables end."""
    moment = datetime.datetime.fromtimestamp(week.starts_at_s, tz=datetime.UTC)
    return f"{moment:%Y%m%d}"


def suffix_of(run_ids: Collection[uuid.UUID]) -> str:
    """Give the suffix of the partitions that hold these runs; empty when they are of more than one week, or none."""
    weeks = {(ids.unix_ms(run_id) // 1000 - _FIRST_S) // retention.WEEK_S for run_id in run_ids}
    return "_p" + week_name(retention.Week(number=weeks.pop())) if len(weeks) == 1 else ""


def week_named(table: str) -> retention.Week:
    """Give the week of a table by its name. Raises ValueError for a name that is none of ours."""
    moment = datetime.datetime.strptime(table.rpartition("_p")[2], "%Y%m%d").replace(tzinfo=datetime.UTC)
    return retention.week_of(now_s=moment.timestamp())


def existing(cursor: Any) -> list[retention.Week]:
    """List the weeks that every parent has a partition for."""
    cursor.execute(
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid "
        "where i.inhparent = to_regclass('heddle_run') order by c.relname limit 1000"
    )
    found = []
    for (name,) in cursor.fetchall():
        if _NAME.match(name):
            found.append(week_named(name))
    return found


def database_now_s(cursor: Any) -> float:
    """Read the database's clock."""
    cursor.execute("select extract(epoch from clock_timestamp())::float8")
    return float(cursor.fetchone()[0])


def ensure(cursor: Any, *, weeks_ahead: int) -> list[str]:
    """Create the partitions that are missing, and name them, inside the caller's transaction. A second call creates
    nothing; two at once wait for each other.
    """
    cursor.execute("select pg_advisory_xact_lock(hashtext('heddle.partitions'))")
    return _create_missing(cursor, weeks_ahead=weeks_ahead)


def _create_missing(cursor: Any, *, weeks_ahead: int) -> list[str]:
    options = retention.RetentionOptions(weeks_ahead=weeks_ahead)
    missing = retention.to_create(options, existing=existing(cursor), now_s=database_now_s(cursor))
    return [name for week in missing for name in create(cursor, week)]


def ensure_at(dsn: str, *, weeks_ahead: int) -> list[str]:
    """Do what ``ensure`` does, in bounded time, over a connection of its own; nothing when somebody is at it already,
    who may have been frozen there. Raises psycopg.Error.
    """
    opened = pool.parameters(dsn, timeout_s=_CONNECT_TIMEOUT_S, name="heddle-partitions")
    with psycopg.connect(dsn, **opened) as connection, connection.cursor() as cursor:
        cursor.execute(statements.load("bounds"), _BOUNDS)
        # Held by the transaction and not by the session, which a pooler does not keep.
        cursor.execute("select pg_try_advisory_xact_lock(hashtext('heddle.partitions'))")
        is_ours = cursor.fetchone()
        return _create_missing(cursor, weeks_ahead=weeks_ahead) if is_ours == (True,) else []


def create(cursor: Any, week: retention.Week) -> Iterable[str]:
    """Create and attach one week's tables, those that are missing, and name them all."""
    low = ids.first_id_at(database_unix_ms=int(week.starts_at_s * 1000))
    high = ids.first_id_at(database_unix_ms=int(week.ends_at_s * 1000))
    made = []
    for parent in PARENTS:
        name = f"heddle_{parent}_p{week_name(week)}"
        column = "id" if parent == "run" else "run_id"
        cursor.execute(
            f"create table if not exists {name} (like heddle_{parent} including all, "
            f"constraint {name}_week check ({column} >= '{low}' and {column} < '{high}')) "
            f"with (fillfactor = {_FILLFACTOR[parent]}, autovacuum_vacuum_scale_factor = 0.05)"
        )
        cursor.execute("select 1 from pg_inherits where inhrelid = to_regclass(%(name)s)", {"name": name})
        if cursor.fetchone() is None:
            cursor.execute(
                f"alter table heddle_{parent} attach partition {name} for values from ('{low}') to ('{high}')"
            )
            cursor.execute(f"alter table {name} drop constraint {name}_week")
        made.append(name)
    return made


def weeks_left(cursor: Any) -> float:
    """Tell for how many weeks from now partitions exist without a gap."""
    return retention.covered_s(existing=existing(cursor), now_s=database_now_s(cursor)) / (7 * 86_400)
