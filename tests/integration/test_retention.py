"""Weeks whose time is over go without blocking workers; a week in which something lives stays and is named."""

import datetime
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from heddle.core import ids
from heddle.core.policy import retention
from heddle.ports import operating
from heddle.store import partitions, retaining
from tests import pg
from tests.races import scene

WEEKS_BACK = 8
DAYS = 28


class Archive:
    """An old week in a database of its own, with one run in it."""

    def __init__(self, database: pg.Database, connection: psycopg.Connection[Any]) -> None:
        self.database = database
        self.connection = connection
        now_s = partitions.database_now_s(connection.cursor())
        self.week = retention.Week(number=retention.week_of(now_s=now_s).number - WEEKS_BACK)
        with connection.transaction():
            self.tables = sorted(partitions.create(connection.cursor(), self.week))
        self.run_id = ids.run_id(database_unix_ms=int(self.week.starts_at_s + 3_600) * 1000, random_bits=7)

    def add_run(self, state: str = "succeeded") -> None:
        at = datetime.datetime.fromtimestamp(self.week.starts_at_s + 3_600, tz=datetime.UTC)
        self.connection.execute(
            "insert into heddle_run (id, tenant_id, workflow, version, priority, lane, state, input, created_at, "
            "is_activation_due) values (%s, 1, 'w', 1, 'standard', 5, %s, '{}', %s, false)",
            (self.run_id, state, at),
        )

    def run(self, **days: int) -> operating.RetentionReport:
        given = {"runs_days": DAYS, "ledger_days": 0, "weeks_ahead": 4, **days}
        return retaining.run_at(self.database.dsn, **given)

    def left(self) -> list[str]:
        found = self.connection.execute("select relname from pg_class where relname = any(%s)", (self.tables,))
        return sorted(name for (name,) in found.fetchall())


@pytest.fixture
def archive(database: pg.Database) -> Iterator[Archive]:
    with database.connect() as connection:
        made = Archive(database, connection)
        yield made
        for table in made.left():
            connection.execute(f"drop table {table}")
        for table in ("timer", "ledger", "signal"):
            connection.execute(f"delete from heddle_{table}")


def test_retention_when_a_week_is_over_and_nothing_lives_in_it_then_its_tables_go(archive: Archive) -> None:
    archive.add_run()
    archive.connection.execute(
        "insert into heddle_signal (run_id, name) select %s, 'go' from generate_series(1, 10)", (archive.run_id,)
    )

    report = archive.run()

    assert sorted(report.dropped) == archive.tables
    assert (report.kept, archive.left()) == ((), [])
    assert archive.connection.execute("select count(*) from heddle_signal").fetchone() == (0,)


def test_retention_when_days_is_zero_then_everything_is_kept(archive: Archive) -> None:
    archive.add_run()

    assert archive.run(runs_days=0).dropped == ()


def test_retention_when_the_week_is_within_its_time_then_it_stays(archive: Archive) -> None:
    archive.add_run()

    assert archive.run(runs_days=7 * WEEKS_BACK).dropped == ()


def _an_unknown_attempt(archive: Archive) -> None:
    archive.add_run("failed")
    archive.connection.execute(
        "insert into heddle_attempt (run_id, ordinal, number, fence, state, started_at) "
        "values (%s, 1, 1, 1, 'unknown', now())",
        (archive.run_id,),
    )


def _a_reservation(archive: Archive) -> None:
    archive.add_run()
    archive.connection.execute(
        "insert into heddle_ledger (tenant_id, run_id, ordinal, number, kind, amount_nano_usd) "
        "values (1, %s, 1, 1, 'reserve', 5)",
        (archive.run_id,),
    )


def _a_timer(archive: Archive) -> None:
    archive.add_run()
    archive.connection.execute(
        "insert into heddle_timer (run_id, ordinal, kind, due_at) values (%s, 0, 'deadline', now())", (archive.run_id,)
    )


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (lambda archive: archive.add_run("running"), "open runs: 1"),
        (_an_unknown_attempt, "steps of unknown outcome: 1"),
        (_a_reservation, "open reservations: 1"),
        (_a_timer, "open runs: 1"),
    ],
)
def test_retention_when_something_lives_then_the_week_is_kept_and_named(
    archive: Archive, live: Any, reason: str
) -> None:
    live(archive)

    report = archive.run()

    assert (report.dropped, archive.left()) == ((), archive.tables)
    assert report.kept == (operating.KeptWeek(week=archive.week.label, reason=reason),)


def test_retention_when_a_cancelled_call_was_never_known_to_be_over_then_its_week_goes_all_the_same(
    archive: Archive,
) -> None:
    _an_unknown_attempt(archive)
    archive.connection.execute("update heddle_run set state = 'cancelled' where id = %s", (archive.run_id,))
    archive.connection.execute(
        "insert into heddle_step (run_id, ordinal, kind, name, version, lane, tenant_id, state, digest, input, "
        "created_at) values (%s, 1, 'model', 'm', 1, 5, 1, 'cancelled', 'd', '{}', now())",
        (archive.run_id,),
    )
    archive.connection.execute(
        "insert into heddle_ledger (tenant_id, run_id, ordinal, number, kind, amount_nano_usd) "
        "values (1, %s, 1, 1, 'reserve', 5)",
        (archive.run_id,),
    )

    report = archive.run()

    assert (report.kept, sorted(report.dropped)) == ((), archive.tables)
    assert archive.connection.execute("select amount_nano_usd from heddle_ledger").fetchall() == [(5,)]


def test_retention_when_there_are_more_signals_than_it_removes_at_once_then_the_next_time_ends_it(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retaining, "PRUNE_BATCH", 2)
    monkeypatch.setattr(retaining, "PRUNE_BATCHES_MAX", 2)
    archive.add_run()
    for number in range(5):
        archive.connection.execute(
            "insert into heddle_signal (run_id, name, key, payload) values (%s, 'a', %s, '1')",
            (archive.run_id, str(number)),
        )

    first, second = archive.run(), archive.run()

    assert [kept.reason for kept in first.kept] == ["its signals are being removed"]
    assert (first.dropped, sorted(second.dropped)) == ((), archive.tables)
    assert archive.connection.execute("select count(*) from heddle_signal").fetchall() == [(0,)]


def test_retention_when_a_transaction_is_open_on_the_runs_then_it_gives_up_soon_and_workers_go_on(
    archive: Archive,
) -> None:
    archive.add_run()
    with psycopg.connect(archive.database.dsn) as holder:
        holder.execute("select count(*) from heddle_run")

        report = archive.run()

        # While the removal is half done, others read and write the parent.
        with archive.database.connect() as other:
            other.execute("set lock_timeout = '200ms'")
            other.execute("select count(*) from heddle_run")
            other.execute(
                "insert into heddle_run (id, tenant_id, workflow, version, priority, lane, input, created_at) "
                "values (%s, 1, 'w', 1, 'standard', 5, '{}', now())",
                (_id_now(other),),
            )
    assert report.dropped == ()
    assert report.kept[0].reason.startswith("another session holds it")

    assert sorted(archive.run().dropped) == archive.tables


def _id_now(connection: psycopg.Connection[Any]) -> uuid.UUID:
    now_s = partitions.database_now_s(connection.cursor())
    return ids.run_id(database_unix_ms=int(now_s * 1000), random_bits=9)


def test_retention_when_a_run_comes_to_life_while_its_week_goes_then_the_week_comes_back(archive: Archive) -> None:
    archive.add_run("failed")
    with retaining.connect(archive.database.dsn) as connection:
        looked = retaining.outlook(connection, runs_days=DAYS, weeks_ahead=4)
        archive.connection.execute(
            "update heddle_run set state = 'running', is_activation_due = true where id = %s", (archive.run_id,)
        )

        gone, reason = retaining.remove(connection, looked.removable[0])

    assert (gone, reason) == ([], "open runs: 1")
    assert archive.connection.execute("select state from heddle_run where id = %s", (archive.run_id,)).fetchone() == (
        "running",
    )
    line = archive.connection.execute("delete from heddle_ready where run_id = %s returning lane", (archive.run_id,))
    assert line.fetchall() == [(5,)]


def test_retention_when_a_removal_was_cut_off_and_a_run_lives_then_the_next_time_brings_the_week_back(
    archive: Archive,
) -> None:
    archive.add_run("running")
    archive.connection.execute(f"alter table heddle_run detach partition {archive.tables[2]} concurrently")
    state = "select state from heddle_run where id = %s"
    before = archive.connection.execute(state, (archive.run_id,)).fetchall()

    report = archive.run()

    assert [kept.reason for kept in report.kept] == ["open runs: 1"]
    assert before == []
    assert archive.connection.execute(state, (archive.run_id,)).fetchall() == [("running",)]


def test_retention_when_two_do_it_at_once_then_one_does_it(archive: Archive) -> None:
    archive.add_run()
    reports: list[operating.RetentionReport] = []
    threads = [threading.Thread(target=lambda: reports.append(archive.run())) for _ in range(2)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(name for report in reports for name in report.dropped) == archive.tables


def test_retention_of_the_ledger_when_rows_are_past_their_years_then_they_go_and_younger_ones_stay(
    archive: Archive,
) -> None:
    archive.connection.execute(
        "insert into heddle_ledger (at, tenant_id, run_id, ordinal, number, kind, amount_nano_usd) "
        "values (now() - interval '100 days', 1, gen_random_uuid(), 1, 1, 'charge', 5), "
        "(now(), 1, gen_random_uuid(), 1, 1, 'charge', 6)"
    )

    report = archive.run(ledger_days=30)

    assert report.pruned == 1
    assert archive.connection.execute("select amount_nano_usd from heddle_ledger").fetchall() == [(6,)]


def test_retention_of_the_ledger_when_days_are_past_its_years_then_their_sums_and_reports_go_too(
    archive: Archive,
) -> None:
    with archive.connection.transaction(force_rollback=True):
        archive.connection.execute(
            "insert into heddle_spend_day (tenant_id, day, workflow, model, endpoint_id) "
            "select t, current_date - d, 'w', 'm', e "
            "from generate_series(1, 2) t, generate_series(0, 3) e, unnest(array[0, 29, 31, 400]) d"
        )
        archive.connection.execute(
            "insert into heddle_spend_reported (endpoint_id, day, account, amount_nano_usd, source) "
            "select e, current_date - d, 'a', 1, 's' from generate_series(1, 2) e, unnest(array[0, 31, 400]) d"
        )
        kept = retaining._prune(archive.connection, runs_days=0, ledger_days=0)
        pruned = retaining._prune(archive.connection, runs_days=0, ledger_days=30)
        days = "select distinct current_date - day from heddle_spend_day order by 1"
        left = [archive.connection.execute(days).fetchall()]
        left.append(archive.connection.execute(days.replace("spend_day", "spend_reported")).fetchall())

    assert (kept, pruned) == (0, 16 + 4)
    assert left == [[(0,), (29,)], [(0,)]]


async def test_retain_when_the_engine_asks_then_it_is_done(archive: Archive) -> None:
    archive.add_run()
    store = scene.engine_store(archive.database)
    await store.open()

    report = await store.retain(runs_days=DAYS, ledger_days=0, weeks_ahead=4)
    await store.close()

    assert sorted(report.dropped) == archive.tables
