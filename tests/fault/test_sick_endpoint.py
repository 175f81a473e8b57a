"""B13 and B15: a sick endpoint sees few calls and no storm of retries, a fallback serves, traffic comes back slowly.

Scaled: seconds instead of minutes; where the law waits thirty seconds (a breaker's first opening, a slow start), the
test says so to the database. What is printed is what the provider saw.
"""

import asyncio
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from heddle.config import deployment
from tests import pg
from tests.fault import limited
from tests.races import scene

pytestmark = [pytest.mark.slow]

PRICE_NANO_USD, FALLBACK_PRICE_NANO_USD = 10_000_000, 25_000_000


@pytest.fixture
def house(database: pg.Database) -> Iterator[scene.House]:
    """Give the database of this file, empty."""
    with database.connect() as connection:
        made = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        made.wipe()
        yield made


class Patient:
    """Be well, fail everything at once, or take calls and never answer."""

    def __init__(self, *, state: str = "well", latency_s: float = 0.03) -> None:
        self.state = state
        self._latency_s = latency_s

    async def __call__(self, provider: limited.Provider, body: dict[str, Any]) -> web.Response:
        if self.state == "hung":
            await asyncio.sleep(600.0)
        await asyncio.sleep(self._latency_s)
        status = 200 if self.state == "well" else 429 if self.state == "busy" else 503
        return web.json_response({"ok": status == 200}, status=status)


def report(bar: str, **figures: Any) -> None:
    shown = {name: round(value, 3) if isinstance(value, float) else value for name, value in figures.items()}
    print(json.dumps({"bar": bar, **shown}))


def in_line(house: scene.House) -> int:
    return int(house.value("select count(*) from heddle_ready"))


def scope(house: scene.House, name: str, column: str) -> Any:
    return house.value(f"select {column} from heddle_limit_state where name = %s", name)


async def offer(house: scene.House, *, per_s: float, for_s: float) -> int:
    """Put calls in line at a steady rate."""
    offered = 0
    for _ in range(int(for_s * 10)):
        limited.queue(house, max(1, int(per_s / 10)))
        offered += max(1, int(per_s / 10))
        await asyncio.sleep(0.1)
    return offered


async def test_retries_when_everything_is_refused_then_they_are_a_fifth_of_first_tries(
    house: scene.House, tmp_path: pathlib.Path
) -> None:
    """Refuse with 429, which opens no breaker, so that only the budget stands between them and a storm."""
    patient = Patient(state="busy", latency_s=0.005)
    provider = limited.Provider(patient)
    async with limited.serving(provider) as url:
        limited.deploy(house, [limited.endpoint("one", url)], scopes=[deployment.Scope(name="one")])
        async with limited.fleet(house.database, tmp_path, workers=2) as lag:
            await offer(house, per_s=40, for_s=12)
            # Now: the share is of the first tries of ten seconds, and when no more come, retries go on for as long.
            first_tries, retries = house.rows("select first_tries, retries from heddle_limit_state")[0]
            await limited.until(lambda: in_line(house) == 0, what="nothing is in line")
            parked = house.value("select count(*) from heddle_step where note like 'waits with its next try%%'")
            sent = house.value("select first_tries + retries from heddle_limit_state")

    allowed = max(0.2 * first_tries, 10.0 * 2)
    report("B13", first_tries=first_tries, retries=retries, parked=parked, ratio=1 + retries / first_tries)
    assert retries <= allowed + 10 * lag.most_s
    assert parked > 0
    assert len(provider.seen) <= sent


async def test_breaker_when_everything_fails_then_only_probes_go_and_traffic_comes_back_after_it_heals(
    house: scene.House, tmp_path: pathlib.Path
) -> None:
    patient = Patient()
    provider = limited.Provider(patient)
    async with limited.serving(provider) as url:
        limited.deploy(house, [limited.endpoint("one", url)], scopes=[deployment.Scope(name="one", concurrency=20)])
        async with limited.fleet(house.database, tmp_path, workers=2):
            await offer(house, per_s=40, for_s=2)
            patient.state = "sick"
            sick_s = provider.now_s
            await offer(house, per_s=40, for_s=2)
            opened_s = await limited.until(lambda: scope(house, "one", "breaker") == "open", what="the breaker opens")
            await asyncio.sleep(0.3)
            before_probe = len(provider.seen)
            await offer(house, per_s=40, for_s=1)
            blocked = len(provider.seen) - before_probe
            await limited.act(house, "update heddle_limit_state set open_until = now() - interval '1 ms'")
            await limited.until(lambda: scope(house, "one", "open_for_s") == 60, what="the probe fails")
            probes = len(provider.seen) - before_probe
            patient.state = "well"
            await limited.act(house, "update heddle_limit_state set open_until = now() - interval '1 ms'")
            healed_s = await limited.until(lambda: scope(house, "one", "breaker") == "closed", what="it closes")
            slots = [house.value("select count(*) from heddle_slot") for _ in range(5)]
            await limited.act(house, "update heddle_limit_state set closed_at = now() - interval '31 seconds'")
            await limited.until(lambda: in_line(house) == 0, what="the backlog is gone")

    failed = [each for each in provider.seen if each.status == 503]
    report(
        "B13",
        failed=len(failed),
        opened_s=opened_s,
        blocked=blocked,
        probes=probes,
        healed_s=healed_s,
    )
    assert min(each.at_s for each in failed) >= sick_s - 0.1
    assert (blocked, probes) == (0, 1)
    assert max(slots) <= 4


async def test_fallback_when_the_primary_hangs_then_few_calls_are_wasted_and_the_run_says_what_answered(
    house: scene.House, tmp_path: pathlib.Path
) -> None:
    primary, fallback = Patient(state="hung"), Patient()
    first, second = limited.Provider(primary), limited.Provider(fallback)
    async with limited.serving(first) as url, limited.serving(second) as other_url:
        limited.deploy(
            house,
            [
                limited.endpoint("one", url, timeout_s=2.0, price_nano_usd=PRICE_NANO_USD, paid=True),
                limited.endpoint("two", other_url, price_nano_usd=FALLBACK_PRICE_NANO_USD, paid=True),
            ],
            scopes=[deployment.Scope(name="one", concurrency=5), deployment.Scope(name="two")],
            models=[deployment.Model(name="m", fallback_after_s=30.0)],
        )
        limited.queue(house, 100)
        async with limited.fleet(house.database, tmp_path, workers=2) as lag:
            opened_s = await limited.until(lambda: scope(house, "one", "breaker") == "open", what="the breaker opens")
            served_s = await limited.until(lambda: len(second.seen) >= 90, what="the fallback serves")
            wasted = len(first.seen) + first.open
            primary.state = "well"
            await limited.act(
                house, "delete from heddle_slot k using heddle_endpoint e where e.id = k.endpoint_id and e.name = 'one'"
            )
            await limited.act(
                house,
                "update heddle_limit_state set open_until = now() - interval '1 ms', in_flight = 0 where name = 'one'",
            )
            limited.queue(house, 40)
            back_s = await limited.until(lambda: scope(house, "one", "breaker") == "closed", what="traffic returns")
            epoch = scope(house, "one", "breaker_epoch")

    (degraded, more), *_ = house.rows(
        "select is_degraded, (select sum(cost_nano_usd - primary_price_nano_usd) from heddle_attempt a "
        "where a.run_id = r.id and tier = 1) from heddle_run r order by id limit 1"
    )
    report(
        "B15",
        opened_s=opened_s,
        wasted=wasted,
        served_s=served_s,
        back_s=back_s,
        changes=epoch,
    )
    assert opened_s <= 10.0 + lag.most_s
    assert wasted <= 5
    assert (degraded, more >= 90 * (FALLBACK_PRICE_NANO_USD - PRICE_NANO_USD)) == (True, True)
    assert epoch == 3  # opened, probed, closed: no flapping
