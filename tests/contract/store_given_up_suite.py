"""Promises of the store about paid attempts that were given up while nobody knew what became of them, and of which
something is heard after all; see ``store_suite``.
"""

import dataclasses
import json
import uuid

import pytest

from heddle.core import faults
from heddle.core.attempt import AttemptState
from heddle.ports import store
from tests.contract.store_late_suite import lost_call, polled
from tests.races import scene
from tests.races.scene import House

PRICE = scene.COST_NANO_USD
RELEASED = [("release", PRICE), ("reserve", PRICE)]
UNKNOWN = faults.StepFault(fault=faults.Fault.SENT_UNKNOWN, message="no answer")


async def given_up(house: House) -> tuple[uuid.UUID, store.Claimed]:
    """Let an operator have a call of unknown outcome made again; give its run and the lease it was sent under."""
    run_id, asked, sent = await lost_call(house)
    await house.settle(dataclasses.replace(scene.faulted(asked, verdict="retry"), fault=json.dumps(UNKNOWN.as_json())))
    return run_id, sent


async def in_line(house: House) -> tuple[store.Claimed, ...]:
    """Let the time of the next try come, and claim it."""
    house.due_now()
    worker = await house.worker("heir")
    await house.pump(worker)
    return tuple(await house.claim_models(worker, "sent"))


async def sent_again(house: House) -> store.Claimed:
    """Send the call a second time."""
    (again,) = await in_line(house)
    await house.store.mark_sending(calls=[(again, "digest")])
    return again


async def costs(house: House, run_id: uuid.UUID) -> tuple[int, int]:
    """Give what the run and its call have cost."""
    return (await house.shown(run_id)).cost_nano_usd, (await house.calls(run_id))[1].cost_nano_usd


async def states(house: House, run_id: uuid.UUID) -> list[str]:
    """Give the state of the call, and of its attempts."""
    call = (await house.calls(run_id))[1]
    return [call.state.value, *(each.state.value for each in call.attempts)]


class GivenUpSuite:
    """What comes of attempts that nobody counted on any more."""

    async def test_settle_when_the_result_comes_before_the_call_is_made_again_then_it_ends_the_call(
        self, house: House
    ) -> None:
        run_id, sent = await given_up(house)

        report = await house.settle(scene.done(sent, "picture", cost_nano_usd=PRICE + 7))

        assert (report.settled, report.late) == (1, 1)
        assert await states(house, run_id) == ["succeeded", "late"]
        assert house.books() == [("adjustment", PRICE + 7), ("charge", 0), *RELEASED]
        assert await costs(house, run_id) == (PRICE + 7, PRICE + 7)
        assert await in_line(house) == ()
        assert (house.count("timer"), house.count("slot")) == (0, 0)

    async def test_settle_when_the_result_comes_while_the_call_is_in_line_again_then_it_leaves_the_line(
        self, house: House
    ) -> None:
        run_id, sent = await given_up(house)
        house.due_now()
        worker = await house.worker("heir")
        await house.pump(worker)

        await house.settle(scene.done(sent, "picture"))

        assert await house.claim_models(worker, "sent") == []
        assert await states(house, run_id) == ["succeeded", "late"]

    async def test_settle_when_the_result_comes_before_the_claimed_call_is_sent_again_then_it_is_not_sent(
        self, house: House
    ) -> None:
        run_id, sent = await given_up(house)
        (again,) = await in_line(house)

        await house.settle(scene.done(sent, "picture"))
        answers = await house.store.mark_sending(calls=[(again, "digest")])

        assert answers == {}
        assert await states(house, run_id) == ["succeeded", "late", "abandoned"]
        assert (house.count("slot"), await house.store.recount()) == (0, [])
        assert [entry for entry in house.books() if entry[0] == "reserve"] == [("reserve", PRICE)]

    async def test_settle_when_the_result_comes_after_the_call_was_sent_again_then_both_are_booked(
        self, house: House
    ) -> None:
        run_id, sent = await given_up(house)
        again = await sent_again(house)

        await house.settle(scene.done(sent, "first", cost_nano_usd=3 * PRICE))
        between = await states(house, run_id)
        await house.settle(scene.done(again, "second"))

        assert between == ["due", "late", "sending"]
        assert await states(house, run_id) == ["succeeded", "late", "done"]
        assert (await house.calls(run_id))[1].attempts[0].cost_nano_usd == 3 * PRICE
        assert await costs(house, run_id) == (4 * PRICE, 4 * PRICE)
        assert house.books()[:4] == [("adjustment", 3 * PRICE), ("charge", 0), *RELEASED]

    async def test_settle_when_the_result_is_told_again_then_nothing_is_booked_twice(self, house: House) -> None:
        run_id, sent = await given_up(house)
        again = await sent_again(house)
        await house.settle(scene.done(sent, "first"))
        before = house.books()

        await house.settle(scene.done(sent, "first"), scene.accepted(sent))
        await house.callback(sent, "event", handle="job-9")

        assert house.books() == before
        assert await costs(house, run_id) == (PRICE, PRICE)
        await house.settle(scene.done(again, "second"))
        assert await costs(house, run_id) == (2 * PRICE, 2 * PRICE)

    @pytest.mark.parametrize("cost", [0, 1, PRICE, 3 * PRICE])
    async def test_settle_when_the_attempt_was_charged_as_reserved_then_its_true_cost_is_booked(
        self, house: House, cost: int
    ) -> None:
        run_id, asked, sent = await lost_call(house)
        fault = json.dumps(UNKNOWN.as_json())
        at_least_once = dataclasses.replace(scene.faulted(asked, verdict="retry"), fault=fault, is_billed=True)
        await house.settle(at_least_once)
        again = await sent_again(house)

        await house.settle(dataclasses.replace(scene.done(sent, "first"), cost_nano_usd=cost, is_billed=True))
        await house.settle(scene.done(again, "second"))

        assert await costs(house, run_id) == (cost + PRICE, cost + PRICE)
        assert ("adjustment", cost - PRICE) in house.books() or cost == PRICE

    @pytest.mark.parametrize("way", ["answer", "callback"])
    async def test_job_when_it_is_heard_of_before_the_call_is_made_again_then_it_is_asked_after(
        self, house: House, way: str
    ) -> None:
        run_id, sent = await given_up(house)

        if way == "answer":
            await house.settle(scene.accepted(sent, handle="job-9"))
        else:
            await house.callback(sent, "event", handle="job-9")
        assert await in_line(house) == ()
        found = await polled(house)
        await house.settle(
            dataclasses.replace(scene.done(found, "picture", cost_nano_usd=7), attempt_before="rejected")
        )

        assert (found.number, found.handle, found.state) == (1, "job-9", "unknown")
        assert await states(house, run_id) == ["succeeded", "late"]
        assert await costs(house, run_id) == (7, 7)
        assert house.books() == [("adjustment", 7), ("charge", 0), *RELEASED]

    async def test_job_when_it_goes_on_then_it_is_asked_after_until_it_has_ended(self, house: House) -> None:
        run_id, sent = await given_up(house)
        await house.callback(sent, "event", handle="job-9")

        running = dataclasses.replace(scene.accepted(await polled(house)), handle=None, attempt_before="rejected")
        await house.settle(running)
        held = house.count("slot")
        done = dataclasses.replace(scene.done(await polled(house), "picture"), attempt_before="rejected")
        await house.settle(done)

        assert (held, house.count("slot"), await house.store.recount()) == (1, 0, [])
        assert await states(house, run_id) == ["succeeded", "late"]
        assert await costs(house, run_id) == (PRICE, PRICE)

    async def test_job_when_it_has_failed_then_the_call_is_made_again(self, house: House) -> None:
        run_id, sent = await given_up(house)
        await house.callback(sent, "event", handle="job-9")
        found = await polled(house)

        failed = dataclasses.replace(scene.faulted(found, verdict="retry"), attempt_before="rejected")
        await house.settle(failed)
        again = await sent_again(house)
        await house.settle(scene.done(again, "second"))

        assert again.number == 2
        assert await states(house, run_id) == ["succeeded", "rejected", "done"]
        assert await costs(house, run_id) == (PRICE, PRICE)

    async def test_callback_when_the_call_was_sent_again_then_its_attempt_is_booked_as_reserved(
        self, house: House
    ) -> None:
        run_id, sent = await given_up(house)
        again = await sent_again(house)

        told = [await house.callback(sent, "event", handle="job-9") for _ in range(2)]
        await house.settle(scene.done(again, "second"))

        assert told == [True, False]
        assert await states(house, run_id) == ["succeeded", "late", "done"]
        assert await costs(house, run_id) == (2 * PRICE, 2 * PRICE)

    async def test_callback_when_the_attempt_is_known_to_have_failed_then_nothing_is_booked(self, house: House) -> None:
        run_id, asked, sent = await lost_call(house)
        await house.settle(scene.faulted(asked, verdict="retry"))

        await house.callback(sent, "event", handle="job-9")

        assert (await house.calls(run_id))[1].attempts[0].state is AttemptState.REJECTED
        assert house.books() == RELEASED

    async def test_settle_when_the_run_was_stopped_then_the_result_is_booked_and_kept(self, house: House) -> None:
        run_id, sent = await given_up(house)
        await house.cancel(run_id)

        await house.settle(scene.done(sent, "picture"))

        assert await states(house, run_id) == ["cancelled", "late"]
        assert await costs(house, run_id) == (PRICE, PRICE)
