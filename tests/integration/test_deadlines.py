"""Deadlines and stops reach everything (B18): no call starts after its run's time, none is given more than is left,
those in flight are cut, jobs a provider has are cancelled there, and slots come back when that is known.
"""

import asyncio
import datetime
import time
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from heddle import wiring
from heddle.config import deployment
from heddle.core import attempt, settle
from heddle.core.run import RunState
from heddle.ports import provider, records
from tests import pg
from tests.integration import deadline_workflows, working
from tests.races import invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
RUNS = 12
# Calls that end in a timeout open the breaker of their endpoint; as many are out at most.
OPENS_AFTER = 5
DEADLINE_S = 2.0
assert deadline_workflows.ask.name == "deadlines.ask"


class Silent:
    """Never answer; remember when each call came, how long it was given, and when it was cut."""

    capabilities = provider.Capabilities(
        idempotency=attempt.IdempotencyClass.B, is_paid=True, has_cancel=True, lookup_bound_s=0.0
    )

    def __init__(self) -> None:
        self.sent: list[tuple[uuid.UUID, float, float]] = []
        self.cut: dict[str, float] = {}
        self.ordered: dict[str, float] = {}
        self.cancelled: dict[str, float] = {}
        self.looked_up = 0

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        run_id = uuid.UUID(request.attempt_id.partition("/")[0].partition(".")[0])
        self.sent.append((run_id, time.time(), request.timeout_s))
        if request.model == "deadlines_slow":
            self.ordered[request.attempt_id] = time.time()
            return settle.Accepted(handle=request.attempt_id, poll_after_s=0.2)
        try:
            async with asyncio.timeout(request.timeout_s):
                await asyncio.sleep(3_600.0)
        except TimeoutError:
            return settle.Unknown(message="no answer")
        except asyncio.CancelledError:
            self.cut[request.attempt_id] = time.time()
            raise
        raise AssertionError("it never answers")

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        if handle in self.cancelled:
            fault = scene.faults.StepFault(fault=scene.faults.Fault.CANCELLED, message="stopped as asked")
            return settle.Faulted(fault=fault)
        return settle.StillRunning(poll_after_s=0.2)

    async def lookup(self, request: provider.ProviderRequest) -> settle.Outcome:
        self.looked_up += 1
        return settle.Absent()

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        self.cancelled.setdefault(handle, time.time())
        return True

    async def close(self) -> None:
        """Hold nothing."""


@pytest.fixture(scope="module")
def silent() -> Silent:
    return Silent()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def workers(
    database: pg.Database, tmp_path_factory: pytest.TempPathFactory, silent: Silent
) -> AsyncIterator[pg.Database]:
    folder = tmp_path_factory.mktemp("deadlines")
    with database.connect() as connection:
        house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        house.deploy(
            [scene.endpoint("deadlines_studio"), scene.endpoint("deadlines_jobs")],
            [
                deployment.Route(model="deadlines_hang", endpoint="deadlines_studio"),
                deployment.Route(model="deadlines_slow", endpoint="deadlines_jobs"),
            ],
        )
        async with working.working(*(working.parts_of(database, folder, silent, name=name) for name in ("a", "b"))):
            yield database
        assert not invariants.broken(connection)


@pytest.fixture(autouse=True)
def closed_breakers(workers: pg.Database) -> None:
    """Let the calls that one test leaves hanging not keep the next one's waiting for its breaker."""
    with workers.connect() as connection:
        connection.execute("update heddle_limit_delta set failed = 0, silent = 0")
        connection.execute(
            "update heddle_limit_state set breaker = 'closed', breaker_epoch = breaker_epoch + 1, failures_in_row = 0,"
            " window_ok = 0, window_failed = 0, open_until = null, probe_until = null"
        )


async def slots_are_free(database: pg.Database) -> None:
    """Wait until every slot has come back and nothing is asked about any more."""
    for _ in range(600):
        with database.connect() as connection:
            found = connection.execute(
                "select (select count(*) from heddle_slot) + (select count(*) from heddle_timer)"
            ).fetchone()
        assert found is not None
        if found[0] == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("slots or timers are left")


async def test_deadline_when_a_provider_hangs_then_nothing_starts_after_it_and_nothing_is_given_more_than_is_left(
    workers: pg.Database, silent: Silent
) -> None:
    runs = [await working.submitted("deadlines.ask", {"calls": 50}, deadline_s=DEADLINE_S) for _ in range(RUNS)]

    views = [await working.waited(run_id) for run_id in runs]
    await slots_are_free(workers)

    deadlines = {view.id: view.deadline_at.timestamp() for view in views if view.deadline_at is not None}
    asked = [(deadlines[run_id] - at, given) for run_id, at, given in silent.sent if run_id in deadlines]
    late_s = [_late_s(view) for view in views]
    least_s = min(left for left, _ in asked)
    print(f"B18: {len(views)} runs, {len(asked)} calls, least time left at a start {least_s:.3f} s")
    print(f"B18: ended at most {max(late_s):.3f} s after the deadline")
    assert len(asked) >= OPENS_AFTER
    assert {view.state for view in views} <= {RunState.EXPIRED, RunState.FAILED}
    assert RunState.EXPIRED in {view.state for view in views}
    assert all(left > 0 for left, _ in asked)
    assert all(given <= left + 0.05 for left, given in asked)


def _late_s(view: records.RunView) -> float:
    assert view.finished_at is not None
    assert view.deadline_at is not None
    return (view.finished_at - view.deadline_at).total_seconds()


async def test_cancel_when_a_call_is_in_flight_then_it_is_cut_and_looked_up_before_its_slot_comes_back(
    workers: pg.Database, silent: Silent
) -> None:
    before, looked_up = len(silent.sent), silent.looked_up
    run_id = await working.submitted("deadlines.ask", {"calls": 1})
    await working.until(lambda: len(silent.sent) > before)

    asked_s = time.time()
    await scene.in_thread(lambda: wiring.client().cancel(run_id))
    view = await working.waited(run_id)
    await slots_are_free(workers)

    cut = [at for name, at in silent.cut.items() if name.startswith(str(run_id))]
    assert view.state is RunState.CANCELLED
    print(f"B18: cut {cut[0] - asked_s if cut else -1:.3f} s after the cancel")
    assert silent.looked_up > looked_up
    (step,) = await scene.in_thread(lambda: wiring.client().steps(run_id))
    assert [one.state.value for one in step.attempts] == ["rejected"]


@pytest.mark.parametrize("how", ["cancel", "deadline"])
async def test_stop_when_a_provider_has_jobs_then_each_is_cancelled_there_and_its_slot_comes_back(
    workers: pg.Database, silent: Silent, how: str
) -> None:
    run_id = await working.submitted(
        "deadlines.order", {"calls": 5}, deadline_s=DEADLINE_S if how == "deadline" else None
    )
    await working.until(lambda: sum(name.startswith(str(run_id)) for name in silent.ordered) == 5)

    asked_s = time.time()
    if how == "cancel":
        await scene.in_thread(lambda: wiring.client().cancel(run_id))
    view = await working.waited(run_id)
    await slots_are_free(workers)

    if how == "deadline":
        assert view.deadline_at is not None
        asked_s = view.deadline_at.astimezone(datetime.UTC).timestamp()
    stopped = [at - asked_s for name, at in silent.cancelled.items() if name.startswith(str(run_id))]
    print(f"B18: {len(stopped)} jobs cancelled at the provider, the last {max(stopped):.3f} s after the {how}")
    assert view.state is (RunState.CANCELLED if how == "cancel" else RunState.EXPIRED)
    assert len(stopped) == 5


async def test_race_when_the_loser_is_a_job_then_it_is_cancelled_at_the_provider(
    workers: pg.Database, silent: Silent
) -> None:
    view = await working.ended("deadlines.race", {})
    await slots_are_free(workers)

    assert (view.state, view.output) == (RunState.SUCCEEDED, 1)
    assert any(name.startswith(str(view.id)) for name in silent.cancelled)
