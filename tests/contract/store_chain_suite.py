"""Promises of the store about chains of runs whose first has gone with its week: the id that the caller was given leads
to the newest; see ``store_suite``.
"""

import uuid

import pytest

from heddle.core import plan
from heddle.core.run import RunState
from heddle.ports import doors, records
from tests.contract.store_suite import started
from tests.races import scene
from tests.races.scene import House, call, suspended

ON = plan.Continued(workflow=scene.WORKFLOW, input={}, version=1)


async def chain(house: House, *, links: int) -> tuple[list[uuid.UUID], int]:
    """Let a new run go on as so many others; give them all, and the worker that did it."""
    found, worker = [(await house.admit()).run_id], await house.worker()
    for _ in range(links):
        await house.begin(found[-1], worker, ending=ON)
        following = (await house.shown(found[-1])).continued_as
        assert following is not None
        found.append(following)
    return found, worker


class GoneFirstSuite:
    """What the first id of a chain leads to."""

    async def test_look_when_the_first_run_has_gone_then_its_id_shows_the_newest(self, house: House) -> None:
        (first, _, newest), worker = await chain(house, links=2)
        await house.begin(newest, worker, call(1, "step", "slow"), ending=suspended(1))
        house.forget(first)

        shown, calls, events = await house.shown(first), await house.calls(first), await house.events(first)
        why = await scene.in_thread(lambda: house.doors().why(tenant=house.tenant, run_id=first))

        assert (shown.id, shown.state, shown.continued_last) == (newest, RunState.RUNNING, None)
        assert [view.name for view in calls.values()] == ["slow"]
        assert events == await house.events(newest)
        assert why == await scene.in_thread(lambda: house.doors().why(tenant=house.tenant, run_id=newest))

    async def test_look_when_the_chain_goes_on_after_its_first_run_has_gone_then_that_is_followed(
        self, house: House
    ) -> None:
        (first, newest), worker = await chain(house, links=1)
        house.forget(first)

        await house.begin(newest, worker, ending=ON)
        shown, between = await house.shown(first), await house.shown(newest)

        assert (between.continued_as, between.continued_last) == (shown.id, shown.id)
        assert (shown.continued_from, shown.state) == (newest, RunState.QUEUED)

    async def test_steer_when_the_first_run_has_gone_then_its_id_reaches_the_newest(self, house: House) -> None:
        (first, _, newest), worker = await chain(house, links=2)
        house.forget(first)

        await house.signal(first, "word", "heard")
        await house.begin(newest, worker, call(1, "signal", "word"), ending=suspended(1))
        await house.pump(worker)
        heard = (await house.calls(newest))[1].output
        is_cancelled = await house.cancel(first)

        assert (heard, is_cancelled) == ("heard", True)
        assert (await house.shown(newest)).cancel_requested_at is not None

    async def test_retry_when_the_first_run_has_gone_then_its_id_retries_the_newest(self, house: House) -> None:
        (first, newest), worker = await chain(house, links=1)
        await house.begin(newest, worker, ending=scene.raised())
        house.forget(first)

        await house.retry(first)

        assert (await house.shown(newest)).state is RunState.RUNNING

    async def test_look_when_the_newest_run_has_gone_too_then_there_is_no_such_run(self, house: House) -> None:
        (first, newest), worker = await chain(house, links=1)
        await house.begin(newest, worker, ending=scene.returned())
        house.forget(first)
        house.forget(newest)

        with pytest.raises(doors.RunMissing, match=str(first)):
            await house.shown(first)
        with pytest.raises(doors.RunMissing, match=str(first)):
            await house.cancel(first)

    async def test_look_when_another_tenant_asks_for_a_chain_whose_first_has_gone_then_there_is_no_such_run(
        self, house: House
    ) -> None:
        (first, newest), _ = await chain(house, links=1)
        house.forget(first)
        stranger: records.Tenant = await scene.in_thread(lambda: house.doors().tenant(name="stranger"))
        house.tenant, owner = stranger, house.tenant

        try:
            for ask in (house.shown, house.calls, house.events, house.cancel, house.retry):
                with pytest.raises(doors.RunMissing):
                    await ask(first)
            with pytest.raises(doors.RunMissing):
                await house.signal(first, "word")
        finally:
            house.tenant = owner
        assert (await house.shown(newest)).cancel_requested_at is None

    async def test_look_when_a_run_of_its_own_has_gone_then_there_is_no_such_run(self, house: House) -> None:
        run_id, worker = await started(house, ending=scene.returned())
        house.forget(run_id)

        with pytest.raises(doors.RunMissing, match=str(run_id)):
            await house.shown(run_id)
        assert worker
