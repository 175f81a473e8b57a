"""What the store promises of webhooks, as tests that every implementation must pass: see ``store_suite``."""

import uuid
from typing import Any

import pytest

from heddle.core import outbox as law
from heddle.core import plan
from heddle.core.policy import delivery
from heddle.ports import outbox
from tests.races import scene
from tests.races.scene import House, call, returned

URL = "https://one.example/hooks?run=1"
OTHER = "https://two.example:443/"
LEASE_S = 30.0


def taking(**more: Any) -> outbox.Taking:
    """Ask for events."""
    asked: dict[str, Any] = {
        "want": 100,
        "want_failing": 50,
        "receiver_max": 4,
        "failures_max": delivery.OPTIONS.failures,
        "busy": (),
        "after": None,
        "lease_s": LEASE_S,
        "output_bytes_max": 1_000,
    }
    return outbox.Taking(**{**asked, **more})


async def take(house: House, **more: Any) -> tuple[outbox.DueEvent, ...]:
    """Take events."""
    return (await house.store.take_events(taking(**more))).events


async def write(house: House, event: outbox.DueEvent, state: law.EventState, **more: Any) -> int:
    """Write what became of one event."""
    given: dict[str, Any] = {"delay_s": 0.0, "is_try": True, "status": 500, "error": "it failed", "body": "{}"}
    made = outbox.EventWrite(id=event.id, fence=event.fence, state=state, **{**given, **more})
    return await house.store.write_events(events=[made], receivers=[], disabled=[])


async def hold(house: House, event: outbox.DueEvent, *, failures: int, hold_s: float) -> None:
    """Write how a receiver is."""
    known = outbox.ReceiverWrite(receiver=event.receiver, failures=failures, hold_s=hold_s)
    await house.store.write_events(events=[], receivers=[known], disabled=[])


async def ended(house: House, *, url: str | None = URL, count: int = 1) -> list[uuid.UUID]:
    """End runs by cancelling them before they start."""
    made = [(await house.admit(webhook_url=url)).run_id for _ in range(count)]
    for run_id in made:
        await house.cancel(run_id)
    return made


async def finish(house: House, run_id: uuid.UUID, *calls: plan.PlannedCall, ending: plan.Ending) -> None:
    """Run a run's function to its end and let its calls succeed."""
    worker = await house.worker()
    await house.begin(run_id, worker, *calls, ending=ending)
    claimed = await house.claim(worker, scene.step_lane("score"))
    if claimed:
        await house.settle(*(scene.done(item, 7) for item in claimed))


class PostSuite:
    """When a customer is told something, and what."""

    async def test_end_when_nobody_asked_to_be_told_then_there_is_no_event(self, house: House) -> None:
        await ended(house, url=None)

        assert await take(house) == ()

    async def test_end_when_a_plan_ends_the_run_then_one_event_tells_of_success(self, house: House) -> None:
        run_id = (await house.admit(webhook_url=URL)).run_id

        await finish(house, run_id, ending=returned())

        (event,) = await take(house)
        assert (event.id.run_id, event.type, event.url) == (run_id, "run.succeeded", URL)
        assert event.receiver == outbox.Receiver(tenant_id=1, address="https://one.example")

    async def test_end_when_a_settlement_ends_the_run_then_one_event_comes_with_the_run_and_its_output(
        self, house: House
    ) -> None:
        run_id = (await house.admit(webhook_url=URL)).run_id

        await finish(house, run_id, call(1, "step", "score"), ending=returned(1))

        (event,) = await take(house)
        view = await house.shown(run_id)
        assert (event.type, event.is_whole, event.submitted_as) == ("run.succeeded", True, run_id)
        assert event.view is not None
        assert event.view.tenant == "default"
        assert (event.view.id, event.view.output, event.view.state) == (run_id, [7], view.state)
        assert event.at == view.finished_at
        assert event.id.seq == (await house.events(run_id))[-1].seq

    async def test_end_when_the_output_is_over_the_bound_then_the_run_comes_without_it(self, house: House) -> None:
        run_id = (await house.admit(webhook_url=URL)).run_id
        await finish(house, run_id, call(1, "step", "score"), ending=returned(1))

        (event,) = await take(house, output_bytes_max=1)

        assert not event.is_whole
        assert event.view is not None
        assert event.view.output is None

    async def test_end_when_the_function_raises_then_one_event_tells_of_failure(self, house: House) -> None:
        run_id = (await house.admit(webhook_url=URL)).run_id

        await finish(house, run_id, ending=scene.raised())

        assert [event.type for event in await take(house)] == ["run.failed"]

    async def test_end_when_the_run_is_cancelled_then_one_event_tells_so(self, house: House) -> None:
        (run_id,) = await ended(house)

        assert [(event.id.run_id, event.type) for event in await take(house)] == [(run_id, "run.cancelled")]

    async def test_end_when_the_deadline_passes_then_one_event_tells_so(self, house: House) -> None:
        await house.admit(webhook_url=URL, deadline_s=3_600.0)

        house.due_now()
        await house.pump(await house.worker())

        assert [event.type for event in await take(house)] == ["run.expired"]

    async def test_end_when_a_retried_run_ends_again_then_a_second_event_has_an_id_of_its_own(
        self, house: House
    ) -> None:
        run_id = (await house.admit(webhook_url=URL)).run_id
        await finish(house, run_id, ending=scene.raised())
        (first,) = await take(house)
        await write(house, first, law.EventState.DELIVERED)

        await house.retry(run_id)
        await finish(house, run_id, ending=returned())

        (second,) = await take(house)
        assert second.type == "run.succeeded"
        assert second.id.seq > first.id.seq

    async def test_end_when_the_run_is_a_child_then_only_the_run_above_is_told_of(self, house: House) -> None:
        run_id, worker = (await house.admit(webhook_url=URL)).run_id, await house.worker()
        await house.begin(run_id, worker, call(1, "workflow", scene.WORKFLOW), ending=returned(1))
        child = (await house.calls(run_id))[1].child_run
        assert child is not None

        await finish(house, child, ending=returned())
        before = await take(house)
        house.due_now()
        await house.pump(worker)

        assert before == ()
        assert [event.id.run_id for event in await take(house)] == [run_id]

    async def test_end_when_the_run_goes_on_as_another_then_the_last_is_told_of_under_the_first(
        self, house: House
    ) -> None:
        run_id, worker = (await house.admit(webhook_url=URL)).run_id, await house.worker()
        await house.begin(run_id, worker, ending=plan.Continued(workflow=scene.WORKFLOW, input={}, version=1))
        before, follower = await take(house), (await house.shown(run_id)).continued_as
        assert follower is not None

        await finish(house, follower, ending=returned())

        (event,) = await take(house)
        assert before == ()
        assert (event.id.run_id, event.submitted_as) == (follower, run_id)


class TakeSuite:
    """How events are leased and what is written of them."""

    async def test_take_when_an_event_is_taken_then_nobody_else_gets_it_until_its_lease_is_over(
        self, house: House
    ) -> None:
        await ended(house)

        (first,) = await take(house)
        during = await take(house)
        house.later(LEASE_S + 1)
        (second,) = await take(house)

        assert during == ()
        assert second.id == first.id
        assert second.fence > first.fence

    async def test_take_when_an_earlier_end_of_the_run_is_not_told_of_then_the_later_one_waits_for_it(
        self, house: House
    ) -> None:
        run_id = (await house.admit(webhook_url=URL)).run_id
        await finish(house, run_id, ending=scene.raised())
        (first,) = await take(house)
        await write(house, first, law.EventState.DUE, delay_s=100.0)
        await house.retry(run_id)
        await finish(house, run_id, ending=returned())

        early, overdue_s = await take(house), (await house.store.count_events(limit=10)).overdue_s
        house.later(101)
        (again,), during = await take(house), await take(house)
        await write(house, again, law.EventState.DELIVERED)
        (second,) = await take(house)

        assert (early, during, overdue_s) == ((), (), 0.0)
        assert again.id == first.id
        assert (second.id.run_id, second.type) == (run_id, "run.succeeded")

    async def test_write_when_the_lease_was_lost_then_only_that_it_was_delivered_counts(self, house: House) -> None:
        await ended(house)
        (first,) = await take(house)
        house.later(LEASE_S + 1)
        (second,) = await take(house)

        late = [
            await write(house, first, law.EventState.DEAD),
            await write(house, first, law.EventState.DELIVERED, status=204),
            await write(house, second, law.EventState.DEAD),
        ]

        assert late == [0, 1, 0]
        assert (await house.store.count_events(limit=10)).dead == 0

    async def test_write_when_it_is_to_be_tried_again_then_it_comes_at_its_time_with_one_try_more(
        self, house: House
    ) -> None:
        await ended(house)
        (first,) = await take(house)

        await write(house, first, law.EventState.DUE, delay_s=100.0, body='{"a":1}')
        early = await take(house)
        house.later(101)
        (second,) = await take(house)

        assert early == ()
        assert (second.tries, second.body, second.view) == (1, '{"a":1}', None)

    async def test_write_when_nobody_knows_whether_it_was_written_then_a_second_time_changes_nothing(
        self, house: House
    ) -> None:
        await ended(house)
        (first,) = await take(house)

        twice = [await write(house, first, law.EventState.DUE) for _ in range(2)]

        assert twice == [1, 0]
        assert [event.tries for event in await take(house)] == [1]

    async def test_write_when_nothing_was_sent_then_no_try_counts(self, house: House) -> None:
        await ended(house)
        (first,) = await take(house)

        await write(house, first, law.EventState.DUE, is_try=False, status=None, error=None, body=None)

        assert [(event.tries, event.body) for event in await take(house)] == [(0, None)]

    async def test_take_when_one_receiver_has_a_long_line_then_each_gets_its_few(self, house: House) -> None:
        await ended(house, count=10)
        await ended(house, url=OTHER, count=2)

        found = [event.receiver.address for event in await take(house, receiver_max=3)]

        assert sorted(found) == ["https://one.example"] * 3 + ["https://two.example:443"] * 2

    async def test_take_when_fewer_are_wanted_than_are_due_then_every_receiver_gets_its_turn(
        self, house: House
    ) -> None:
        await ended(house, count=3)
        await ended(house, url=OTHER, count=3)

        found = {event.receiver.address for event in await take(house, want=2)}

        assert found == {"https://one.example", "https://two.example:443"}

    async def test_take_when_a_receiver_is_busy_then_it_gets_what_is_left_of_its_places(self, house: House) -> None:
        await ended(house, count=5)
        receiver = outbox.Receiver(tenant_id=1, address="https://one.example")

        assert len(await take(house, receiver_max=4, busy=((receiver, 3),))) == 1
        assert await take(house, receiver_max=4, busy=((receiver, 4),)) == ()

    async def test_take_when_a_receiver_is_left_alone_then_it_gets_nothing_until_its_time(self, house: House) -> None:
        await ended(house, count=2)
        (event,) = await take(house, receiver_max=1)
        await hold(house, event, failures=1, hold_s=60.0)

        during = await take(house)
        house.later(61)
        after = await take(house)

        assert during == ()
        assert [each.failures for each in after] == [1, 1]

    async def test_take_when_a_receiver_failed_often_then_one_probe_goes_out_at_a_time(self, house: House) -> None:
        await ended(house, count=3)
        (event,) = await take(house, receiver_max=1)
        await hold(house, event, failures=delivery.OPTIONS.failures, hold_s=0.0)

        probe, others = await take(house), await take(house)

        assert (len(probe), others) == (1, ())

    async def test_take_when_a_probe_failed_then_the_next_goes_out_after_the_pause_it_brought(
        self, house: House
    ) -> None:
        await ended(house, count=3)
        (event,) = await take(house, receiver_max=1)
        await hold(house, event, failures=delivery.OPTIONS.failures, hold_s=0.0)
        (probe,) = await take(house)

        await hold(house, probe, failures=delivery.OPTIONS.failures + 1, hold_s=5.0)
        during = await take(house)
        house.later(5.1)

        assert during == ()
        assert len(await take(house)) == 1

    async def test_take_when_a_failing_receiver_proves_well_then_its_events_come_again_after_its_pause(
        self, house: House
    ) -> None:
        await ended(house, count=3)
        (event,) = await take(house, receiver_max=1)
        await hold(house, event, failures=9, hold_s=20.0)

        await hold(house, event, failures=0, hold_s=0.0)
        during = await take(house)
        house.later(21)

        assert during == ()
        assert len(await take(house)) == 2

    async def test_take_when_many_receivers_fail_then_those_that_are_well_come_first(self, house: House) -> None:
        await ended(house, count=2)
        (event,) = await take(house, receiver_max=1)
        await hold(house, event, failures=1, hold_s=0.0)
        await ended(house, url=OTHER)

        found = [each.receiver.address for each in await take(house, want=5, want_failing=0)]

        assert found == ["https://two.example:443"]

    async def test_take_when_an_address_is_disabled_then_its_events_say_so(self, house: House) -> None:
        await ended(house, count=2)
        (event,) = await take(house, receiver_max=1)
        gone = outbox.Disabling(tenant_id=1, url=event.url, reason="410")
        await house.store.write_events(events=[], receivers=[], disabled=[gone, gone])

        (other,) = await take(house)

        assert (event.is_disabled, other.is_disabled) == (False, True)

    async def test_take_when_the_tenant_never_asked_for_a_secret_then_there_is_one_to_sign_with(
        self, house: House
    ) -> None:
        await ended(house, count=2)

        (first,) = await take(house, want=1)
        (second,) = await take(house, want=1)

        assert len(first.keys) == 1
        assert first.keys == second.keys

    async def test_take_when_nothing_is_due_then_it_tells_when_to_look_again(self, house: House) -> None:
        none = await house.store.take_events(taking())
        await ended(house)
        (event,) = await take(house)
        await write(house, event, law.EventState.DUE, delay_s=50.0)

        later = await house.store.take_events(taking())

        assert none.next_in_s is None
        assert later.next_in_s == pytest.approx(50.0, abs=5.0)
