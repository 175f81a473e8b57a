"""What an operator set for a scope holds against everybody until it is reset: the file, and the leader who adapts."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from heddle.config import deployment
from heddle.ports import govern, operators
from heddle.store import operators as operators_store
from tests.races import fixtures, invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house
LIMITS = "select concurrency, requests_per_min, requests_burst from heddle_limit_state where name = 'one'"


@pytest_asyncio.fixture(loop_scope="module")
async def house(open_house: scene.House) -> AsyncIterator[scene.House]:
    open_house.wipe()
    open_house.connection.execute("delete from heddle_limit_override")
    deploy(open_house)
    yield open_house
    assert not invariants.broken(open_house.connection)


def deploy(house: scene.House) -> None:
    house.deploy(
        [scene.endpoint("one")],
        [deployment.Route(model="paint", endpoint="one")],
        scopes=[deployment.Scope(name="one", concurrency=deployment.Adaptive(min=4, max=64))],
    )


async def set_limits(*, concurrency: int | None, requests_per_min: int | None) -> None:
    await ask(
        "set_limits",
        change=operators.LimitChange(concurrency=concurrency, requests_per_min=requests_per_min),
    )


async def ask(what: str, /, **given: Any) -> Any:
    """Call the operators' desk about the endpoint ``one``."""
    desk = operators_store.DjangoOperators(cleanup_s=scene.CLEANUP_S)
    return await scene.in_thread(lambda: getattr(desk, what)(endpoint="one", actor="test", **given))


async def counters(house: scene.House) -> govern.ScopeCounters:
    (found,) = await house.store.scope_counters()
    return found


async def order(house: scene.House, slots: int) -> None:
    """Let a leader that looked before the change write its order now."""
    scope = await counters(house)
    await house.store.govern(orders=[govern.ScopeOrder(id=scope.id, concurrency=slots, retries_upto=9)])


async def test_limits_when_the_scope_adapts_then_the_leader_does_not_overrule_the_operator(house: scene.House) -> None:
    await order(house, 16)
    await set_limits(concurrency=0, requests_per_min=None)

    await order(house, 32)

    found = await counters(house)
    assert (found.concurrency, found.floor, found.ceiling) == (0, None, None)
    assert house.value("select retries_upto from heddle_limit_state where name = 'one'") == 9


async def test_limits_when_reset_then_the_scope_adapts_again_from_where_it_was(house: scene.House) -> None:
    await order(house, 16)
    await set_limits(concurrency=0, requests_per_min=None)
    deploy(house)

    await ask("reset_limits")

    found = await counters(house)
    assert (found.concurrency, found.floor, found.ceiling) == (16, 4, 64)
    await order(house, 32)
    assert house.value("select concurrency from heddle_limit_state where name = 'one'") == 32


async def test_limits_when_a_rate_is_set_then_its_burst_is_the_laws_before_and_after_the_file_is_applied(
    house: scene.House,
) -> None:
    await set_limits(concurrency=8, requests_per_min=1_200)

    before = house.rows(LIMITS)
    deploy(house)

    assert before == house.rows(LIMITS) == [(8, 1_200, 11)]
