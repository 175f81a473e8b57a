"""Do the work of workers that have no trouble, until nothing is left."""

import uuid
from collections.abc import Callable, Mapping, Sequence

from heddle.core import lanes, plan, step
from heddle.ports import store
from tests.races import scene

Program = Callable[[plan.Journal], tuple[Sequence[plan.PlannedCall], plan.Ending]]


def finish(journal: plan.Journal) -> tuple[Sequence[plan.PlannedCall], plan.Ending]:
    """End a function wherever it is: with a value, or with the request to stop."""
    return (), scene.returned() if journal.stopping is None else plan.Raised(fault=scene.STOPPED)


async def act(house: scene.House, claimed: Sequence[store.Claimed], programs: Mapping[uuid.UUID, Program]) -> None:
    """Do what a worker without trouble does with what it has claimed."""
    activations = [item for item in claimed if item.purpose == "activate"]
    if activations:
        journals = await house.store.journals(run_ids=[item.run_id for item in activations], outputs_of={})
        writes = []
        for item in activations:
            loaded = journals[item.run_id]
            calls, ending = programs.get(item.run_id, finish)(loaded.journal)
            handled = [
                entry.ordinal for entry in loaded.journal.entries.values() if entry.state is step.StepState.FAILED
            ]
            made = plan.Plan(run_id=item.run_id, calls=tuple(calls), ending=ending, handled=tuple(handled))
            writes.append(store.PlanWrite(plan=made, fence=item.fence, wake_seq=loaded.wake_seq))
        await house.store.write_plans(plans=writes, cleanup_s=scene.CLEANUP_S)
    closings = [(scene.ref(item), "rejected", None) for item in claimed if item.state == "cancelled"]
    if closings:
        await house.store.close_cancelled(closings=closings)
    settled = [scene.done(item) for item in claimed if item.purpose != "activate" and item.state != "cancelled"]
    if settled:
        await house.settle(*settled)


async def drain(
    house: scene.House,
    *,
    wishes: Sequence[store.LaneWish],
    models: Sequence[str],
    programs: Mapping[uuid.UUID, Program] | None = None,
) -> None:
    """Work until nothing is left, taking over what dead workers held; fails after 200 rounds."""
    worker = await house.worker("drainer")
    for _ in range(200):
        house.due_now()
        await house.pump(worker)
        held = house.rows("select run_id, ordinal, fence from heddle_lease")
        await house.store.give_back(
            leases=[store.LeaseRef(run_id=row[0], ordinal=row[1], fence=row[2]) for row in held]
        )
        taken = await house.store.claim_local(worker=worker, claim_id=uuid.uuid4(), lanes=wishes, caps=[50])
        taken += await house.claim_models(worker, *models)
        await act(house, taken, programs or {})
        left = (
            "select (select count(*) from heddle_ready) + (select count(*) from heddle_lease) + (select "
            "count(*) from heddle_timer)"
        )
        if not taken and not house.value(left):
            return
    lines, timers = house.rows("select * from heddle_ready limit 5"), house.rows("select * from heddle_timer limit 5")
    raise AssertionError(f"not drained: {lines} {timers}")


def local_wishes(*steps: str, endpoints: Sequence[str] = ()) -> list[store.LaneWish]:
    """Wish for activations, steps and polls in one group."""
    made = [store.LaneWish(lane=scene.ACTIVATIONS, group=1, purpose="activate", share=1.0)]
    made += [store.LaneWish(lane=scene.step_lane(name), group=1, purpose="execute", share=1.0) for name in steps]
    return made + [store.LaneWish(lane=lanes.of_poll(name), group=1, purpose="poll", share=1.0) for name in endpoints]
