"""What a worker remembers of its leases: counted by kind, dropped by fence, compared with the store's."""

import asyncio

from heddle.engine import hold as hold_module
from heddle.ports import store
from tests.unit.engine import claims

KEY = (claims.RUN, 3)


def test_hold_when_leases_are_added_then_they_are_counted_by_kind() -> None:
    hold = hold_module.Hold()

    for ordinal, kind in [(1, "async"), (2, "async"), (3, "send")]:
        hold.add(claims.claimed(ordinal=ordinal), kind=kind, now_s=1.0)

    assert (len(hold), hold.count("async"), hold.count("send"), hold.count("poll")) == (3, 2, 1, 0)


def test_drop_when_the_fence_matches_then_the_place_is_free_once() -> None:
    hold = hold_module.Hold()
    hold.add(claims.claimed(fence=41), kind="sync", now_s=1.0)

    hold.drop(KEY, 41)
    hold.drop(KEY, 41)

    assert (len(hold), hold.count("sync"), hold.get(KEY)) == (0, 0, None)


def test_drop_when_the_lease_was_taken_anew_then_the_new_one_stays() -> None:
    hold = hold_module.Hold()
    taken = hold.add(claims.claimed(fence=42), kind="sync", now_s=1.0)

    hold.drop(KEY, 41)

    assert hold.get(KEY) is taken
    assert hold.count("sync") == 1


def test_unknown_to_then_it_lists_old_leases_that_the_store_has_not_or_has_under_another_fence() -> None:
    hold = hold_module.Hold()
    hold.add(claims.claimed(ordinal=1, fence=10), kind="send", now_s=1.0)
    gone = hold.add(claims.claimed(ordinal=2, fence=11), kind="send", now_s=1.0)
    taken = hold.add(claims.claimed(ordinal=3, fence=12), kind="send", now_s=1.0)
    hold.add(claims.claimed(ordinal=4, fence=13), kind="send", now_s=9.0)

    unknown = hold.unknown_to({(claims.RUN, 1, 10), (claims.RUN, 3, 99)}, older_than_s=5.0)

    assert unknown == [gone, taken]


def test_refs_then_every_lease_is_named_with_its_fence() -> None:
    hold = hold_module.Hold()
    hold.add(claims.claimed(ordinal=1, fence=10), kind="send", now_s=1.0)
    hold.add(claims.claimed(run_id=claims.OTHER_RUN, ordinal=1, fence=11), kind="send", now_s=1.0)

    assert hold.refs() == [
        store.LeaseRef(run_id=claims.RUN, ordinal=1, fence=10),
        store.LeaseRef(run_id=claims.OTHER_RUN, ordinal=1, fence=11),
    ]


def test_clear_then_nothing_is_held_or_counted() -> None:
    hold = hold_module.Hold()
    hold.add(claims.claimed(), kind="send", now_s=1.0)

    hold.clear()

    assert (len(hold), hold.count("send"), hold.refs()) == (0, 0, [])


async def _started(hold: hold_module.Hold, claimed: store.Claimed) -> asyncio.Task[None]:
    """Hold a lease whose task waits until it is cancelled."""
    held = hold.add(claimed, kind="send", now_s=1.0)
    held.task = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]
    await asyncio.sleep(0)
    return held.task


async def test_cancel_run_then_its_calls_in_flight_are_cancelled_and_its_activation_and_other_runs_are_not() -> None:
    hold = hold_module.Hold()
    call = await _started(hold, claims.claimed(ordinal=1))
    activation = await _started(hold, claims.claimed(ordinal=0))
    other = await _started(hold, claims.claimed(run_id=claims.OTHER_RUN, ordinal=1))
    hold.add(claims.claimed(ordinal=2), kind="send", now_s=1.0)

    count = hold.cancel_run(claims.RUN, still_leased=set())
    await asyncio.sleep(0)
    spared = [activation.cancelling(), other.cancelling()]
    hold.cancel_unpaid()
    await asyncio.gather(call, activation, other, return_exceptions=True)

    assert (count, call.cancelled(), spared) == (1, True, [0, 0])


async def test_cancel_unpaid_then_every_task_ends_and_the_leases_are_still_known() -> None:
    hold = hold_module.Hold()
    tasks = [await _started(hold, claims.claimed(ordinal=ordinal)) for ordinal in (0, 1)]

    hold.cancel_unpaid()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert [task.cancelled() for task in tasks] == [True, True]
    assert len(hold) == 2


async def test_cancel_unpaid_when_a_paid_call_is_on_its_way_then_its_answer_is_awaited() -> None:
    hold = hold_module.Hold()
    free, paid = [await _started(hold, claims.claimed(ordinal=ordinal, fence=ordinal)) for ordinal in (1, 2)]
    hold.note_buying((claims.RUN, 2), 2)

    hold.cancel_unpaid()
    await asyncio.sleep(0)
    asked_to_end = [free.cancelled(), bool(paid.cancelling())]
    paid.cancel()
    await asyncio.gather(free, paid, return_exceptions=True)

    assert asked_to_end == [True, False]


async def test_clear_when_a_paid_call_is_on_its_way_then_it_takes_its_place_until_it_ends() -> None:
    hold = hold_module.Hold()
    paid = await _started(hold, claims.claimed(ordinal=2, fence=2))
    hold.note_buying((claims.RUN, 2), 2)

    hold.clear()
    hold.clear()
    meanwhile = (len(hold), hold.count("send"))
    paid.cancel()
    await asyncio.gather(paid, return_exceptions=True)

    assert (meanwhile, hold.count("send")) == ((0, 1), 0)


async def test_add_when_a_paid_call_goes_on_whose_lease_was_lost_then_both_take_a_place() -> None:
    hold = hold_module.Hold()
    paid = await _started(hold, claims.claimed(fence=2))
    hold.note_buying((claims.RUN, 3), 2)

    hold.add(claims.claimed(fence=9), kind="send", now_s=2.0)
    meanwhile = hold.count("send")
    paid.cancel()
    await asyncio.gather(paid, return_exceptions=True)

    assert (meanwhile, hold.count("send")) == (2, 1)


async def test_cancel_run_when_a_call_is_leased_after_the_stop_then_it_goes_on() -> None:
    hold = hold_module.Hold()
    stopped = await _started(hold, claims.claimed(ordinal=1))
    cleanup = await _started(hold, claims.claimed(ordinal=2))
    kept = hold.get((claims.RUN, 2))
    assert kept is not None

    count = hold.cancel_run(claims.RUN, still_leased={(claims.RUN, 2, kept.fence)})
    await asyncio.sleep(0)
    spared = cleanup.cancelling()
    hold.cancel_unpaid()
    await asyncio.gather(stopped, cleanup, return_exceptions=True)

    assert (count, stopped.cancelled(), spared) == (1, True, 0)
