"""Promises of the store about model calls that take the result of an equal one; see ``store_suite``."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from heddle.core import lanes, plan
from heddle.core.policy import reuse as policy
from heddle.ports import reusing, store
from tests.contract.store_suite import deploy
from tests.races import scene
from tests.races.scene import House

KEY, OTHER_KEY = "a" * 64, "b" * 64


async def looking(house: House, worker: int, **more: Any) -> store.Claimed:
    """Start a run that is one call which looks for an equal one, and lease it."""
    call = scene.call(1, "model", "sent", options=plan.CallOptions(reuse=policy.Reuse()))
    wanted = scene.new_run(house.tenant, workflow="model:sent", call=call, **more)
    await scene.in_thread(lambda: house.doors().submit(wanted))
    lane = lanes.number(plan.LOOK, "sent", 1, wanted.priority.value)
    (claimed,) = await house.claim(worker, lane)
    return claimed


async def look(
    house: House, claimed: store.Claimed, *, key: str | None = KEY, lost: tuple[uuid.UUID, int] | None = None
) -> reusing.Found | None:
    """Look for a call's equal."""
    wanted = reusing.Look(
        lease=scene.ref(claimed),
        tenant_id=claimed.tenant_id,
        model="sent",
        version=1,
        key=key,
        options=policy.Reuse(),
        lost=lost,
    )
    found = await house.store.reuse(looks=[wanted])
    return found[0] if found else None


async def outcome(house: House, claimed: store.Claimed, **more: Any) -> str | None:
    """Look, and give only what it came to."""
    found = await look(house, claimed, **more)
    return None if found is None else found.outcome


async def options_of(house: House, run_id: uuid.UUID) -> Mapping[str, Any]:
    """Give whose result a run's call took."""
    call = (await house.calls(run_id))[1]
    return {"reused_run": call.reused_run, "reused_call": call.reused_call}


class ReuseSuite:
    """What a model's author may rely on who declares that equal inputs give equal results."""

    async def test_look_when_a_call_is_the_first_of_its_kind_then_it_is_in_line_for_its_model(
        self, house: House
    ) -> None:
        deploy(house)
        worker = await house.worker()
        first = await looking(house, worker)

        found = await outcome(house, first)

        assert found == "first"
        assert [item.run_id for item in await house.claim_models(worker, "sent")] == [first.run_id]

    async def test_look_when_an_equal_call_has_ended_then_its_result_is_found_and_said_whose_it_is(
        self, house: House
    ) -> None:
        deploy(house)
        worker = await house.worker()
        first = await looking(house, worker)
        await look(house, first)
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.done(sent, {"picture": 1}))
        second = await looking(house, worker)

        found = await look(house, second)
        await house.settle(scene.done(second, {"picture": 1}, is_local=True))
        view = await house.shown(second.run_id)

        assert found is not None
        assert (found.outcome, found.output, found.run_id) == ("found", {"picture": 1}, first.run_id)
        assert (view.state.value, view.cost_nano_usd) == ("succeeded", 0)
        assert await options_of(house, second.run_id) == {"reused_run": first.run_id, "reused_call": 1}

    async def test_look_when_an_equal_call_is_under_way_then_the_second_waits_and_one_is_paid(
        self, house: House
    ) -> None:
        deploy(house)
        worker = await house.worker()
        first, second = await looking(house, worker), await looking(house, worker)

        found = [await outcome(house, first), await outcome(house, second)]

        assert found == ["first", "under_way"]
        assert [item.run_id for item in await house.claim_models(worker, "sent")] == [first.run_id]

    @pytest.mark.parametrize("end", ["failed", "cancelled"])
    async def test_look_when_the_equal_call_came_to_nothing_then_the_next_goes_on(self, house: House, end: str) -> None:
        deploy(house)
        worker = await house.worker()
        first, second = await looking(house, worker), await looking(house, worker)
        await look(house, first)
        if end == "failed":
            (sent,) = await house.claim_models(worker, "sent")
            await house.settle(scene.faulted(sent))
        else:
            await house.cancel(first.run_id)

        assert await outcome(house, second) == "first"

    async def test_look_when_a_result_came_late_then_it_is_taken_all_the_same(self, house: House) -> None:
        deploy(house)
        worker = await house.worker()
        first = await looking(house, worker)
        await look(house, first)
        (sent,) = await house.claim_models(worker, "sent")
        await house.store.mark_sending(calls=[(sent, "digest")])
        await house.cancel(first.run_id)
        await house.settle(scene.done(sent, "late picture"))
        second = await looking(house, worker)

        found = await look(house, second)

        assert found is not None
        assert (found.outcome, found.output) == ("found", "late picture")

    async def test_look_when_the_artifacts_of_a_result_are_lost_then_the_call_goes_on_in_its_place(
        self, house: House
    ) -> None:
        deploy(house)
        worker = await house.worker()
        first = await looking(house, worker)
        await look(house, first)
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.done(sent, "picture"))
        second, third = await looking(house, worker), await looking(house, worker)
        found = await look(house, second)
        assert found is not None

        outcomes = [
            found.outcome,
            await outcome(house, second, lost=(found.run_id, found.ordinal)),
            await outcome(house, third),
        ]
        in_line = await house.claim_models(worker, "sent")

        assert outcomes == ["found", "first", "under_way"]
        assert [item.run_id for item in in_line] == [second.run_id]
        assert await options_of(house, second.run_id) == {"reused_run": None, "reused_call": None}

    async def test_look_when_a_lost_result_was_made_anew_meanwhile_then_that_one_is_found(self, house: House) -> None:
        deploy(house)
        worker = await house.worker()
        first = await looking(house, worker)
        await look(house, first)
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.done(sent, "picture"))
        second, third = await looking(house, worker), await looking(house, worker)
        await look(house, second, lost=(first.run_id, 1))
        (again,) = await house.claim_models(worker, "sent")
        await house.settle(scene.done(again, "picture"))

        found = await look(house, third, lost=(first.run_id, 1))

        assert found is not None
        assert (found.outcome, found.run_id) == ("found", second.run_id)

    async def test_look_when_a_result_is_too_old_then_it_is_made_anew(self, house: House) -> None:
        deploy(house)
        worker = await house.worker()
        first = await looking(house, worker)
        await look(house, first)
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.done(sent, 1))
        house.outdate_results()
        second = await looking(house, worker)

        assert await outcome(house, second) == "first"

    async def test_look_when_an_equal_call_is_under_way_for_longer_than_results_are_kept_then_it_is_waited_for(
        self, house: House
    ) -> None:
        deploy(house)
        worker = await house.worker()
        first = await looking(house, worker)
        await look(house, first)
        await house.claim_models(worker, "sent")
        house.outdate_results()
        second = await looking(house, worker)

        assert await outcome(house, second) == "under_way"

    async def test_look_when_a_call_took_longer_than_results_are_kept_then_its_result_is_as_young_as_its_end(
        self, house: House
    ) -> None:
        deploy(house)
        worker = await house.worker()
        first = await looking(house, worker)
        await look(house, first)
        (sent,) = await house.claim_models(worker, "sent")
        house.outdate_results()
        await house.settle(scene.done(sent, {"picture": 1}))
        second = await looking(house, worker)

        assert await outcome(house, second) == "found"

    @pytest.mark.parametrize(("verdict", "found"), [("reconcile", "under_way"), ("bury", "first")])
    async def test_look_when_the_outcome_of_an_equal_call_is_unknown_then_it_is_waited_for_while_it_is_asked_after(
        self, house: House, verdict: str, found: str
    ) -> None:
        deploy(house)
        worker = await house.worker()
        first = await looking(house, worker)
        await look(house, first)
        (sent,) = await house.claim_models(worker, "sent")
        await house.store.mark_sending(calls=[(sent, "digest")])
        await house.settle(scene.unsure(sent, verdict=verdict))
        second = await looking(house, worker)

        assert await outcome(house, second) == found

    async def test_look_when_the_input_differs_or_has_no_key_then_nothing_is_shared(self, house: House) -> None:
        deploy(house)
        worker = await house.worker()
        first, second, third = [await looking(house, worker) for _ in range(3)]

        found = [
            await outcome(house, first),
            await outcome(house, second, key=OTHER_KEY),
            await outcome(house, third, key=None),
        ]

        assert found == ["first", "first", "first"]
        assert len(await house.claim_models(worker, "sent")) == 3

    async def test_look_when_the_lease_is_gone_then_nothing_comes_back(self, house: House) -> None:
        deploy(house)
        first = await looking(house, await house.worker())
        await house.cancel(first.run_id)

        assert await look(house, first) is None

    async def test_look_when_the_equal_call_is_of_a_lower_class_and_waits_then_the_higher_goes_on(
        self, house: House
    ) -> None:
        deploy(house)
        worker = await house.worker()
        low = await looking(house, worker, priority=scene.Priority.BATCH)
        await look(house, low)
        high = await looking(house, worker, priority=scene.Priority.INTERACTIVE)

        found = await outcome(house, high)
        batch = store.ModelWish(lane=lanes.number("model", "sent", 1, "batch"), model="sent", share=1.0)
        claim_id = uuid.uuid4()
        still_in_line = await house.store.claim_models(worker=worker, claim_id=claim_id, lanes=[batch], want=9)
        (low_again,) = await house.claim(worker, lanes.number(plan.LOOK, "sent", 1, "batch"))

        assert (found, still_in_line, low_again.run_id) == ("first", None, low.run_id)
        assert await outcome(house, low_again) == "under_way"

    async def test_look_when_the_equal_call_of_a_lower_class_is_on_its_way_then_the_higher_waits_for_it(
        self, house: House
    ) -> None:
        deploy(house)
        worker = await house.worker()
        low = await looking(house, worker, priority=scene.Priority.BATCH)
        await look(house, low)
        batch = store.ModelWish(lane=lanes.number("model", "sent", 1, "batch"), model="sent", share=1.0)
        await house.store.claim_models(worker=worker, claim_id=uuid.uuid4(), lanes=[batch], want=9)
        high = await looking(house, worker, priority=scene.Priority.INTERACTIVE)

        assert await outcome(house, high) == "under_way"

    async def test_retry_when_an_equal_call_is_under_way_by_now_then_the_retried_one_waits_for_it(
        self, house: House
    ) -> None:
        deploy(house)
        worker = await house.worker()
        first, second = await looking(house, worker), await looking(house, worker)
        await look(house, first)
        (sent,) = await house.claim_models(worker, "sent")
        await house.settle(scene.faulted(sent))
        await look(house, second)

        await house.retry(first.run_id)
        in_line = await house.claim_models(worker, "sent")
        (again,) = await house.claim(worker, lanes.number(plan.LOOK, "sent", 1, first.priority))

        assert [item.run_id for item in in_line] == [second.run_id]
        assert again.run_id == first.run_id
        assert await outcome(house, again) == "under_way"
