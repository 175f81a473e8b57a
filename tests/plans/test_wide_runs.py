"""What is done to a run of thousands of calls takes time in proportion to them: no call is compared with every other.

Joins are loops under the planner settings of ``planner.sql``, and a plan made on empty queues stays for a while, so
what a loop throws away is counted; time is not.
"""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from heddle.core import lanes
from heddle.store import statements
from tests import pg
from tests.plans import test_hot_statements as plans
from tests.races import scene

CALLS = 2_000
ACCEPTED = 400
OTHERS = 5_000
COMPARED_MAX = 10 * (CALLS + OTHERS)
LANE = scene.model_lane("m")


@pytest.fixture
def wide(postgres_cluster: str, postgres_template: str) -> Iterator[tuple[scene.House, uuid.UUID]]:
    """Give a running run of many calls, some of them with jobs that a provider took, behind a queue of other calls."""
    with (
        pg.database(cluster_dsn=postgres_cluster, template=postgres_template, label="wide") as made,
        made.connect() as connection,
    ):
        house = scene.House(database=made, connection=connection, store=scene.engine_store(made))
        house.deploy([scene.endpoint("one")], [scene.deployment.Route(model="m", endpoint="one")])
        (run_id,) = house.submit(count=1)
        fill(house, run_id)
        yield house, run_id


FILLED = (
    "vacuum analyze heddle_ready, heddle_lease, heddle_slot, heddle_timer",
    f"""
    insert into heddle_step (run_id, ordinal, kind, name, lane, tenant_id, state, digest, input, created_at)
    select %(run)s, n, 'model', 'm', {LANE}, {plans.TENANT},
      case when n <= {ACCEPTED} then 'pending' else 'due' end, 'd', '{{}}', now()
    from generate_series(1, {CALLS}) n
    """,
    f"""
    insert into heddle_attempt (run_id, ordinal, number, fence, state, started_at, sent_at, endpoint_id, handle)
    select %(run)s, n, 1, 1, 'accepted', now(), now(), %(endpoint)s, 'h' from generate_series(1, {ACCEPTED}) n
    """,
    f"""
    insert into heddle_slot (run_id, ordinal, endpoint_id, taken_at)
    select %(run)s, n, %(endpoint)s, now() from generate_series(1, {ACCEPTED}) n
    """,
    # Half of the jobs are about to be polled, others of the tenant wait for the model.
    f"""
    insert into heddle_ready (lane, tenant_id, run_id, ordinal)
    select {lanes.of_poll("one")}, {plans.TENANT}, %(run)s, n from generate_series(1, {ACCEPTED}, 2) n
    union all
    select {LANE}, {plans.TENANT}, gen_random_uuid(), n from generate_series(1, {OTHERS}) n
    """,
    f"""
    update heddle_run set planned = {CALLS}, open = {CALLS}, function_state = 'returned', state = 'running',
      is_activation_due = false
    """,
)


def fill(house: scene.House, run_id: uuid.UUID) -> None:
    (endpoint,) = house.connection.execute("select id from heddle_endpoint").fetchone() or (None,)
    for text in FILLED:
        house.connection.execute(text, {"run": run_id, "endpoint": endpoint})  # type: ignore[arg-type]


def compared(plan: dict[str, Any]) -> int:
    """Count the pairs that joins looked at and threw away."""
    return int(sum(node.get("Rows Removed by Join Filter", 0) * node["Actual Loops"] for node in plans.nodes(plan)))


def stop(run_id: uuid.UUID) -> dict[str, Any]:
    return {"run_ids": [run_id], "reasons": ["cancelled"], "faults": [None], "forced": [False], "cleanup_s": 60.0}


def test_stop_when_the_run_has_thousands_of_calls_then_none_is_compared_with_every_other(
    wide: tuple[scene.House, uuid.UUID],
) -> None:
    house, run_id = wide

    plan = plans.explain(house.connection, "stop", stop(run_id))

    assert compared(plan) <= COMPARED_MAX


def test_stop_when_jobs_are_polled_already_then_each_is_asked_to_stop_once(
    wide: tuple[scene.House, uuid.UUID],
) -> None:
    house, run_id = wide
    names = statements.numbered("stop")

    cursor = psycopg.RawCursor(house.connection)
    values = stop(run_id)
    cursor.execute(names.text, [values[name] for name in names.names])

    asked = "select count(*), count(distinct ordinal) from heddle_ready where run_id = %s and lane = %s"
    assert house.connection.execute(asked, (run_id, lanes.of_poll("one"))).fetchone() == (ACCEPTED, ACCEPTED)
    assert house.value("select count(*) from heddle_slot") == ACCEPTED


def test_retry_when_thousands_of_calls_failed_then_none_is_compared_with_every_other(
    wide: tuple[scene.House, uuid.UUID],
) -> None:
    house, run_id = wide
    house.connection.execute("update heddle_step set state = 'cancelled', fault = '{\"where\": \"first_of\"}'")
    house.connection.execute("update heddle_step set state = 'failed', fault = null where ordinal % 2 = 0")
    house.connection.execute("update heddle_run set state = 'failed', function_state = 'raised'")

    plan = plans.explain(
        house.connection,
        "retry_run",
        {"run_id": run_id, "lost": "first_of", "above": None, "model_lanes": [], "look_lanes": []},
    )

    assert compared(plan) <= COMPARED_MAX


def test_measure_costs_when_there_are_thousands_of_runs_then_none_is_compared_with_every_other(
    wide: tuple[scene.House, uuid.UUID],
) -> None:
    house, run_id = wide
    time.sleep(0.002)  # ids of the next millisecond: children come after what is above them
    below = house.submit(count=CALLS)
    house.connection.execute("update heddle_run set state = 'succeeded', cost_nano_usd = 2")
    house.connection.execute("update heddle_run set parent_run = %s where id = any(%s)", (run_id, below[::2]))

    plan = plans.explain(house.connection, "spend_costs", {"limit": 5_000, "runs": 200})

    assert compared(plan) <= COMPARED_MAX


def test_measure_costs_when_a_chain_has_thousands_of_runs_then_none_climbs_the_way_of_another(
    wide: tuple[scene.House, uuid.UUID],
) -> None:
    house, run_id = wide
    time.sleep(0.002)
    links = [run_id, *house.submit(count=CALLS)]
    house.connection.execute("update heddle_run set state = 'succeeded', cost_nano_usd = 2")
    house.connection.execute(
        "update heddle_run r set continued_from = l.before, chain_first = %s "
        "from unnest(%s::uuid[], %s::uuid[]) l (id, before) where r.id = l.id",
        (run_id, links[1:], links[:-1]),
    )
    house.connection.execute("update heddle_run set chain_last = %s where id = %s", (links[-1], run_id))

    plan = plans.explain(house.connection, "spend_costs", {"limit": 5_000, "runs": 200})

    assert compared(plan) <= COMPARED_MAX
    assert max(node["Actual Rows"] * node["Actual Loops"] for node in plans.nodes(plan)) <= 3 * CALLS
