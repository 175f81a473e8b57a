"""What operators decide about a canary holds until it is reset, and is audited; the leader ends one once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from heddle.config import deployment
from heddle.core.policy import scorecard
from heddle.core.policy.scorecard import Count
from heddle.ports import operators, routing
from heddle.store import operators as operators_store
from tests.integration import working
from tests.races import fixtures, invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house
WAITS = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
CANARY = {"model": "paint", "endpoint": "new"}


@pytest_asyncio.fixture(loop_scope="module")
async def house(open_house: scene.House) -> AsyncIterator[scene.House]:
    open_house.wipe()
    open_house.connection.execute("delete from heddle_score_delta")
    open_house.before = open_house.value("select coalesce(max(id), 0) from heddle_audit")
    deploy(open_house)
    yield open_house
    assert not invariants.broken(open_house.connection)


def deploy(house: scene.House, *, tier: int = 0) -> None:
    house.deploy(
        [scene.endpoint("old"), scene.endpoint("new")],
        [
            deployment.Route(model="paint", endpoint="old"),
            deployment.Route(model="paint", endpoint="new", tier=tier, canary=True, weight=2.0),
        ],
    )


async def ask(what: str, /, **given: Any) -> Any:
    """Call the operators' desk."""
    desk = operators_store.DjangoOperators(cleanup_s=scene.CLEANUP_S)
    return await scene.in_thread(lambda: getattr(desk, what)(**given, actor="test"))


async def start(share: float = 0.1) -> None:
    await ask("start_canary", **CANARY, share=share, margin=0.05)


async def facts(house: scene.House) -> routing.RouteFacts:
    (found,) = [each for each in await house.store.route_facts() if each.endpoint == "new"]
    return found


def seen(*, tried: int, ok: int) -> scorecard.Card:
    card = scorecard.Card()
    card.add(Count.TRIED, tried)
    card.add(Count.OK, ok)
    return card


async def told(house: scene.House, **cards: scorecard.Card) -> None:
    """Let workers post what they saw, by endpoint, and fold it."""
    ids = {row.name: row.id for row in await house.store.endpoints()}
    await house.store.post_scores(cards={(ids[name], "paint"): card for name, card in cards.items()})
    await house.store.fold_scores(half_life_s=3_600.0)


def audited(house: scene.House) -> list[tuple[str, str, str]]:
    """Give what was audited since the test began."""
    query = "select actor, action, subject from heddle_audit where id > %s order by id"
    return [tuple(row) for row in house.rows(query, house.before)]


async def test_canary_when_none_was_started_then_its_route_gets_nothing(house: scene.House) -> None:
    assert (await facts(house)).weight_now == 0.0


async def test_start_when_it_is_asked_for_then_it_runs_and_both_sides_are_counted(house: scene.House) -> None:
    await told(house, new=seen(tried=7, ok=7))
    await start()

    await told(house, new=seen(tried=3, ok=1), old=seen(tried=20, ok=19))
    state = (await facts(house)).canary

    assert state is not None
    assert (state.state, state.share, state.tried, state.bad) == ("running", 0.1, 3, 2)
    assert (state.baseline_tried, state.baseline_bad) == (20, 1)
    assert audited(house) == [("test", "canary.start", "route paint new")]


async def test_promote_when_it_ran_then_it_is_a_route_like_the_others_and_the_file_changes_nothing(
    house: scene.House,
) -> None:
    await start()
    await ask("promote_canary", **CANARY)

    deploy(house)

    assert (await facts(house)).weight_now is None


async def test_roll_back_when_the_file_is_applied_again_then_its_route_still_gets_nothing(house: scene.House) -> None:
    await start()
    await ask("roll_back_canary", **CANARY)

    deploy(house)
    found = await facts(house)

    assert found.canary is not None
    assert (found.weight_now, found.canary.state) == (0.0, "rolled_back")


async def test_reset_when_something_was_decided_then_the_file_counts_again(house: scene.House) -> None:
    await start()
    await ask("promote_canary", **CANARY)

    was_set = [await ask("reset_canary", **CANARY), await ask("reset_canary", **CANARY)]
    found = await facts(house)

    assert was_set == [True, False]
    assert (found.weight_now, found.canary) == (0.0, None)
    assert [action for _, action, _ in audited(house)] == ["canary.start", "canary.promote", "canary.reset"]


async def test_start_when_no_other_route_is_in_its_tier_then_it_is_refused(house: scene.House) -> None:
    deploy(house, tier=1)

    with pytest.raises(operators.ChangeRefused, match="no other route of model 'paint' stands in the tier of 'new'"):
        await start()


async def test_start_when_another_canary_of_the_model_runs_then_it_is_refused(house: scene.House) -> None:
    await start()

    with pytest.raises(operators.ChangeRefused, match="has a canary running at 'new'"):
        await ask("start_canary", model="paint", endpoint="old", share=0.1, margin=0.05)


async def test_start_when_there_is_no_such_route_then_it_says_so(house: scene.House) -> None:
    with pytest.raises(operators.SubjectMissing, match="no route of model 'paint' to an endpoint 'none'"):
        await ask("start_canary", model="paint", endpoint="none", share=0.1, margin=0.05)


async def test_end_when_none_was_started_then_it_is_refused(house: scene.House) -> None:
    with pytest.raises(operators.ChangeRefused, match="no canary was started on 'new'"):
        await ask("promote_canary", **CANARY)


async def test_roll_back_when_the_leader_does_it_then_once_and_the_trail_says_why(house: scene.House) -> None:
    await start()
    endpoint_id = (await facts(house)).endpoint_id

    ended = [
        await house.store.roll_back(model="paint", endpoint_id=endpoint_id, tried=0, reason="worse than the others")
        for _ in range(2)
    ]
    found = await facts(house)

    assert ended == [True, False]
    assert found.canary is not None
    assert (found.weight_now, found.canary.reason) == (0.0, "worse than the others")
    assert audited(house)[-1] == ("leader", "canary.rollback", "route paint new")


async def test_weigh_when_an_operator_was_faster_then_the_leaders_weight_is_not_written(house: scene.House) -> None:
    await start()
    found = await facts(house)
    assert found.canary is not None
    order = routing.RouteOrder(model="paint", endpoint_id=found.endpoint_id, weight=0.1, seen=found.canary.state)
    await ask("roll_back_canary", **CANARY)

    written = await house.store.weigh(orders=[order])

    assert (written, (await facts(house)).weight_now) == (0, 0.0)


@pytest.mark.parametrize("days", [0.5, 40.0, 4_000.0])
async def test_fold_when_a_card_has_faded_to_nothing_then_what_comes_is_counted(
    house: scene.House, days: float
) -> None:
    await told(house, old=seen(tried=10, ok=10))
    faded = [5e-324, 1e-300, 1e-200, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    house.connection.execute(
        "update heddle_score set counts = %s::float8[], at = at - make_interval(secs => %s)", [faded, days * 86_400]
    )

    await told(house, old=seen(tried=3, ok=2))

    assert house.value("select counts[1:2] from heddle_score") == [3.0, 2.0]
    assert house.value("select count(*) from heddle_score_delta") == 0


async def test_roll_back_when_the_canary_was_started_anew_since_then_the_new_one_goes_on(house: scene.House) -> None:
    await start()
    await told(house, new=seen(tried=30, ok=0), old=seen(tried=300, ok=300))
    found = await facts(house)
    assert found.canary is not None
    await start()

    is_ended = await house.store.roll_back(
        model="paint", endpoint_id=found.endpoint_id, tried=found.canary.tried, reason="worse than the others"
    )

    canary = (await facts(house)).canary
    assert (is_ended, None if canary is None else canary.state.value) == (False, "running")


async def test_start_when_the_route_of_a_running_canary_has_left_the_file_then_another_may_start(
    house: scene.House,
) -> None:
    await start()
    house.deploy(
        [scene.endpoint("old"), scene.endpoint("newer")],
        [
            deployment.Route(model="paint", endpoint="old"),
            deployment.Route(model="paint", endpoint="newer", canary=True),
        ],
    )

    await ask("start_canary", model="paint", endpoint="newer", share=0.1, margin=0.05)

    deploy(house)
    canary = (await facts(house)).canary
    assert canary is not None
    assert (canary.state.value, canary.reason) == ("rolled_back", "its route has left heddle.toml")
    assert ("migrate", "canary.rollback", "route paint new") in audited(house)


async def test_start_when_another_is_started_at_the_same_moment_then_the_second_sees_the_first(
    house: scene.House,
) -> None:
    new = (await facts(house)).endpoint_id
    with house.database.connect() as other, other.transaction():
        other.execute("select 1 from heddle_route where model = 'paint' and endpoint_id = %s for no key update", [new])
        second = asyncio.ensure_future(ask("start_canary", model="paint", endpoint="old", share=0.1, margin=0.05))
        await working.until(lambda: house.value(WAITS) == 1)
        other.execute(
            "insert into heddle_canary (model, endpoint_id, state, share, margin, reason) "
            "values ('paint', %s, 'running', 0.1, 0.05, 'test')",
            [new],
        )

    with pytest.raises(operators.ChangeRefused, match="has a canary running at 'new'"):
        await second


async def test_end_when_it_has_ended_so_before_then_nothing_changes_and_who_did_it_stays(house: scene.House) -> None:
    await start()
    await told(house, new=seen(tried=30, ok=20), old=seen(tried=300, ok=300))
    endpoint_id = (await facts(house)).endpoint_id
    await house.store.roll_back(model="paint", endpoint_id=endpoint_id, tried=30, reason="worse than the others")

    await ask("roll_back_canary", **CANARY)
    before = (await facts(house)).canary
    await ask("promote_canary", **CANARY)
    await ask("promote_canary", **CANARY)

    assert before is not None
    assert before.reason == "worse than the others"
    assert [action for _, action, _ in audited(house)] == ["canary.start", "canary.rollback", "canary.promote"]
    counted = {"tried": 30, "bad": 10, "baseline_tried": 300, "baseline_bad": 0}
    before_it = house.value("select before from heddle_audit order by id desc limit 1")
    assert before_it == {"state": "rolled_back", **counted}
