"""A statement that waits for a row, finds it changed and then looks things up in the weeks' partitions gets what is
there. Without what ``planner.sql`` pins for it, PostgreSQL 18.4 crashes here at the first try (ADR 0039).
"""

import threading

import psycopg

from heddle.store import statements
from tests import pg

ROUNDS = 5
WEEKS = 8
ROWS_OF_A_WEEK = 1_000
LOOKED_UP = 2_000
TABLES = """
create table scope (id int primary key, changed int not null default 0);
insert into scope values (1);
create table fact (id int primary key, value int not null) partition by range (id);
"""
# Locks a row, fills memory, and looks up facts one by one, as a claim does with its scopes and runs.
CLAIM = f"""
with held as materialized (
  select id, changed from scope where id = 1 for no key update
), told as materialized (
  select array_agg(repeat('x', 20 + n % 20)) as texts, jsonb_object_agg(n::text, repeat('y', n)) as more
  from held cross join generate_series(1, 600) n
), found as materialized (
  select x.n, f.value
  from told
  cross join held
  cross join generate_series(1, {LOOKED_UP}) x (n)
  cross join lateral (
    select f.value from fact f where f.id = x.n * 37 % {WEEKS * ROWS_OF_A_WEEK} + held.changed - held.changed offset 0
  ) f
)
select count(*) filter (where value = n * 37 % {WEEKS * ROWS_OF_A_WEEK}) from found
"""


def test_look_up_when_the_row_that_was_waited_for_has_changed_then_it_finds_everything(
    postgres_cluster: str, postgres_template: str
) -> None:
    with pg.database(cluster_dsn=postgres_cluster, template=postgres_template, label="changed") as made:
        fill(made)
        with made.connect() as claiming, made.connect() as changing, made.connect() as watching:
            claiming.execute(statements.load("planner"), {"is_local": False})
            found = [after_a_change(claiming, changing, watching) for _ in range(ROUNDS)]

    assert found == [LOOKED_UP] * ROUNDS


def fill(made: pg.Database) -> None:
    with made.connect() as connection:
        connection.execute(TABLES)
        for week in range(WEEKS):
            low, high = week * ROWS_OF_A_WEEK, (week + 1) * ROWS_OF_A_WEEK
            connection.execute(f"create table fact_{week} partition of fact for values from ({low}) to ({high})")  # type: ignore[arg-type]
        connection.execute(f"insert into fact select n, n from generate_series(0, {WEEKS * ROWS_OF_A_WEEK - 1}) n")  # type: ignore[arg-type]
        connection.execute("analyze")


def after_a_change(
    claiming: psycopg.Connection, changing: psycopg.Connection, watching: psycopg.Connection
) -> int | None:
    """Claim while the row is being changed; give what was found."""
    found: list[int] = []
    waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
    with changing.transaction():
        changing.execute("update scope set changed = changed + 1 where id = 1")
        claim = threading.Thread(
            target=lambda: found.extend(row[0] for row in claiming.execute(CLAIM, prepare=True).fetchall())
        )
        claim.start()
        while claim.is_alive() and watching.execute(waits, (claiming.info.backend_pid,)).fetchone() != (True,):
            claim.join(timeout=0.01)
    claim.join()
    return found[0] if found else None
