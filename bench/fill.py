"""Fill a house with history and with a queue, quickly and with valid rows: real runs, copied by SQL under new ids.

The template is submitted, and for history executed, by the product itself, so whatever columns its tables have are
filled as the product fills them; only ids differ. Copies share their template's times, and the ids of one template's
copies follow each other. Nothing is measured here.
"""

import uuid
from typing import Any

import psycopg
from psycopg import sql

from bench.house import House

SCHEMA = "bench_fill"
CHUNK_RUNS = 20_000
RUN_COLUMN = {"run": "id", "step": "run_id", "attempt": "run_id", "event": "run_id", "ready": "run_id"}
HISTORY = ("run", "step", "attempt", "event")
QUEUED = ("run", "event", "ready")
# Left to the column's default in a copied row.
DRAWN = {"ready": ("seq",)}


def take(connection: psycopg.Connection[Any], run: uuid.UUID, tables: tuple[str, ...]) -> None:
    """Move a run's rows out of the product's tables, as the template of copies; one template at a time."""
    connection.execute(f"drop schema if exists {SCHEMA} cascade; create schema {SCHEMA}")
    for table in tables:
        key = RUN_COLUMN[table]
        connection.execute(
            sql.SQL("create table {} as select * from {} where {} = {}").format(
                sql.Identifier(SCHEMA, table), sql.Identifier(f"heddle_{table}"), sql.Identifier(key), sql.Literal(run)
            )
        )
        connection.execute(f"delete from heddle_{table} where {key} = %s", (run,))


def copies(connection: psycopg.Connection[Any], template: uuid.UUID, tables: tuple[str, ...], *, runs: int) -> None:
    """Copy the template taken, so often, in one transaction: all copies are there at once."""
    with connection.transaction():
        for table in tables:
            statement = _copying(connection, template, table)
            for first in range(1, runs + 1, CHUNK_RUNS):
                connection.execute(statement, {"first": first, "last": min(first + CHUNK_RUNS - 1, runs)})


def copy_id(template: uuid.UUID, number: int) -> uuid.UUID:
    """Give the id of a template's copy: its millisecond, version 7, the number in the lowest 48 bits."""
    return uuid.UUID(f"{str(template)[:14]}7fff-8000-{number:012x}")


def forget(connection: psycopg.Connection[Any], template: uuid.UUID) -> None:
    """Remove every copy of a template with everything of it, and what is queued of anything; no worker may run."""
    for table in HISTORY:
        connection.execute(
            f"delete from heddle_{table} where {RUN_COLUMN[table]} between %s and %s",
            (copy_id(template, 0), copy_id(template, (1 << 48) - 1)),
        )
    connection.execute("truncate heddle_ready, heddle_lease, heddle_timer, heddle_lane_tenant, heddle_worker")
    connection.execute(f"vacuum (analyze) {', '.join(f'heddle_{table}' for table in HISTORY)}")
    connection.execute("vacuum (analyze) heddle_ready, heddle_lease, heddle_timer, heddle_lane_tenant")
    connection.execute("checkpoint")


def submit(house: House, workflow: str, value: dict[str, int]) -> uuid.UUID:
    """Submit the run that is copied."""
    from heddle import wiring

    run_id: uuid.UUID = wiring.client().submit(workflow, value).run.id
    return run_id


def _copying(connection: psycopg.Connection[Any], template: uuid.UUID, table: str) -> sql.Composed:
    """Compose the statement that copies one table's rows, whatever columns the table has."""
    named = connection.execute(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped"
        " and attgenerated = '' order by attnum",
        (f"heddle_{table}",),
    ).fetchall()
    columns = [name for (name,) in named if name not in DRAWN.get(table, ())]
    copied = sql.SQL("({} || lpad(to_hex(g), 12, '0'))::uuid").format(sql.Literal(str(copy_id(template, 0))[:24]))
    values = [copied if name == RUN_COLUMN[table] else sql.Identifier("t", name) for name in columns]
    return sql.SQL(
        "insert into {} ({}) select {} from generate_series(%(first)s::bigint, %(last)s::bigint) g cross join {} t"
    ).format(
        sql.Identifier(f"heddle_{table}"),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(values),
        sql.Identifier(SCHEMA, table),
    )
