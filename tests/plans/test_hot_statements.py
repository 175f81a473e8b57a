"""The hot statements read by index at every size, and a claim costs the same behind a long queue as behind a short one.

Plans are those a worker gets: prepared, generic, under the planner settings of ``planner.sql``. Buffers are counted,
time is not.
"""

import collections
import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from heddle.core import ids, lanes
from heddle.store import calling, late, limits, lookout, plan_arrays, rows, schedule, statements
from tests import pg
from tests.races import scene

SIZES = (0, 1_000, 200_000)
BIG_TABLES = re.compile(r"heddle_(ready|step|lease|attempt|timer|run|event)(_p\d+)?\Z")
TENTHS = re.compile(r"heddle_(lease|attempt)(_p\d+)?\Z")
STEPS_OF_A_RUN = 1_000
TENANT = 1
RUN = uuid.UUID(int=0)
LANE_STEP, LANE_MODEL, LANE_POLL = scene.step_lane("a"), scene.model_lane("m"), lanes.of_poll("one")


@pytest.fixture(scope="module", params=SIZES)
def stage(
    request: pytest.FixtureRequest, postgres_cluster: str, postgres_template: str
) -> Iterator[tuple[int, psycopg.Connection[Any]]]:
    """Give a connection to a database with so many steps in line, leased, timed and tried."""
    size: int = request.param
    with (
        pg.database(cluster_dsn=postgres_cluster, template=postgres_template, label=f"plans_{size}") as made,
        made.connect() as connection,
    ):
        fill(deployed(made, connection), size)
        connection.execute("analyze")
        yield size, connection


def deployed(made: pg.Database, connection: psycopg.Connection[Any]) -> scene.House:
    house = scene.House(database=made, connection=connection, store=scene.engine_store(made))
    house.deploy(
        [scene.endpoint("one")],
        [scene.deployment.Route(model="m", endpoint="one")],
        # Wide enough for every claim here, so that calls are weighed and none is held back.
        scopes=[scene.deployment.Scope(name="one", tokens_per_min=10**9, images_per_min=10**9)],
    )
    return house


def fill(house: scene.House, size: int) -> None:
    made = house.submit(count=max(1, size // STEPS_OF_A_RUN))
    house.connection.execute(
        "create temp table chosen as select id, row_number() over () - 1 as place from unnest(%s::uuid[]) id", (made,)
    )
    source = f"from generate_series(0, {size - 1}) n join chosen c on c.place = n / {STEPS_OF_A_RUN}"
    tenth = f"{source} where n % 10 = 0"
    lane = f"case n % 2 when 0 then {LANE_STEP} else {LANE_MODEL} end"
    ordinal = f"n % {STEPS_OF_A_RUN} + 1"
    leased = f"1000 + {ordinal}, n % 10, n, c.id, 1, 1, 1, 'execute', now()"
    kind = "case n % 2 when 0 then 'step' else 'model' end"
    insert_steps = "(run_id, ordinal, kind, name, lane, tenant_id, state, digest, input, created_at)"
    insert_attempts = "(run_id, ordinal, number, fence, state, started_at)"
    insert_leases = "(run_id, ordinal, worker_id, fence, claim_id, number, lane, tenant_id, purpose, claimed_at)"
    rows_of = {
        f"step {insert_steps}": f"c.id, {ordinal}, {kind}, 'a', {lane}, {TENANT}, 'due', 'd', '{{}}', now() {source}",
        "ready (lane, tenant_id, run_id, ordinal)": f"{lane}, {TENANT}, c.id, {ordinal} {source}",
        "timer (run_id, ordinal, kind, due_at)": f"c.id, {ordinal}, 'retry', now() + n * interval '1 s' {source}",
        f"lease {insert_leases}": f"c.id, {leased} {tenth}",
        f"attempt {insert_attempts}": f"c.id, {ordinal}, 1, 1, 'abandoned', now() {tenth}",
    }
    for target, values in rows_of.items():
        house.connection.execute(f"insert into heddle_{target} select {values}")  # type: ignore[arg-type]
    house.connection.execute("update heddle_run set open = 100000, state = 'running'")
    house.connection.execute("delete from heddle_ready where ordinal = 0")
    house.connection.execute("drop table chosen")


def explain(connection: psycopg.Connection[Any], name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Prepare a statement as a worker does, run it once and give its plan; what it changed is rolled back."""
    prepare(connection, name)
    try:
        return run(connection, name, parameters)
    finally:
        connection.execute(f"deallocate hot_{name}")  # type: ignore[arg-type]


def prepare(connection: psycopg.Connection[Any], name: str) -> None:
    names = names_of(name)
    text = re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", statements.load(name))
    connection.execute(f"prepare hot_{name} as {text.replace('%%', '%')}")  # type: ignore[arg-type]


def names_of(name: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statements.load(name))))


def run(connection: psycopg.Connection[Any], name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Run a prepared statement and give its plan: the one it was given when it was run first."""
    names = names_of(name)
    values = [rows.array(parameters[each]) if type(parameters[each]) is list else parameters[each] for each in names]
    with connection.transaction(force_rollback=True):
        connection.execute(statements.load("planner"), {"is_local": True})
        arguments = sql.SQL(", ").join(sql.Literal(None if value is None else str(value)) for value in values)
        call = sql.SQL(f"explain (analyze, buffers, format json) execute hot_{name}") + sql.SQL(
            "({})" if names else ""
        ).format(arguments)
        (found,) = connection.execute(call).fetchone() or (None,)
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def buffers(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def local_claim(cap: int = 50) -> dict[str, Any]:
    return {
        "worker": 1,
        "claim_id": RUN,
        "lanes": [LANE_STEP, LANE_POLL, scene.ACTIVATIONS],
        "groups": [1, 2, 1],
        "purposes": ["execute", "poll", "activate"],
        "shares": [1.0, 1.0, 1.0],
        "caps": [cap, cap],
        **lookout.Lookout().parameters([LANE_STEP, LANE_POLL, scene.ACTIVATIONS], now_s=0.0),
        "tenants": 256,
    }


def model_claim(want: int = 50) -> dict[str, Any]:
    return {
        "worker": 1,
        "claim_id": RUN,
        "lanes": [LANE_MODEL],
        "models": ["m"],
        "shares": [1.0],
        "want": want,
        "endpoints": 4,
        "send_window_s": 5.0,
        "tenants": 256,
        "governed_s": limits.GOVERNED_S,
        **limits.LAW,
    }


def at_once() -> dict[str, Any]:
    """Ask for fifty calls to be leased as they are admitted."""
    count = 50
    return {
        "ids": [ids.run_id(database_unix_ms=int(time.time() * 1000), random_bits=number) for number in range(count)],
        "tenants": [TENANT] * count,
        "workflows": ["model:m"] * count,
        "models": ["m"] * count,
        "lanes": [LANE_MODEL] * count,
        "operations": ["runs.create"] * count,
        "keys": [None] * count,
        "digests": ["d"] * count,
        "tokens": [None] * count,
        "images": [None] * count,
        "line_models": ["m"],
        "line_lanes": [LANE_MODEL],
        "endpoints": [1],
        "paid": [True],
        "worker": 1,
        "claim_id": RUN,
        "send_window_s": 5.0,
        "deltas_max": calling.DELTAS_MAX,
        "lock_timeout": f"{calling.LOCK_TIMEOUT_MS}ms",
        "ramp_s": limits.LAW["ramp_s"],
    }


def of_forms(run_id: uuid.UUID, named: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """Give the statements behind first_of, continue_as_new and stopped jobs."""
    count = len(named["runs"])
    return {
        "lock_capped": {"runs": [run_id]},
        "chain_links": {"run_ids": [run_id]},
        "latest_run": {"run_id": run_id, "tenant_id": TENANT},
        "latest_runs": {"run_ids": [run_id]},
        "cancel_calls": {
            "run_ids": [run_id],
            "fences": [1],
            "wakes": [0],
            "runs": [run_id] * 2,
            "ordinals": [1, 2],
            "lost": "{}",
        },
        "continue_runs": {"olds": [run_id], "ids": [RUN], "inputs": ["{}"], "versions": [1], "lanes": [1]},
        "look_again": {**named, "handles": [None] * count, "delays": [1.0] * count},
    }


def of_verdicts(settled: list[scene.store.Settlement]) -> dict[str, dict[str, Any]]:
    """Give the statements that write what became of calls."""
    return {
        "settle": rows.settlements(settled) | rows.direct(None),
        "settle_call": rows.settled_calls(settled),
        "settle_results": rows.settled_results(settled) | rows.direct(None),
        "late_lock": late.parameters(settled),
        "settle_late": late.parameters(settled),
    }


def hot(connection: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    """Give every hot statement, and what stands behind one, with parameters that find something where it is."""
    leases = connection.execute(
        "select run_id, ordinal, fence from heddle_lease order by run_id, ordinal limit 50"
    ).fetchall()
    (run_id,) = connection.execute("select id from heddle_run order by id limit 1").fetchone() or (RUN,)
    steps = connection.execute(
        "select run_id, ordinal, 1 from heddle_step where ordinal % 7 = 0 limit 50"
    ).fetchall() or [(run_id, 1, 1)]
    settled = [
        scene.store.Settlement(
            run_id=row[0], ordinal=row[1], fence=row[2], number=1, verdict="complete", output="1", attempt_state="done"
        )
        for row in steps
    ]
    timers = connection.execute(
        "select run_id, ordinal, kind from heddle_timer order by due_at limit 50"
    ).fetchall() or [(run_id, 1, "retry")]
    named = {
        "runs": [row[0] for row in leases],
        "ordinals": [row[1] for row in leases],
        "fences": [row[2] for row in leases],
    }
    planned: dict[str, Any] = {name: [] for name in plan_arrays.PlanArrays(None).values} | {
        "worker": 1,
        "claim_id": RUN,
    }
    return {
        "claim_local": local_claim(),
        "claim_model": model_claim(),
        "fold_idle": limits.LAW,
        "scope_counters": {},
        "govern": {"ids": [1], "slots": [None], "uptos": [10]},
        "call_now": at_once(),
        "plan": planned,
        "plan_guard": {"run_ids": [], "fences": [], "wake_seqs": []},
        "plan_facts": {"run_ids": [run_id], "fences": [1], "runs": [run_id, run_id], "ordinals": [1, 2]},
        "journal_runs": {"run_ids": [run_id]},
        "journal_steps": {"run_ids": [run_id], "ordinals": [1], "eager_runs": [run_id], "bytes_max": 1 << 24},
        "due_timers": {"late_s": 0.0, "limit": 500},
        "next_timer": {},
        "take_timers": {
            "runs": [row[0] for row in timers],
            "ordinals": [row[1] for row in timers],
            "kinds": [row[2] for row in timers],
            "result_bytes_max": 1 << 22,
        },
        "reclaim": {**named, "is_death": True, "margin_s": 1.0},
        "held": {"worker": 1, "grace_s": 5.0},
        "readback": {"worker": 1, "claim_ids": [RUN]},
        "lock_runs": {"run_ids": [run_id]},
        **of_forms(run_id, named),
        "mark_sending": {**named, "numbers": [1] * len(leases), "digests": ["d"] * len(leases)},
        "close_attempt": {**named, "states": ["done"] * len(leases), "costs": [1] * len(leases)},
        **of_verdicts(settled),
        "stop": {"run_ids": [RUN], "reasons": ["cancelled"], "faults": [None], "forced": [False], "cleanup_s": 60.0},
        "new_runs": schedule.NewRuns().values,
    }


def test_hot_statements_when_tables_are_of_this_size_then_none_reads_a_big_table_through(
    stage: tuple[int, psycopg.Connection[Any]],
) -> None:
    _, connection = stage

    read_through = {
        (name, node["Relation Name"])
        for name, parameters in hot(connection).items()
        for node in nodes(explain(connection, name, parameters))
        if node["Node Type"] == "Seq Scan" and BIG_TABLES.match(node["Relation Name"])
    }

    assert read_through == set()


COSTS: dict[tuple[str, int], int] = {}


@pytest.mark.parametrize("name", ["claim_local", "claim_model"])
def test_claim_of_fifty_when_the_queue_is_long_then_it_reads_at_most_twice_the_buffers(
    stage: tuple[int, psycopg.Connection[Any]], name: str
) -> None:
    size, connection = stage
    plans = [explain(connection, name, hot(connection)[name]) for _ in range(2)]
    COSTS[name, size] = min(map(buffers, plans))

    assert plans[0]["Actual Rows"] == min(50, size)
    assert COSTS[name, size] <= 2 * COSTS.get((name, 1_000), COSTS[name, size])


def test_claim_of_five_when_the_queue_is_long_then_it_reads_a_bounded_part_of_it(
    stage: tuple[int, psycopg.Connection[Any]],
) -> None:
    _, connection = stage

    plan = explain(connection, "claim_local", local_claim(5))

    read = [
        node["Actual Rows"] * node["Actual Loops"]
        for node in nodes(plan)
        if node.get("Relation Name") == "heddle_ready"
    ]
    assert max(read) <= 20


@pytest.mark.parametrize("before", [0, 100, 1_000])
def test_plans_made_in_a_quiet_house_when_it_has_filled_then_none_reads_a_big_table_through(
    postgres_cluster: str, postgres_template: str, before: int
) -> None:
    """A worker plans once, and may have begun on a quiet night: a join that costs nothing then is a scan of the whole
    queue in the burst of the morning.
    """
    size = 20_000
    with (
        pg.database(cluster_dsn=postgres_cluster, template=postgres_template, label=f"plans_kept_{before}") as made,
        made.connect() as connection,
    ):
        house = deployed(made, connection)
        fill(house, before)
        connection.execute("vacuum (analyze)")
        for name, parameters in kept(connection).items():
            prepare(connection, name)
            run(connection, name, parameters)
        fill(house, size)

        read: collections.Counter[tuple[str, str]] = collections.Counter()
        for name, parameters in kept(connection).items():
            for node in nodes(run(connection, name, parameters)):
                if BIG_TABLES.match(node.get("Relation Name", "")):
                    read[name, node["Relation Name"]] += rows_read(node)

    assert read["claim_local", "heddle_ready"] > 0
    # Leases and attempts are a tenth of the steps; a run has a thousand calls, which a journal reads.
    assert {
        which: count for which, count in read.items() if count > size // (20 if TENTHS.match(which[1]) else 10)
    } == {}


def kept(connection: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    """Give the hot statements, a claim that has served the queues before among them."""
    lanes_known = {"known_lanes": [LANE_STEP], "known_tenants": [TENANT], "known_seqs": [1]}
    gaps = {"gap_lanes": [LANE_POLL], "gap_afters": [0], "gap_befores": [2**31 - 1]}
    found = hot(connection)
    (run_id,) = found["lock_runs"]["run_ids"]
    return found | {
        "claim_local": {**local_claim(), **lanes_known, **gaps},
        "model_ready": {"lanes": [LANE_MODEL, LANE_STEP]},
        "lease_waiting": {"worker": 1, "runs": [run_id] * 50, "ordinals": list(range(1, 51))},
        "lock_budgets": {"runs": [run_id]},
        "ended_calls": {"run_ids": [run_id]},
    }


def rows_read(node: dict[str, Any]) -> int:
    dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return round((node["Actual Rows"] + dropped) * node["Actual Loops"])
