"""Admit calls with the offer of a worker, and see which of them it was given."""

import dataclasses
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from heddle.config import deployment
from heddle.engine import calls as calls_stage
from heddle.ports import calls as calls_port
from heddle.ports import store
from tests import pg
from tests.contract import store_waited_suite
from tests.races import scene

MODEL = "sent"
BURST = 10
TOLD = '[{"dimension": 1, "limit_per_min": %d, "remaining": %d, "until_s": 60, "empty_s": null}]'


@pytest.fixture
def house(database: pg.Database) -> Iterator[scene.House]:
    with database.connect() as connection:
        made = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        made.wipe()
        yield made
        connection.execute("delete from heddle_lineage")
        connection.execute("delete from heddle_workflow")
        connection.execute(
            "update heddle_tenant set paused_at = null, rule = 0, budget_nano_usd_per_day = null, "
            "budget_nano_usd_per_month = null"
        )


def deploy(house: scene.House, **more: Any) -> None:
    scope = deployment.Scope(
        **{"name": "one", "concurrency": 100, "requests_per_min": 1, "requests_burst": BURST, **more.pop("scope", {})}
    )
    house.deploy(
        [scene.endpoint("one")],
        [deployment.Route(model=MODEL, endpoint="one")],
        scopes=[scope],
        **more,
    )


def ids(house: scene.House) -> list[int]:
    return [row[0] for row in house.connection.execute("select id from heddle_endpoint order by id").fetchall()]


def offer(house: scene.House, worker: int, *, is_paid: bool = True, **more: Any) -> calls_port.Offer:
    made = calls_port.Offer(
        worker=worker,
        claim_id=uuid.uuid4(),
        endpoints=dict.fromkeys(ids(house), is_paid),
        lines={MODEL: [scene.model_lane(MODEL)]},
        places=100,
    )
    return dataclasses.replace(made, **more)


async def admit(
    house: scene.House, *, count: int = 1, offered: calls_port.Offer | None = None, **more: Any
) -> tuple[list[calls_port.NewCall], calls_port.Admitted]:
    asked = [store_waited_suite.asked(house, **more) for _ in range(count)]
    offered = offered or offer(house, await house.worker())
    return asked, await house.store.submit_calls(calls=asked, offer=offered)


async def take(house: scene.House, **more: Any) -> store.Claimed:
    """Admit one call, see it taken, and give its claim as the engine has it."""
    (asked,), admitted = await admit(house, **more)
    (lease,) = admitted.taken
    return calls_stage._claimed(lease, asked.run)


def one(house: scene.House, query: str) -> Any:
    (row,) = house.connection.execute(query).fetchall()  # type: ignore[arg-type]
    return row
