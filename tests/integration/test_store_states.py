"""States are written three times, in the enums, in the CHECKs and in the statements: all say the same. Statements
say what they do."""

import enum
import io
import pathlib
import re

import pytest

from heddle.config import settings
from heddle.core import attempt, faults, ids, outbox, plan, run, step
from heddle.core.policy import canary, objective
from heddle.store import partitions, statements
from tests import pg

SOURCE = pathlib.Path(statements.__file__).parents[1]
SQL = SOURCE / "store" / "sql"
CHECKED: dict[str, tuple[str, type[enum.StrEnum], frozenset[str]]] = {
    "run states": ("heddle_run.state", run.RunState, frozenset()),
    "function states": ("heddle_run.function_state", run.FunctionState, frozenset()),
    "classes": ("heddle_run.priority", run.Priority, frozenset()),
    "reasons to stop": ("heddle_run.stopping", plan.StopReason, frozenset()),
    "step states": ("heddle_step.state", step.StepState, frozenset()),
    # The activation is ordinal 0: leased and fenced like a step, and never a row of its own.
    "step kinds": ("heddle_step.kind", step.StepKind, frozenset({"activation"})),
    "attempt states": ("heddle_attempt.state", attempt.AttemptState, frozenset()),
    "canary states": ("heddle_canary.state", canary.State, frozenset()),
    "objectives": ("heddle_model.objective", objective.Objective, frozenset()),
    "unknown policies": ("heddle_model.unknown_policy", attempt.UnknownPolicy, frozenset()),
}
COLUMN_STATES = {
    "run": frozenset(run.RunState),
    "step": frozenset(step.StepState),
    "attempt": frozenset(attempt.AttemptState),
    "worker": frozenset({"alive", "draining", "dead", "gone"}),
}
# Those of a bulk operation, which the migration that makes its table lists.
OPERATION_STATES = frozenset({"queued", "running", "done", "stopped", "failed"})
ALL_STATES = frozenset[str](run.FunctionState).union(
    OPERATION_STATES, canary.State, outbox.EventState, *COLUMN_STATES.values()
)
STATE_LITERALS = re.compile(r"(?<![a-z_])(?:\w+\.)?(?:\w+_)?state (?:=|<>|in|not in) \(?((?:'\w+'(?:, )?)+)")


def allowed(database: pg.Database, column: str) -> frozenset[str]:
    """Give the words that the CHECK of a column lists."""
    table, name = column.split(".")
    with database.connect() as connection:
        found = connection.execute(
            "select pg_get_constraintdef(c.oid) from pg_constraint c where c.conrelid = %s::regclass and "
            "c.contype = 'c' "
            "and c.conkey = array[(select attnum from pg_attribute where attrelid = c.conrelid and attname = %s)]",
            (table, name),
        ).fetchall()
    (text,) = [definition for (definition,) in found if "ANY" in definition]
    return frozenset(re.findall(r"'(\w+)'", text))


@pytest.mark.parametrize("what", CHECKED)
def test_check_when_compared_with_its_enum_then_both_list_the_same(database: pg.Database, what: str) -> None:
    column, names, absent = CHECKED[what]

    assert allowed(database, column) == frozenset(names) - absent


@pytest.mark.parametrize("name", statements.names())
def test_statement_when_it_names_states_then_they_exist(name: str) -> None:
    named = {word for found in STATE_LITERALS.findall(statements.load(name)) for word in re.findall(r"'(\w+)'", found)}

    assert named <= ALL_STATES


def test_faults_when_statements_name_them_then_they_exist() -> None:
    texts = "\n".join(statements.load(name) for name in statements.names())
    named = set(re.findall(r"'fault', '(\w+)'", texts))

    assert named
    assert named <= {fault.value for fault in faults.Fault}


def test_timer_kinds_when_statements_and_code_set_them_then_the_check_allows_them(database: pg.Database) -> None:
    texts = "\n".join(
        path.read_text()
        for path in [*SQL.glob("*.sql"), SOURCE / "store" / "schedule.py", SOURCE / "core" / "placement.py"]
    )
    kinds = allowed(database, "heddle_timer.kind")

    assert all(f"'{kind}'" in texts or f'"{kind}"' in texts for kind in kinds)


def test_transitions_when_listed_then_every_state_has_its_row_and_terminal_ones_only_lead_back_to_work() -> None:
    for states, moves, terminal in (
        (run.RunState, run.TRANSITIONS, run.TERMINAL),
        (step.StepState, step.TRANSITIONS, step.TERMINAL),
        (attempt.AttemptState, attempt.TRANSITIONS, attempt.TERMINAL),
    ):
        assert set(moves) == set(states)
        assert all(not moves[state] & terminal or states is attempt.AttemptState for state in terminal)


@pytest.mark.parametrize("name", statements.names())
def test_statement_when_opened_then_its_heading_tells_purpose_caller_rows_and_locks(name: str) -> None:
    lines = (SQL / f"{name}.sql").read_text().splitlines()
    heading = " ".join(line for line in lines if line.startswith("--"))

    assert lines[0].startswith("-- Purpose: ")
    assert re.search(r"Callers?: ", heading)
    assert "Rows: " in heading
    assert re.search(r"Locks( in order)?: ", heading)


@pytest.mark.parametrize("name", statements.names())
def test_statement_when_shipped_then_code_uses_it(name: str) -> None:
    users = [path for path in SOURCE.rglob("*.py") if f'"{name}"' in path.read_text()]

    assert users


def test_makemigrations_when_run_then_nothing_is_missing(database: pg.Database) -> None:
    from django.core import management

    management.call_command("makemigrations", check=True, dry_run=True, stdout=io.StringIO())


def test_migrate_when_a_host_project_runs_it_then_partitions_reach_the_weeks_ahead(empty_database: pg.Database) -> None:
    from django.core import management

    with pg.django_using(empty_database):
        management.call_command("migrate", verbosity=0, interactive=False)
        with empty_database.connect() as connection, connection.cursor() as cursor:
            left = partitions.weeks_left(cursor)
            made_again = partitions.ensure(cursor, weeks_ahead=settings.Settings().partition_weeks_ahead)
            counts = cursor.execute(
                "select inhparent::regclass::text, count(*) from pg_inherits where inhparent in "
                "('heddle_run'::regclass, 'heddle_step'::regclass, 'heddle_attempt'::regclass, "
                "'heddle_event'::regclass) group by 1"
            ).fetchall()

    assert left >= settings.Settings().partition_weeks_ahead
    assert made_again == []
    assert len({count for _, count in counts}) == 1
    assert {name for name, _ in counts} == {f"heddle_{parent}" for parent in partitions.PARENTS}


def test_insert_when_no_partition_covers_its_week_then_it_is_refused_and_not_misplaced(database: pg.Database) -> None:
    import psycopg

    far = ids.first_id_at(database_unix_ms=1)
    with database.connect() as connection, pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
        connection.execute(
            "insert into heddle_event (run_id, seq, name, at) values (%s, 1, 'run.queued', now())", (far,)
        )
