"""Promises of the store about first activations: written on what their claim saw, their steps leased at once where
nobody waits; see ``store_suite``.
"""

import uuid

from heddle.core import plan
from heddle.core.run import RunState
from heddle.core.step import StepState
from heddle.ports import store
from tests.contract.store_suite import states
from tests.races import scene
from tests.races.scene import House, call, suspended


def offer(worker: int, *names: str, places: int = 10) -> store.Direct:
    """Offer places for steps of these names."""
    lanes = {scene.step_lane(name): 2 for name in names}
    return store.Direct(worker=worker, claim_id=uuid.uuid4(), lanes=lanes, places={2: places})


async def first(house: House, worker: int, run_id: uuid.UUID) -> store.Claimed:
    """Claim the first activation of a run."""
    claimed = await house.claim(worker, scene.ACTIVATIONS, purpose="activate")
    return next(item for item in claimed if item.run_id == run_id)


class DirectSuite:
    """First activations and the steps that their worker takes at once."""

    async def test_claim_when_an_activation_is_the_first_then_it_brings_the_input_and_no_journal_is_needed(
        self, house: House
    ) -> None:
        run_id, worker = (await house.admit(input={"n": 3})).run_id, await house.worker()

        claimed = await first(house, worker, run_id)
        loaded = (await house.store.journals(run_ids=[run_id], outputs_of={}))[run_id]

        assert (claimed.input, claimed.wake_seq) == (loaded.journal.input, loaded.wake_seq)
        assert abs(claimed.now_s - loaded.journal.now_s) < 60
        await house.write(claimed, ending=scene.returned())

    async def test_claim_when_an_activation_is_a_later_one_then_its_journal_must_be_read(self, house: House) -> None:
        run_id, worker = (await house.admit()).run_id, await house.worker()
        await house.begin(run_id, worker, call(1, "step", "a"), ending=suspended(1))
        await house.settle(*[scene.done(item) for item in await house.claim(worker, scene.step_lane("a"))])

        again = await first(house, worker, run_id)

        assert again.wake_seq is None
        await house.write(again, ending=scene.returned(1))

    async def test_write_plans_when_nobody_waits_in_the_lane_then_the_planner_holds_its_steps(
        self, house: House
    ) -> None:
        run_id, worker = (await house.admit()).run_id, await house.worker()
        claimed = await first(house, worker, run_id)

        report = await house.write(
            claimed,
            call(1, "step", "a"),
            call(2, "step", "b", parents=[1]),
            call(3, "step", "c"),
            ending=scene.returned(2),
            direct=offer(worker, "a", "b"),
        )

        (item,) = report.leased
        assert (item.run_id, item.ordinal, item.number, item.purpose, item.name) == (run_id, 1, 1, "execute", "a")
        assert (report.readied, await house.claim(worker, scene.step_lane("a"))) == (1, [])
        held = await house.store.held(worker=worker, grace_s=0.0)
        assert [(ref.ordinal, ref.fence) for ref in held] == [(1, item.fence)]
        await house.settle(scene.done(item))
        assert (await states(house, run_id))[2] is StepState.DUE

    async def test_write_plans_when_somebody_waits_in_the_lane_then_the_new_steps_stand_in_line(
        self, house: House
    ) -> None:
        one, worker = (await house.admit()).run_id, await house.worker()
        await house.begin(one, worker, call(1, "step", "a"), ending=scene.returned())
        other = (await house.admit()).run_id
        claimed = await first(house, worker, other)

        report = await house.write(claimed, call(1, "step", "a"), ending=scene.returned(), direct=offer(worker, "a"))

        assert report.leased == ()
        taken = await house.claim(worker, scene.step_lane("a"))

        assert {item.run_id for item in taken} == {one, other}

    async def test_settle_when_a_successor_becomes_due_then_the_settling_worker_holds_it_with_its_values(
        self, house: House
    ) -> None:
        run_id, worker = (await house.admit()).run_id, await house.worker()
        calls = [
            call(1, "step", "a"),
            call(2, "step", "b"),
            call(3, "step", "c", parents=[1, 2]),
            call(4, "step", "d", parents=[3]),
        ]
        await house.begin(run_id, worker, *calls, ending=scene.returned(4))
        (one,) = await house.claim(worker, scene.step_lane("a"))
        (two,) = await house.claim(worker, scene.step_lane("b"))
        await house.settle(scene.done(one, {"x": [1, None]}))

        report = await house.settle(scene.done(two, "two"), direct=offer(worker, "c"))

        (third,) = report.leased
        assert (third.ordinal, third.number, third.name, third.purpose) == (3, 1, "c", "execute")
        assert third.outputs == {"1": {"x": [1, None]}, "2": "two"}
        assert (third.workflow, third.workflow_version, third.priority) == (one.workflow, 1, one.priority)
        assert (report.readied, await house.claim(worker, scene.step_lane("c"))) == (0, [])
        last = await house.settle(scene.done(third, 3), direct=offer(worker, "c"))
        assert (last.readied, last.leased) == (1, ())
        (fourth,) = await house.claim(worker, scene.step_lane("d"))
        assert fourth.outputs == {"3": 3}
        await house.settle(scene.done(fourth, 4))
        assert (await house.shown(run_id)).state is RunState.SUCCEEDED

    async def test_settle_when_places_run_out_then_the_rest_is_queued(self, house: House) -> None:
        run_id, worker = (await house.admit()).run_id, await house.worker()
        calls = [call(1, "step", "a"), *(call(ordinal, "step", "b", parents=[1]) for ordinal in range(2, 7))]
        await house.begin(run_id, worker, *calls, ending=scene.returned())
        (one,) = await house.claim(worker, scene.step_lane("a"))

        report = await house.settle(scene.done(one), direct=offer(worker, "b", places=2))

        assert ([item.ordinal for item in report.leased], report.readied) == ([2, 3], 3)
        queued = await house.claim(worker, scene.step_lane("b"))
        assert [item.ordinal for item in queued] == [4, 5, 6]
        await house.settle(*map(scene.done, (*report.leased, *queued)))
        assert (await house.shown(run_id)).state is RunState.SUCCEEDED

    async def test_write_plans_when_the_planner_dies_then_its_steps_go_to_another(self, house: House) -> None:
        run_id, dying, other = (await house.admit()).run_id, await house.worker(), await house.worker()
        claimed = await first(house, dying, run_id)
        (item,) = (
            await house.write(claimed, call(1, "step", "a"), ending=scene.returned(), direct=offer(dying, "a"))
        ).leased

        house.silence(dying)
        await house.store.reclaim(lease_s=15.0, margin_s=1.0, limit=100)
        (again,) = await house.claim(other, scene.step_lane("a"))

        late = await house.settle(scene.done(item))
        assert (again.ordinal, late.fenced) == (1, 1)
        await house.settle(scene.done(again))
        assert (await house.shown(run_id)).state is RunState.SUCCEEDED

    async def test_write_plans_when_a_signal_came_after_the_claim_then_it_is_not_lost(self, house: House) -> None:
        run_id, worker = (await house.admit()).run_id, await house.worker()
        claimed = await first(house, worker, run_id)
        await house.signal(run_id, "verdict", "yes")

        calls = (call(1, "step", "a"), call(2, "signal", "verdict"))
        await house.write(claimed, *calls, ending=suspended(2), direct=offer(worker, "a"))
        await house.pump(worker)

        assert (await house.calls(run_id))[2].output == "yes"

    async def test_write_plans_when_the_run_was_cancelled_after_the_claim_then_nothing_is_planned(
        self, house: House
    ) -> None:
        run_id, worker = (await house.admit()).run_id, await house.worker()
        claimed = await first(house, worker, run_id)
        await house.cancel(run_id)

        report = await house.write(claimed, call(1, "step", "a"), ending=suspended(1), direct=offer(worker, "a"))

        assert (report.written, report.leased) == (0, ())
        assert (await house.calls(run_id)) == {}

    async def test_write_plans_when_one_of_a_batch_was_cancelled_then_the_others_are_written(
        self, house: House
    ) -> None:
        run_ids = [(await house.admit()).run_id for _ in range(3)]
        worker = await house.worker()
        claimed = await house.claim(worker, scene.ACTIVATIONS, purpose="activate")
        await house.cancel(run_ids[1])
        writes = [
            store.PlanWrite(
                plan=plan.Plan(run_id=item.run_id, calls=(call(1, "step", "a"),), ending=scene.returned()),
                fence=item.fence,
                wake_seq=item.wake_seq or 0,
                first=item,
            )
            for item in claimed
        ]

        report = await house.store.write_plans(plans=writes, cleanup_s=scene.CLEANUP_S)

        assert report.written == 2
        taken = await house.claim(worker, scene.step_lane("a"))
        assert {item.run_id for item in taken} == {run_ids[0], run_ids[2]}

    async def test_steps_when_a_local_one_succeeds_at_once_then_its_attempt_is_shown(self, house: House) -> None:
        run_id, worker = (await house.admit()).run_id, await house.worker()
        await house.begin(run_id, worker, call(1, "step", "a"), ending=scene.returned())
        await house.settle(*[scene.done(item) for item in await house.claim(worker, scene.step_lane("a"))])

        (shown,) = (await house.calls(run_id))[1].attempts

        assert (shown.number, shown.state.value, shown.worker) == (1, "done", "w")
        assert shown.finished_at is not None
        assert shown.started_at <= shown.finished_at
