"""Two operators who each change one of an endpoint's limits at the same moment both get what they asked for."""

import asyncio
import threading
from typing import Any

import pytest

from heddle.ports import operators
from heddle.store import operators as operators_store
from tests.races import holding, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
SAME = operators.Unchanged.UNCHANGED
LIMITS = "select concurrency, requests_per_min from heddle_limit_state where name = 'one'"


class HeldOperators(holding.HeldDoors, operators_store.DjangoOperators):
    """Stop a change before its commit."""


def deploy(house: scene.House) -> None:
    house.connection.execute("delete from heddle_limit_override")
    house.deploy(
        [scene.endpoint("one")],
        [scene.deployment.Route(model="paint", endpoint="one")],
        scopes=[scene.deployment.Scope(name="one", concurrency=10, requests_per_min=60)],
    )


async def change(desk: operators_store.DjangoOperators, what: str, /, **given: Any) -> Any:
    return await scene.in_thread(lambda: getattr(desk, what)(endpoint="one", actor="test", **given))


@pytest.mark.parametrize("is_second_the_slots", [False, True])
async def test_limits_when_two_change_one_each_at_the_same_time_then_neither_is_lost(
    house: scene.House, is_second_the_slots: bool
) -> None:
    deploy(house)
    slots = operators.LimitChange(concurrency=7, requests_per_min=SAME)
    rate = operators.LimitChange(concurrency=SAME, requests_per_min=600)
    one, other = (rate, slots) if is_second_the_slots else (slots, rate)
    gate, reached = threading.Event(), asyncio.Event()
    held = HeldOperators("override_set", reached, lambda: gate.wait(scene.PATIENCE_S), asyncio.get_running_loop())
    first = asyncio.ensure_future(change(held, "set_limits", change=one))
    await asyncio.wait_for(reached.wait(), scene.PATIENCE_S)

    second = asyncio.ensure_future(change(operators_store.DjangoOperators(), "set_limits", change=other))
    is_waiting = await holding.waits_for_lock(house.connection, second)
    gate.set()
    await asyncio.gather(first, second)

    assert is_waiting
    assert house.rows(LIMITS) == [(7, 600)]


async def test_limits_when_they_are_set_while_another_resets_them_then_they_are_reset(house: scene.House) -> None:
    deploy(house)
    slots = operators.LimitChange(concurrency=7, requests_per_min=SAME)
    gate, reached = threading.Event(), asyncio.Event()
    held = HeldOperators("override_set", reached, lambda: gate.wait(scene.PATIENCE_S), asyncio.get_running_loop())
    setting = asyncio.ensure_future(change(held, "set_limits", change=slots))
    await asyncio.wait_for(reached.wait(), scene.PATIENCE_S)

    resetting = asyncio.ensure_future(change(operators_store.DjangoOperators(), "reset_limits"))
    await holding.waits_for_lock(house.connection, resetting)
    gate.set()
    _, is_reset = await asyncio.gather(setting, resetting)

    assert is_reset
    assert house.rows(LIMITS) == [(10, 60)]
    assert house.count("limit_override") == 0
