"""Fairness between tenants as promised (B17): shares by weight beside a flood, a quiet tenant served at once, a claim
that costs the same behind a million steps, and a turn elsewhere for who is stuck behind one breaker.
"""

import collections
import uuid

import psycopg
import pytest

from heddle.config import deployment
from tests import pg
from tests.plans import test_hot_statements as plans
from tests.races import fixtures, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house
house = fixtures.house
LANE = scene.step_lane("a")
FLOOD = 50_000
CAP = 50


def tenants(house: scene.House, **weights: int) -> dict[str, int]:
    house.deploy([], [], tenants=[deployment.Tenant(name=name, weight=weight) for name, weight in weights.items()])
    return dict(house.rows("select name, id from heddle_tenant where name = any(%s)", list(weights)))


async def claimed(house: scene.House, worker: int) -> collections.Counter[int]:
    """Claim a batch, each step of which ends at once, and count whose they were."""
    found = await house.claim(worker, LANE, cap=CAP)
    house.connection.execute("delete from heddle_lease")
    return collections.Counter(item.tenant_id for item in found)


async def test_shares_beside_a_flood_are_within_five_percent_and_a_quiet_tenant_is_served_at_once(
    house: scene.House,
) -> None:
    named = tenants(house, one=1, two=2, four=4, noisy=1, quiet=1)
    house.fill(lane=LANE, name="a", count=FLOOD, tenant_id=named["noisy"])
    for name in ("one", "two", "four"):
        house.fill(lane=LANE, name="a", count=1_200, tenant_id=named[name])
    worker, counted, waits = await house.worker(), collections.Counter[int](), []

    for turn in range(48):
        if turn % 8 == 4:
            house.fill(lane=LANE, name="a", count=1, tenant_id=named["quiet"])
            waits.append(0)
        took = await claimed(house, worker)
        counted.update(took)
        waits = [wait + 1 for wait in waits] if not took[named["quiet"]] else []

    total = sum(counted[named[name]] for name in ("one", "two", "four", "noisy"))
    shares = {name: counted[named[name]] / total for name in ("one", "two", "four", "noisy")}
    print(f"shares {shares}; the quiet tenant was served by the claim after it came, six times of six")
    assert counted[named["quiet"]] == 6
    assert waits == []
    for name, weight in {"one": 1, "two": 2, "four": 4, "noisy": 1}.items():
        assert shares[name] == pytest.approx(weight / 8, rel=0.05)


async def test_tenant_when_stuck_behind_one_breaker_then_it_keeps_its_turn_elsewhere(house: scene.House) -> None:
    named = tenants(house, stuck=1, other=1)
    house.deploy(
        [scene.endpoint("sick"), scene.endpoint("well")],
        [deployment.Route(model="m", endpoint="sick"), deployment.Route(model="n", endpoint="well")],
    )
    house.connection.execute(
        "update heddle_limit_state set breaker = 'open', open_until = now() + interval '1 hour' where name = 'sick'"
    )
    house.fill(lane=scene.model_lane("m"), name="m", kind="model", count=5_000, tenant_id=named["stuck"])
    for tenant_id in named.values():
        house.fill(lane=scene.model_lane("n"), name="n", kind="model", count=100, tenant_id=tenant_id)
    worker = await house.worker()

    took = collections.Counter(item.tenant_id for item in await house.claim_models(worker, "m", "n", want=40))

    assert took == {named["stuck"]: 20, named["other"]: 20}


def million(connection: psycopg.Connection[tuple[object, ...]], *, count: int, run_id: uuid.UUID) -> None:
    """Put so many rows of one tenant's in line, of which the first thousand have a step behind them."""
    connection.execute(
        "insert into heddle_ready (lane, tenant_id, run_id, ordinal) select %s, 1, %s, n from generate_series(1, %s) n",
        (LANE, run_id, count),
    )
    connection.execute("analyze heddle_ready")


@pytest.mark.slow
async def test_claim_behind_a_million_steps_reads_at_most_twice_the_buffers_of_one_behind_a_thousand(
    postgres_cluster: str, postgres_template: str
) -> None:
    costs: dict[int, int] = {}
    with pg.database(cluster_dsn=postgres_cluster, template=postgres_template, label="million") as made:
        store = scene.engine_store(made)
        with made.connect() as connection:
            house = scene.House(database=made, connection=connection, store=store)
            house.fill(lane=LANE, name="a", count=1_000)
            (run_id,) = connection.execute("select run_id from heddle_step limit 1").fetchone() or (uuid.UUID(int=0),)
            for count in (1_000, 1_000_000):
                if count > 1_000:
                    million(connection, count=count - 1_000, run_id=run_id)
                found = [plans.explain(connection, "claim_local", plans.local_claim()) for _ in range(3)]
                costs[count] = min(plans.buffers(plan) for plan in found)

    print(f"buffers of a claim of 50: {costs}")
    assert costs[1_000_000] <= 2 * costs[1_000]
