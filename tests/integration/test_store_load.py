"""How long work waits is measured: what is in line, for whom, since when, and how fast it goes."""

import pytest

from heddle.core import run
from heddle.ports import load
from heddle.store import django as django_store
from tests.races import fixtures, scene

open_house = fixtures.open_house
house = fixtures.house
pytestmark = pytest.mark.asyncio(loop_scope="module")
LANE = scene.step_lane("mask")


async def test_measure_when_two_tenants_wait_then_the_doors_read_each_line(house: scene.House) -> None:
    noisy = await scene.in_thread(lambda: django_store.DjangoDoors().tenant(name="noisy"))
    house.fill(lane=LANE, name="mask", count=500, tenant_id=noisy.id)
    house.fill(lane=LANE, name="mask", count=3)
    house.connection.execute("update heddle_step set version = 1")
    house.connection.execute("update heddle_ready set at = at - interval '7 seconds' where tenant_id = 1")

    measured = await house.store.measure_load()
    lanes = await scene.in_thread(django_store.DjangoDoors().lanes)

    assert measured == load.Measured(lanes=1, queued=503)
    (lane,) = lanes
    assert (lane.kind, lane.name, lane.version, lane.priority) == ("step", "mask", 1, run.Priority.STANDARD)
    assert (lane.queued, lane.workflows) == (503, {scene.WORKFLOW})
    assert (lane.tenants[1].queued, lane.tenants[noisy.id].queued) == (3, 500)
    assert 7.0 <= lane.tenants[1].oldest_age_s < 30.0


async def test_measure_when_workers_post_then_the_lane_has_a_drain_and_its_steps_a_duration(house: scene.House) -> None:
    house.fill(lane=LANE, name="mask", count=30)
    await house.store.measure_load()
    house.connection.execute("update heddle_load set at = at - interval '100 seconds'")
    work = load.LaneWork(
        kind="step", name="mask", version=1, priority="standard", taken=1_000, ended=10, held_s=20.0, held_s2=41.0
    )

    await house.store.post_load(work={LANE: work})
    await house.store.measure_load()

    (drained_per_s, mean_s, square_s2, count) = house.rows(
        "select drained_per_s, held_mean_s, held_square_s2, held_count from heddle_load"
    )[0]
    assert drained_per_s == pytest.approx(10.0, rel=0.05)
    assert (mean_s, square_s2, count) == (2.0, 4.1, 10)
    assert house.value("select count(*) from heddle_load_delta") == 0


async def test_measure_when_the_line_is_gone_then_the_lane_is_empty(house: scene.House) -> None:
    house.fill(lane=LANE, name="mask", count=30)
    await house.store.measure_load()
    house.connection.execute("delete from heddle_ready")

    await house.store.measure_load()

    assert house.rows("select queued, tenants from heddle_load") == [(0, {})]
    assert await scene.in_thread(django_store.DjangoDoors().lanes) == []


async def test_measure_when_every_endpoint_is_closed_then_nobody_counts_as_waiting(house: scene.House) -> None:
    house.deploy([scene.endpoint("one")], [scene.deployment.Route(model="m", endpoint="one")])
    house.fill(lane=scene.model_lane("m"), name="m", kind="model", count=5)
    house.connection.execute("update heddle_ready set at = at - interval '70 seconds'")
    house.connection.execute("update heddle_limit_state set breaker = 'open', open_until = now() + interval '1 hour'")

    await house.store.measure_load()

    (lane,) = await scene.in_thread(django_store.DjangoDoors().lanes)
    assert (lane.queued, lane.tenants[1].oldest_age_s < 5.0) == (5, True)


@pytest.mark.parametrize("kind", ["endpoint", "model"])
async def test_measure_when_an_operator_has_paused_it_then_nobody_counts_as_waiting(
    house: scene.House, kind: str
) -> None:
    name = f"resting-{kind}"
    house.deploy([scene.endpoint(name)], [scene.deployment.Route(model=name, endpoint=name)])
    house.fill(lane=scene.model_lane(name), name=name, kind="model", count=5)
    house.connection.execute("update heddle_ready set at = at - interval '70 seconds'")
    house.pause(kind, name)

    await house.store.measure_load()

    (lane,) = await scene.in_thread(django_store.DjangoDoors().lanes)
    assert (lane.queued, lane.tenants[1].oldest_age_s < 5.0) == (5, True)


@pytest.mark.parametrize("hours", [1.5, 48.0, 24_000.0])
async def test_measure_when_nobody_looked_for_hours_and_work_was_in_line_then_it_is_measured(
    house: scene.House, hours: float
) -> None:
    house.fill(lane=LANE, name="mask", count=30)
    await house.store.measure_load()
    house.connection.execute("update heddle_load set at = at - make_interval(secs => %s)", [hours * 3_600])

    measured = await house.store.measure_load()

    assert measured == load.Measured(lanes=1, queued=30)
    assert house.value("select drained_per_s from heddle_load") == pytest.approx(0.0)


async def test_measure_when_a_lane_has_stood_still_for_an_hour_then_it_is_measured(house: scene.House) -> None:
    house.fill(lane=LANE, name="mask", count=30)
    await house.store.measure_load()
    # What a lane that moved once has faded to after an hour of standing still: the least number there is.
    house.connection.execute("update heddle_load set drained_per_s = 5e-324, busy_s = 4000")

    measured = await house.store.measure_load()

    assert measured == load.Measured(lanes=1, queued=30)
    assert house.value("select drained_per_s from heddle_load") == pytest.approx(0.0)


async def test_gauges_when_one_lane_has_a_great_backlog_then_the_oldest_of_another_is_not_overlooked(
    house: scene.House,
) -> None:
    house.connection.execute(
        "insert into heddle_ready (lane, tenant_id, run_id, ordinal) select 7, 1, gen_random_uuid(), 1"
        " from generate_series(1, 100001)"
    )
    house.connection.execute(
        "insert into heddle_ready (lane, tenant_id, run_id, ordinal, at)"
        " values (9, 1, gen_random_uuid(), 1, now() - interval '1 hour'), (9, 2, gen_random_uuid(), 1, now())"
    )

    found = (await house.store.gauges(lease_s=15.0)).ready

    house.connection.execute("delete from heddle_ready")
    assert found[7][0] == 100_000
    assert found[9][0] >= 1
    assert 3_600 <= found[9][1] < 3_700
