"""A door's own connections: a statement is not waited for for ever, and a frozen door's transaction is ended."""

import psycopg
import pytest
from django.db import InternalError, connection, transaction
from django.db.backends import signals

from heddle.cli import complaints
from heddle.service import door_connection
from tests import pg
from tests.fault import programs

GONE = "select not exists (select from pg_stat_activity where pid = %s)"
SHOW = "select current_setting('idle_in_transaction_session_timeout')"


def test_door_connection_when_it_is_idle_in_a_transaction_then_the_server_ends_it(database: pg.Database) -> None:
    connection = door_connection.bounded(2.0).connect(database.dsn, autocommit=True)
    assert connection.execute(SHOW).fetchone() == ("10s",)
    connection.execute("set idle_in_transaction_session_timeout = '100ms'")

    connection.execute("begin")
    with database.connect() as watcher:
        programs.until(
            lambda: watcher.execute(GONE, (connection.info.backend_pid,)).fetchone() == (True,), what="its session ends"
        )

    with pytest.raises(psycopg.OperationalError, match="idle-in-transaction"):
        connection.execute("select 1")


def test_door_connection_when_a_statement_takes_too_long_then_it_is_given_up_and_closed(database: pg.Database) -> None:
    connection = door_connection.bounded(0.3).connect(database.dsn, autocommit=True)

    with pytest.raises(psycopg.OperationalError):
        connection.execute("select pg_sleep(30)")

    assert connection.closed


def test_command_when_it_is_frozen_in_a_transaction_then_the_server_ends_it(database: pg.Database) -> None:
    door_connection.bound_all()
    try:
        with pg.django_using(database):
            assert _asked(SHOW) == ("10s",)
            with pytest.raises(InternalError, match="idle-in-transaction") as caught:
                _stand_still(database)
    finally:
        signals.connection_created.disconnect(dispatch_uid="heddle.bound")

    sentence, status = complaints.worded(caught.value) or ("", complaints.Exit.DONE)
    assert ("nothing of it was kept" in sentence, status) == (True, complaints.Exit.UNWELL)


def _asked(query: str) -> tuple[object, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(query)
        found: tuple[object, ...] | None = cursor.fetchone()
        return found


def _stand_still(database: pg.Database) -> None:
    """Go on in a transaction once its time is over."""
    with transaction.atomic(), database.connect() as watcher:
        _asked("select set_config('idle_in_transaction_session_timeout', '100ms', true)")
        pid = connection.connection.info.backend_pid
        programs.until(lambda: watcher.execute(GONE, (pid,)).fetchone() == (True,), what="its session ends")
        _asked("select 1")
