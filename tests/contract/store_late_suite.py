"""Promises of the store about words that come early or late: callbacks before their answer, results and refusals of
workers that lost their lease, calls that were claimed and never sent; see ``store_suite``.
"""

import uuid
from collections.abc import Callable

import pytest

from heddle.core.attempt import AttemptState
from heddle.engine import settle as settle_stage
from heddle.ports import store
from tests.contract.store_suite import deploy, started
from tests.races import scene
from tests.races.scene import House, call, suspended


async def polled(house: House) -> store.Claimed:
    """Let a poll's time come, and claim it."""
    house.due_now()
    worker = await house.worker("poller")
    await house.pump(worker)
    (found,) = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")
    return found


async def lost_call(house: House) -> tuple[uuid.UUID, store.Claimed, store.Claimed]:
    """Have a worker die over a paid call; give the run, the lease of who asks after it, and the dead one's."""
    deploy(house)
    run_id, _ = await started(house, call(1, "model", "sent"), ending=suspended(1))
    dead = await house.worker("dead")
    (sent,) = await house.claim_models(dead, "sent")
    await house.store.mark_sending(calls=[(sent, "digest")])
    house.silence(dead)
    await house.store.reclaim(lease_s=15.0, margin_s=2.0, limit=10)
    return run_id, await polled(house), sent


class LateSuite:
    """What comes too early or too late."""

    async def test_callback_when_it_comes_before_the_answer_to_the_call_then_the_first_poll_is_at_once(
        self, house: House
    ) -> None:
        deploy(house)
        _, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")

        await house.callback(sent, "event")
        await house.settle(scene.accepted(sent, delay_s=3_600.0))
        await house.pump(worker)

        assert len(await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")) == 1

    async def test_callback_when_it_names_the_job_of_an_unknown_send_then_the_job_is_asked_after(
        self, house: House
    ) -> None:
        run_id, asked, sent = await lost_call(house)
        await house.settle(scene.unsure(asked, verdict="bury"))

        await house.callback(sent, "event", handle="job-9")
        found = await polled(house)
        await house.settle(scene.done(found, "picture"))

        assert (found.handle, found.state) == ("job-9", "unknown")
        assert (await house.calls(run_id))[1].attempts[0].state is AttemptState.DONE
        assert house.charges() == [("charge", scene.COST_NANO_USD)]

    async def test_settle_when_a_job_is_found_after_its_call_was_given_up_then_it_takes_its_slot_again(
        self, house: House
    ) -> None:
        _, asked, sent = await lost_call(house)
        await house.settle(scene.unsure(asked, verdict="bury"))
        given_up = house.count("slot")

        await house.callback(sent, "event", handle="job-9")
        await house.settle(scene.accepted(await polled(house)))
        await house.settle(scene.accepted(await polled(house)))
        found, drift = house.count("slot"), await house.store.recount()
        await house.settle(scene.done(await polled(house), "picture"))

        assert (given_up, found, house.count("slot")) == (0, 1, 0)
        assert (drift, await house.store.recount()) == ([], [])

    async def test_claim_when_the_worker_that_sent_a_call_died_then_its_end_is_unknown_by_our_doing(
        self, house: House
    ) -> None:
        _, asked, _ = await lost_call(house)

        assert (asked.attempt_state, asked.is_cut_off) == ("unknown", True)

    async def test_claim_when_the_worker_that_sent_a_call_cut_it_off_then_its_end_is_unknown_by_our_doing(
        self, house: House
    ) -> None:
        deploy(house)
        _, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")
        await house.store.mark_sending(calls=[(sent, "digest")])

        await house.settle(settle_stage.cut_off(sent, delay_s=0.0))

        assert (await polled(house)).is_cut_off

    async def test_claim_when_the_endpoint_did_not_answer_then_its_end_is_not_unknown_by_our_doing(
        self, house: House
    ) -> None:
        deploy(house)
        _, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")
        await house.store.mark_sending(calls=[(sent, "digest")])

        await house.settle(scene.unsure(sent))

        assert not (await polled(house)).is_cut_off

    async def test_find_job_when_a_call_in_flight_has_the_handle_then_its_attempt_is_told(self, house: House) -> None:
        deploy(house)
        _, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.accepted(sent, handle="job-1"))

        found = [
            await scene.in_thread(lambda name=name, handle=handle: house.doors().find_job(endpoint=name, handle=handle))
            for name, handle in (("one", "job-1"), ("one", "job-2"), ("other", "job-1"))
        ]

        assert found == [scene.attempt_id(sent), None, None]

    async def test_callback_when_the_job_has_a_handle_then_it_keeps_it(self, house: House) -> None:
        deploy(house)
        _, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.accepted(sent, handle="job-1"))

        await house.callback(sent, "event", handle="job-9")

        assert (await polled(house)).handle == "job-1"

    @pytest.mark.parametrize("word", [scene.faulted, scene.unsure], ids=["a refusal", "not known"])
    async def test_settle_when_the_word_of_a_lost_worker_comes_after_the_job_was_found_then_the_job_is_booked(
        self, house: House, word: Callable[[store.Claimed], store.Settlement]
    ) -> None:
        run_id, asked, sent = await lost_call(house)

        await house.settle(word(sent))
        between = (await house.calls(run_id))[1].attempts[0].state
        await house.settle(scene.accepted(asked))
        await house.settle(word(sent))
        await house.settle(scene.done(await polled(house), "picture"))

        assert between is AttemptState.UNKNOWN
        assert (await house.calls(run_id))[1].attempts[0].state is AttemptState.DONE
        assert house.charges() == [("charge", scene.COST_NANO_USD)]

    @pytest.mark.parametrize("word", [scene.done, scene.accepted], ids=["a result", "a job"])
    async def test_settle_when_a_lost_worker_tells_what_became_of_an_unknown_call_then_it_is_looked_after_at_once(
        self, house: House, word: Callable[[store.Claimed], store.Settlement]
    ) -> None:
        run_id, asked, sent = await lost_call(house)
        await house.settle(scene.unsure(asked, delay_s=3_600.0))
        heir = await house.worker("heir")
        await house.pump(heir)
        before = await house.claim(heir, scene.lanes.of_poll("one"), purpose="poll")

        await house.settle(word(sent))
        await house.pump(heir)

        assert before == []
        assert len(await house.claim(heir, scene.lanes.of_poll("one"), purpose="poll")) == 1
        assert (await house.calls(run_id))[1].state.value == "unknown"

    @pytest.mark.parametrize("cost", [None, 1])
    async def test_close_when_the_result_of_a_stopped_call_has_come_then_it_stays_late_at_its_cost(
        self, house: House, cost: int | None
    ) -> None:
        deploy(house)
        run_id, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.accepted(sent))
        poll = await polled(house)
        await house.cancel(run_id)
        await house.settle(scene.done(poll, "picture"))

        (asked,) = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")
        await house.store.close_cancelled(closings=[(scene.ref(asked), "rejected", cost)])

        (attempt,) = (await house.calls(run_id))[1].attempts
        assert (attempt.state, attempt.cost_nano_usd) == (AttemptState.LATE, scene.COST_NANO_USD)
        assert house.charges() == [("charge", scene.COST_NANO_USD)]
        assert house.count("slot") == 0

    @pytest.mark.parametrize("is_marked", [True, False], ids=["its intent is durable", "it is not"])
    async def test_settle_when_a_claimed_call_was_not_sent_then_it_can_be_claimed_again_at_once(
        self, house: House, is_marked: bool
    ) -> None:
        deploy(house)
        run_id, worker = await started(house, call(1, "model", "sent"), ending=suspended(1))
        (first,) = await house.claim_models(worker, "sent")
        await house.store.mark_sending(calls=[(first, "digest")] if is_marked else [])

        await house.settle(settle_stage.unsent(first, "too late"))

        (second,) = await house.claim_models(worker, "sent")
        assert (second.number, second.attempts_before) == (2, 1)
        assert (await house.calls(run_id))[1].attempts[0].state is AttemptState.REJECTED
        assert house.count("slot") == 1

    async def test_worker_when_it_left_more_than_a_month_ago_then_its_row_goes_and_a_living_or_late_ones_stays(
        self, house: House
    ) -> None:
        left, late, living = [await house.worker(name) for name in ("left", "late", "living")]
        await house.store.retire(worker=left)
        await house.store.retire(worker=late)
        house.silence(left, hours=31 * 24)
        house.silence(late, hours=29 * 24)
        house.silence(living, hours=31 * 24)

        pruned = [await house.store.prune(idempotency_hours=72, limit=10) for _ in range(2)]

        assert pruned == [1, 0]
