"""What the store promises of webhook events that nobody sends any more: see ``store_suite``."""

import datetime
from collections.abc import Sequence

from heddle.core import outbox as law
from heddle.ports import outbox
from tests.contract.store_outbox_suite import LEASE_S, URL, ended, finish, hold, take, write
from tests.races import scene
from tests.races.scene import House


async def given_up(house: House, *, overdue_s: float) -> Sequence[law.EventId]:
    """Give up what five failures in a row left no time for."""
    return await house.store.give_up_events(overdue_s=overdue_s, failures=5, reason="no time", limit=10)


class KeepSuite:
    """Events counted, given up and pruned."""

    async def test_count_when_events_were_given_up_then_they_are_counted(self, house: House) -> None:
        await ended(house, count=3)
        first, second, _ = await take(house)
        await write(house, first, law.EventState.DEAD)
        await write(house, second, law.EventState.DISABLED)

        found = await house.store.count_events(limit=10)

        assert (found.due, found.dead, found.disabled) == (1, 1, 1)

    async def test_give_up_when_a_receiver_fails_and_left_no_time_for_an_event_then_it_is_dead(
        self, house: House
    ) -> None:
        await ended(house, count=2)
        first, second = await take(house)
        house.later(3_600.0)
        await write(house, second, law.EventState.DUE, delay_s=LEASE_S)
        await hold(house, first, failures=4, hold_s=30.0)
        well = await given_up(house, overdue_s=3_600.0)
        await hold(house, first, failures=5, hold_s=30.0)

        early = await given_up(house, overdue_s=3_600.0)
        house.later(LEASE_S + 1.0)
        gone, again = await given_up(house, overdue_s=3_600.0), await given_up(house, overdue_s=3_600.0)

        assert (well, early, gone, again) == ([], [], [first.id], [])
        assert (await house.store.count_events(limit=10)).dead == 1

    async def test_give_up_when_an_event_waited_for_an_earlier_end_of_its_run_then_its_time_begins_with_its_turn(
        self, house: House
    ) -> None:
        run_id = (await house.admit(webhook_url=URL)).run_id
        await finish(house, run_id, ending=scene.raised())
        (first,) = await take(house)
        await write(house, first, law.EventState.DUE, delay_s=7_200.0)
        await house.retry(run_id)
        await finish(house, run_id, ending=scene.returned())
        house.later(7_100.0)
        await hold(house, first, failures=5, hold_s=0.0)

        waiting = await given_up(house, overdue_s=3_600.0)
        house.later(200.0)
        await hold(house, first, failures=0, hold_s=0.0)
        (last,) = await take(house)
        await write(house, last, law.EventState.DEAD)
        await hold(house, first, failures=5, hold_s=0.0)
        turned = await given_up(house, overdue_s=3_600.0)
        house.later(3_700.0)
        await hold(house, first, failures=5, hold_s=0.0)

        assert (waiting, turned) == ([], [])
        assert [event.run_id for event in await given_up(house, overdue_s=3_600.0)] == [run_id]

    async def test_give_up_when_nobody_has_heard_of_the_receiver_for_an_hour_then_its_events_stay(
        self, house: House
    ) -> None:
        await ended(house)
        (event,) = await take(house)
        await hold(house, event, failures=9, hold_s=0.0)
        house.later(2 * 3_600.0)

        gone = await given_up(house, overdue_s=60.0)

        assert gone == []

    async def test_prune_when_events_have_been_over_for_long_then_they_go_and_due_ones_stay(self, house: House) -> None:
        await ended(house, count=2)
        first, _ = await take(house)
        await write(house, first, law.EventState.DELIVERED)

        young = await house.store.prune_events(days=1, limit=10)
        house.later(datetime.timedelta(days=2).total_seconds())
        old = await house.store.prune_events(days=1, limit=10)

        assert (young, old) == (0, 1)
        assert len(await take(house)) == 1

    async def test_prune_when_an_address_is_gone_and_no_event_is_for_it_then_it_is_forgotten(
        self, house: House
    ) -> None:
        await ended(house, count=2)
        gone = outbox.Disabling(tenant_id=house.tenant.id, url=URL, reason="gone")
        await house.store.write_events(events=[], receivers=[], disabled=[gone])
        house.later(datetime.timedelta(hours=30).total_seconds())
        first, second = await take(house)
        await write(house, first, law.EventState.DISABLED, is_try=False)
        house.later(datetime.timedelta(hours=30).total_seconds())

        kept = await house.store.prune_events(days=2, limit=10)
        (spared,) = await take(house)
        house.later(datetime.timedelta(hours=30).total_seconds())
        forgotten = await house.store.prune_events(days=2, limit=10)
        (sent,) = await take(house)

        assert [event.is_disabled for event in (first, second, spared, sent)] == [True, True, True, False]
        assert (kept, forgotten) == (0, 2)
