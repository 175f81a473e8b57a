"""The statements of the runbooks: each is one that this release's tables answer, and one that changes nothing."""

import re

import psycopg
import pytest

from heddle.telemetry.catalog import runbooks
from tests import pg

STATEMENT = re.compile(r'^psql "\$DATABASE_URL" -c "(?P<statement>[^"]+)"$')
STATEMENTS = sorted(
    {
        found["statement"]
        for runbook in runbooks.ALL
        for action in (*runbook.diagnosis, *runbook.mitigation, *runbook.verification)
        for command in action.commands
        if (found := STATEMENT.match(command.line))
    }
)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statement_of_a_runbook_when_asked_read_only_then_answered(statement: str, database: pg.Database) -> None:
    with psycopg.connect(database.dsn, options="-c default_transaction_read_only=on") as connection:
        rows = connection.execute(statement.encode()).fetchall()

    assert len(rows) <= 20
