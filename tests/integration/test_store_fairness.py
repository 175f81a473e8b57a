"""Shares of a backlogged lane follow the tenants' weights, shares of classes follow theirs, and nobody waits for
ever."""

import collections
import uuid

import pytest

from heddle.config import deployment
from heddle.core import run
from heddle.ports import store
from tests.races import fixtures, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house
house = fixtures.house

LANE = scene.step_lane("a")


def tenants(house: scene.House, **weights: int) -> dict[int, str]:
    house.deploy([], [], tenants=[deployment.Tenant(name=name, weight=weight) for name, weight in weights.items()])
    return dict(house.rows("select id, name from heddle_tenant where name = any(%s)", list(weights)))


async def shares(house: scene.House, names: dict[int, str], *, claims: int, cap: int) -> collections.Counter[str]:
    """Claim so many steps, each of which ends at once, and count whose they were."""
    counted: collections.Counter[str] = collections.Counter()
    worker = await house.worker()
    for _ in range(0, claims, cap):
        counted.update(names[item.tenant_id] for item in await house.claim(worker, LANE, cap=cap))
        house.connection.execute("delete from heddle_lease")
    return counted


@pytest.mark.parametrize(("cap", "claims"), [(1, 140), (10, 700)])
async def test_claims_when_all_are_backlogged_then_shares_follow_weights(
    house: scene.House, cap: int, claims: int
) -> None:
    names = tenants(house, small=1, middle=2, large=4)
    for tenant_id in names:
        house.fill(lane=LANE, name="a", count=720, tenant_id=tenant_id)

    counted = await shares(house, names, claims=claims, cap=cap)

    assert sum(counted.values()) == claims
    assert counted["small"] == pytest.approx(claims * 1 / 7, rel=0.1)
    assert counted["middle"] == pytest.approx(claims * 2 / 7, rel=0.1)
    assert counted["large"] == pytest.approx(claims * 4 / 7, rel=0.1)


@pytest.mark.parametrize("cap", [1, 5])
async def test_claims_when_a_tenant_was_idle_then_it_starts_at_the_lowest_clock_and_catches_nothing_up(
    house: scene.House, cap: int
) -> None:
    names = tenants(house, busy=1, sleeper=1)
    busy, sleeper = sorted(names, key=lambda each: names[each])
    house.fill(lane=LANE, name="a", count=300, tenant_id=busy)
    house.fill(lane=LANE, name="a", count=10, tenant_id=sleeper)
    await shares(house, names, claims=100, cap=cap)

    house.fill(lane=LANE, name="a", count=150, tenant_id=sleeper)
    counted = await shares(house, names, claims=60, cap=cap)

    assert counted["sleeper"] == pytest.approx(30, abs=cap)


async def test_claims_when_one_tenant_is_huge_then_the_small_ones_are_served_among_the_first(
    house: scene.House,
) -> None:
    names = tenants(house, huge=1, **{f"small-{number}": 1 for number in range(30)})
    (huge,) = [tenant_id for tenant_id, name in names.items() if name == "huge"]
    house.fill(lane=LANE, name="a", count=1_000, tenant_id=huge)
    for tenant_id in set(names) - {huge}:
        house.fill(lane=LANE, name="a", count=1, tenant_id=tenant_id)

    counted = await shares(house, names, claims=70, cap=5)

    assert set(counted) == set(names.values())


async def test_claims_when_classes_compete_then_shares_follow_theirs(house: scene.House) -> None:
    wishes = [
        store.LaneWish(
            lane=scene.lanes.number("step", "a", 1, priority.value), group=1, purpose="execute", share=float(share)
        )
        for priority, share in run.CLASS_SHARE.items()
    ]
    for wish in wishes:
        house.fill(lane=wish.lane, name="a", count=400)
    worker, counted = await house.worker(), collections.Counter[int]()
    lanes: dict[tuple[uuid.UUID, int], int] = {
        (run_id, ordinal): lane
        for run_id, ordinal, lane in house.rows("select run_id, ordinal, lane from heddle_ready")
    }

    for _ in range(20):
        found = await house.store.claim_local(worker=worker, claim_id=uuid.uuid4(), lanes=wishes, caps=[21])
        counted.update(lanes[item.run_id, item.ordinal] for item in found)
        house.connection.execute("delete from heddle_lease")

    assert [counted[wish.lane] for wish in wishes] == [
        pytest.approx(20 * share, rel=0.15) for share in run.CLASS_SHARE.values()
    ]
