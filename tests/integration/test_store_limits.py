"""Limits are exact: how many model calls a claim takes, at which endpoint, and how the breaker opens, probes and
closes."""

import asyncio
import collections
import random
import threading

import pytest

from heddle.config import deployment
from heddle.core.policy import ratelimit
from heddle.ports import store
from tests.races import fixtures, invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house
house = fixtures.house

LANE = scene.model_lane("m")
RECOUNTS = 30
# Scopes that a recount comes to first, so that claims have the time to commit before it comes to theirs.
OTHER_SCOPES = "insert into heddle_limit_state (id, name) select -n, 'other ' || n from generate_series(1, 2000) n"
LOCK_SCOPE = "select 1 from heddle_limit_state where name = 'one' for no key update"
COUNT_SLOTS = "update heddle_limit_state set in_flight = in_flight + %(by)s where name = 'one'"
TAKE_SLOT = """
insert into heddle_slot (run_id, ordinal, endpoint_id, taken_at)
select gen_random_uuid(), 1, id, now() from heddle_endpoint where name = 'one'
"""


def deploy(
    house: scene.House, *scopes: deployment.Scope, tiers: tuple[int, ...] = (0, 0), shared: bool = False
) -> None:
    """Give the model ``m`` two endpoints, ``one`` and ``two``, with scopes of their names and perhaps a common one."""
    common = ("shared",) if shared else ()
    house.deploy(
        [scene.endpoint("one", "one", *common), scene.endpoint("two", "two", *common)],
        [
            deployment.Route(model="m", endpoint=name, tier=tier)
            for name, tier in zip(("one", "two"), tiers, strict=True)
        ],
        scopes=scopes,
        models=[deployment.Model(name="m", fallback_after_s=30.0)],
    )


def queue(house: scene.House, count: int) -> None:
    house.fill(lane=LANE, name="m", count=count, kind="model")


def by_endpoint(house: scene.House, claimed: list[store.Claimed]) -> dict[str, int]:
    names = dict(house.rows("select id, name from heddle_endpoint"))
    return dict(collections.Counter(names[item.endpoint_id] for item in claimed))


def scope(house: scene.House, name: str, columns: str) -> tuple[object, ...]:
    found: tuple[object, ...] = house.rows(f"select {columns} from heddle_limit_state where name = %s", name)[0]
    return found


async def test_claim_when_the_primary_has_room_then_the_fallback_gets_nothing(house: scene.House) -> None:
    deploy(house, deployment.Scope(name="one", concurrency=100), tiers=(0, 1))
    queue(house, 60)

    claimed = await house.claim_models(await house.worker(), "m", want=60)

    assert by_endpoint(house, claimed) == {"one": 60}


async def test_claim_when_two_endpoints_have_room_for_five_then_ten_are_taken(house: scene.House) -> None:
    deploy(house, deployment.Scope(name="one", concurrency=5), deployment.Scope(name="two", concurrency=5))
    queue(house, 30)

    claimed = await house.claim_models(await house.worker(), "m")

    assert by_endpoint(house, claimed) == {"one": 5, "two": 5}
    assert await house.claim_models(await house.worker(), "m") == []


async def test_claim_when_fewer_are_wanted_than_fit_then_so_many_are_taken(house: scene.House) -> None:
    deploy(house)
    queue(house, 30)

    assert len(await house.claim_models(await house.worker(), "m", want=7)) == 7


async def test_claim_when_four_claimers_share_a_scope_then_it_is_never_exceeded_and_always_filled(
    house: scene.House,
) -> None:
    deploy(house, deployment.Scope(name="shared", concurrency=7), shared=True)
    queue(house, 200)
    workers = [await house.worker() for _ in range(4)]
    in_flight: list[store.Claimed] = []
    most, rng = 0, random.Random(7)

    for _ in range(20):
        for found in await asyncio.gather(*(house.claim_models(worker, "m", want=5) for worker in workers)):
            in_flight += found
        most = max(most, len(in_flight))
        rng.shuffle(in_flight)
        ended, in_flight = in_flight[:4], in_flight[4:]
        await house.settle(*(scene.done(item) for item in ended))

    assert most == 7
    assert not invariants.broken(house.connection)
    assert await house.store.recount() == []


async def test_claim_when_the_minute_is_spent_then_it_grants_what_the_policy_grants(house: scene.House) -> None:
    rng = random.Random(11)
    queue(house, 400)
    worker = await house.worker()
    seen: list[tuple[int, int, int, int]] = []
    wanted: list[tuple[int, int, int, int]] = []
    drifts: list[float] = []

    for _ in range(12):
        rpm, burst, used = rng.randint(2, 60), rng.randint(1, 12), rng.randint(0, 14)
        deploy(house, deployment.Scope(name="one", requests_per_min=rpm, requests_burst=burst))
        house.connection.execute("update heddle_endpoint set is_enabled = (name = 'one')")
        # Half a unit past a whole number of them, so that the time between the statements cannot change the count.
        ((now_us, tat_us),) = house.rows(
            "update heddle_limit_state set tat = clock_timestamp() + make_interval(secs => %s) where name = 'one' "
            "returning (extract(epoch from clock_timestamp()) * 1e6)::bigint, (extract(epoch from tat) * 1e6)::bigint",
            (used - 0.5) * 60.0 / rpm,
        )
        limit, bucket = (
            ratelimit.RateLimit(limit_per_min=rpm, burst=min(burst, rpm + 1)),
            ratelimit.Bucket(full_at_us=tat_us),
        )
        house.connection.execute(
            "update heddle_limit_state set requests_burst = %s where name = 'one'", (limit.burst_units,)
        )
        granted = ratelimit.available(limit, bucket, now_us=now_us)

        claimed = await house.claim_models(worker, "m", want=50)

        seen.append((rpm, burst, used, len(claimed)))
        wanted.append((rpm, burst, used, granted))
        after = house.value("select (extract(epoch from tat) * 1e6)::bigint from heddle_limit_state where name = 'one'")
        drifts.append(abs(after - tat_us - len(claimed) * 60e6 / rpm) if used > 0 and claimed else 0.0)

    assert seen == wanted
    assert max(drifts) <= 50


async def test_breaker_when_five_fail_in_a_row_then_it_opens_probes_once_and_closes(house: scene.House) -> None:
    deploy(house)
    house.connection.execute("update heddle_endpoint set is_enabled = (name = 'one')")
    queue(house, 40)
    workers = [await house.worker() for _ in range(4)]
    failing = await house.claim_models(workers[0], "m", want=5)
    await house.settle(*(scene.faulted(item, breaker=-1) for item in failing))

    while_open = [await house.claim_models(workers[0], "m") for _ in range(2)]
    opened = scope(house, "one", "breaker, breaker_epoch, open_for_s")
    house.connection.execute(
        "update heddle_limit_state set open_until = now() - interval '1 second' where name = 'one'"
    )
    probes = [
        item for found in await asyncio.gather(*(house.claim_models(each, "m") for each in workers)) for item in found
    ]
    during = await house.claim_models(workers[0], "m")
    await house.settle(*(scene.done(item) for item in probes))
    slow_start = await house.claim_models(workers[0], "m", want=10)
    await house.settle(*(scene.done(item) for item in slow_start))
    house.connection.execute("update heddle_limit_state set closed_at = now() - interval '31 seconds'")
    after = await house.claim_models(workers[0], "m", want=10)

    assert while_open == [[], []]
    assert opened == ("open", 1, 30.0)
    assert (len(probes), during) == (1, [])
    assert (len(slow_start), len(after)) == (1, 10)
    assert scope(house, "one", "breaker") == ("closed",)


@pytest.mark.parametrize(("breaker", "position"), [(1, "closed"), (-1, "open")])
async def test_breaker_when_the_sweep_folds_the_probe_then_its_outcome_counts(
    house: scene.House, breaker: int, position: str
) -> None:
    deploy(house)
    house.connection.execute("update heddle_endpoint set is_enabled = (name = 'one')")
    queue(house, 40)
    worker = await house.worker()
    failing = await house.claim_models(worker, "m", want=5)
    await house.settle(*(scene.faulted(item, breaker=-1) for item in failing))
    await house.claim_models(worker, "m")
    house.connection.execute(
        "update heddle_limit_state set open_until = now() - interval '1 second' where name = 'one'"
    )
    (probe,) = await house.claim_models(worker, "m")

    await house.settle(scene.faulted(probe, breaker=breaker))
    house.connection.execute("update heddle_limit_delta set at = now() - interval '2 seconds'")
    await house.store.fold_idle()

    assert scope(house, "one", "breaker, breaker_epoch") == (position, 3)
    assert scope(house, "one", "in_flight") == (0,)


async def test_breaker_when_the_probe_fails_then_it_stays_open_twice_as_long(house: scene.House) -> None:
    deploy(house)
    house.connection.execute("update heddle_endpoint set is_enabled = (name = 'one')")
    queue(house, 40)
    worker = await house.worker()
    failing = await house.claim_models(worker, "m", want=5)
    await house.settle(*(scene.faulted(item, breaker=-1) for item in failing))
    await house.claim_models(worker, "m")
    house.connection.execute(
        "update heddle_limit_state set open_until = now() - interval '1 second' where name = 'one'"
    )
    (probe,) = await house.claim_models(worker, "m")

    await house.settle(scene.faulted(probe, breaker=-1))

    assert await house.claim_models(worker, "m") == []
    assert scope(house, "one", "breaker, open_for_s") == ("open", 60.0)


async def test_breaker_when_a_failure_is_between_successes_then_it_stays_closed(house: scene.House) -> None:
    deploy(house)
    house.connection.execute("update heddle_endpoint set is_enabled = (name = 'one')")
    queue(house, 40)
    worker = await house.worker()

    for breaker in (-1, -1, -1, -1, 1, -1, -1, -1, -1):
        (item,) = await house.claim_models(worker, "m", want=1)
        await house.settle(scene.faulted(item, breaker=breaker))

    # Four failed in a row: still closed, and careful.
    assert len(await house.claim_models(worker, "m", want=3)) == 1


async def test_fallback_when_the_primary_is_full_then_it_is_used_after_its_time_only(house: scene.House) -> None:
    deploy(house, deployment.Scope(name="one", concurrency=2), tiers=(0, 1))
    queue(house, 10)
    worker = await house.worker()

    first = await house.claim_models(worker, "m")
    early = await house.claim_models(worker, "m")
    house.connection.execute(
        "update heddle_limit_state set full_since = now() - interval '31 seconds' where name = 'one'"
    )
    late = await house.claim_models(worker, "m", want=3)

    assert (by_endpoint(house, first), early, by_endpoint(house, late)) == ({"one": 2}, [], {"two": 3})


async def test_fallback_when_the_primary_is_paused_then_it_is_used_at_once(house: scene.House) -> None:
    deploy(house, tiers=(0, 1))
    queue(house, 10)
    house.connection.execute(
        "update heddle_limit_state set paused_until = now() + interval '1 hour' where name = 'one'"
    )

    claimed = await house.claim_models(await house.worker(), "m")

    assert by_endpoint(house, claimed) == {"two": 10}


async def test_claim_when_every_endpoint_is_paused_or_disabled_then_nothing_is_taken_or_lost(
    house: scene.House,
) -> None:
    deploy(house)
    queue(house, 10)
    house.connection.execute(
        "update heddle_limit_state set paused_until = now() + interval '1 hour' where name = 'one'"
    )
    house.connection.execute("update heddle_endpoint set is_enabled = false where name = 'two'")
    worker = await house.worker()

    nothing = await house.claim_models(worker, "m")
    house.connection.execute("update heddle_limit_state set paused_until = null")

    assert nothing == []
    assert by_endpoint(house, await house.claim_models(worker, "m")) == {"one": 10}


async def test_recount_when_a_count_has_drifted_then_it_is_told_and_mended(house: scene.House) -> None:
    deploy(house, deployment.Scope(name="one", concurrency=5), deployment.Scope(name="two", concurrency=0))
    queue(house, 10)
    await house.claim_models(await house.worker(), "m")
    house.connection.execute("update heddle_limit_state set in_flight = 3 where name = 'one'")

    assert await house.store.recount() == [store.SlotDrift(scope="one", was=3, is_now=5)]
    assert await house.store.recount() == []


async def test_recount_when_claims_commit_beside_it_then_nothing_has_drifted(house: scene.House) -> None:
    deploy(house, deployment.Scope(name="one", concurrency=5), deployment.Scope(name="two", concurrency=0))
    house.connection.execute(OTHER_SCOPES)
    is_over = threading.Event()

    def claim_and_end() -> int:
        """Take a slot and give it back, under the lock of its scope as claims do; give how often."""
        turns = 0
        with house.database.connect() as connection:
            while not is_over.is_set():
                for by, change in ((1, TAKE_SLOT), (-1, "delete from heddle_slot")):
                    with connection.transaction():
                        connection.execute(LOCK_SCOPE)
                        connection.execute(change)
                        connection.execute(COUNT_SLOTS, {"by": by})
                turns += 1
        return turns

    claiming = asyncio.create_task(asyncio.to_thread(claim_and_end))
    found = [await house.store.recount() for _ in range(RECOUNTS)]
    is_over.set()

    house.connection.execute("delete from heddle_limit_state where id < 0")
    assert (await claiming > 0, [drift for drift in found if drift]) == (True, [])
