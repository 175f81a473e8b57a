"""A door's own connections: a statement is not waited for for ever, and a frozen door's transaction is ended."""

import psycopg
import pytest

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
