"""The leader's orders: slots of adaptive scopes and retries allowed, from counters that only grow."""

import dataclasses
import random
from typing import Any, cast

from heddle.engine import govern as govern_stage
from heddle.engine import parts as parts_module
from heddle.engine import sweep
from heddle.ports import govern

SCOPE = govern.ScopeCounters(
    id=1,
    name="one",
    concurrency=8,
    floor=None,
    ceiling=None,
    in_flight=0,
    is_full=False,
    finished=0,
    finished_s=0.0,
    throttled=0,
    first_tries=0,
    retries=0,
)


class NoStore:
    """Stand for the parts, of which orders need none."""

    rng = random.Random(1)


def governor() -> govern_stage.Governor:
    nothing: Any = NoStore()
    return govern_stage.Governor(cast("parts_module.Parts", nothing), cast("sweep.Sweeper", nothing))


def changed(**values: Any) -> govern.ScopeCounters:
    return dataclasses.replace(SCOPE, **values)


def test_orders_when_a_scope_is_new_then_retries_are_granted_from_the_floor() -> None:
    (order,) = governor().orders([changed(retries=40, first_tries=900)], now_s=100.0)

    assert order == govern.ScopeOrder(id=1, concurrency=None, retries_upto=50)


def test_orders_when_first_tries_go_then_a_fifth_of_them_may_be_retries() -> None:
    governed = governor()
    governed.orders([SCOPE], now_s=100.0)

    (order,) = governed.orders([changed(first_tries=400)], now_s=100.5)

    assert order.retries_upto == 80


def test_orders_when_the_budget_is_spent_then_no_more_until_the_window_has_passed() -> None:
    governed = governor()
    governed.orders([SCOPE], now_s=100.0)
    spent = changed(retries=10)

    granted = [governed.orders([spent], now_s=100.5 + step) for step in range(14)]

    assert [order.retries_upto for found in granted for order in found] == [10, 20]


def test_orders_when_nothing_changed_then_none_are_written_for_ten_seconds() -> None:
    governed = governor()

    written = [len(governed.orders([SCOPE], now_s=100.0 + step)) for step in range(21)]

    assert [step for step, count in enumerate(written) if count] == [0, 10, 20]


def test_orders_when_a_scope_adapts_then_it_goes_on_from_the_slots_that_stand() -> None:
    scope = changed(concurrency=16, floor=2, ceiling=64)

    (order,) = governor().orders([scope], now_s=100.0)

    assert order.concurrency == 16


def test_orders_when_calls_end_quickly_then_slots_grow_and_when_throttled_they_shrink() -> None:
    governed = governor()
    scope = changed(concurrency=16, floor=2, ceiling=64, in_flight=16)
    governed.orders([scope], now_s=100.0)

    busy = dataclasses.replace(scope, finished=40, finished_s=4.0)
    (grown,) = governed.orders([busy], now_s=100.5)
    (shrunk,) = governed.orders([dataclasses.replace(busy, throttled=3)], now_s=101.0)

    assert (grown.concurrency, shrunk.concurrency) == (24, 16)


def test_orders_when_a_scope_is_gone_then_it_is_forgotten() -> None:
    governed = governor()
    governed.orders([SCOPE], now_s=100.0)
    governed.orders([], now_s=100.5)

    (order,) = governed.orders([changed(first_tries=400)], now_s=101.0)

    assert order.retries_upto == 10
