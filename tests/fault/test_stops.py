"""Work asked to stop by cancel, deadline or drain: calls are cut, what is held comes back, nothing new begins."""

import asyncio
import datetime
import pathlib
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.fault import harness, programs

HANG_S = 60.0


class HangingServer:
    """An endpoint that takes requests and never answers; it notes when its clients go away."""

    def __init__(self) -> None:
        self.arrived = 0
        self.left_at: list[datetime.datetime] = []
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(ready),))
        self._thread.start()
        ready.wait(programs.WAIT_S)

    async def _serve(self, ready: threading.Event) -> None:
        async with await asyncio.start_server(self._hang, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ready.set()
            await self._stop.wait()

    async def _hang(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.arrived += 1
        while await reader.read(65_536):
            pass
        self.left_at.append(datetime.datetime.now(tz=datetime.UTC))
        writer.close()

    def close(self) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=programs.WAIT_S)
        self._loop.close()


@pytest.fixture(scope="module")
def hanging() -> Iterator[HangingServer]:
    server = HangingServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Simulator]:
    """Give a provider whose jobs take longer than any test."""
    with harness.simulator(tmp_path_factory.mktemp("provider"), latency_ms=600_000) as made:
        yield made


@pytest.fixture(scope="module")
def worker(site: harness.Site, hanging: HangingServer, provider: harness.Simulator) -> programs.Program:
    site.configure(
        harness.simulated_endpoint("studio", provider.url, model="slow_paint")
        + f"""
[endpoints.oracle]
adapter = "http"
url = "{hanging.url}"
timeout_s = {HANG_S}
[scopes.oracle]
concurrency = 2
[[routes]]
model = "guess"
endpoint = "oracle"
"""
    )
    return site.start_worker("stopper", FAULT_COMPUTE="none", HEDDLE_CLEANUP_S="1")


def test_cancel_when_a_call_hangs_then_it_is_cut_and_its_slot_comes_back(
    site: harness.Site, worker: programs.Program, hanging: HangingServer
) -> None:
    run_id = site.submit("guesses", number=1)
    programs.until(lambda: hanging.arrived == 1, what="the call is in flight")

    site.doors.cancel(tenant=site.tenant, run_id=run_id)
    asked_at = datetime.datetime.now(tz=datetime.UTC)
    run = site.ended(run_id)[0]
    left_at = programs.until(lambda: hanging.left_at, what="the connection is cut")[0]
    site.until_quiet()

    print(f"cut {(left_at - asked_at).total_seconds():.3f} s after the cancel")
    assert run.state == "cancelled"
    assert (left_at - asked_at).total_seconds() < HANG_S / 2


def test_cancel_when_a_job_was_accepted_then_the_provider_is_asked_to_stop_it_and_its_slot_comes_back(
    site: harness.Site, worker: programs.Program, provider: harness.Simulator
) -> None:
    run_id = site.submit("slow_picture", seed=1)
    site.until_row(
        "select true from heddle_step where run_id = %s and state = 'pending'", [run_id], what="the job is accepted"
    )

    site.doors.cancel(tenant=site.tenant, run_id=run_id)
    run = site.ended(run_id)[0]
    site.until_quiet()

    assert run.state == "cancelled"
    assert provider.cancelled() == 1


def test_deadline_when_it_passes_then_the_run_expires_and_nothing_is_started_after(
    site: harness.Site, worker: programs.Program
) -> None:
    run = site.ended(site.submit("waits", name="never", deadline_s=0.5))[0]

    assert run.state == "expired"
    assert run.deadline_at is not None
    late = site.value(
        "select count(*) from heddle_attempt where run_id = %s and started_at > %s", [run.id, run.deadline_at]
    )
    assert late == 0


def test_deadline_when_the_workflow_cleans_up_then_its_cleanup_runs_and_the_run_expires(
    site: harness.Site, worker: programs.Program
) -> None:
    run = site.ended(site.submit("cleans_up", number=1, deadline_s=0.5))[0]

    assert run.state == "expired"
    assert [(step.name, step.state) for step in site.steps(run.id)] == [
        ("never", "cancelled"),
        ("add_async", "succeeded"),
    ]


def test_deadline_when_the_cleanup_does_not_end_then_its_time_does(
    site: harness.Site, worker: programs.Program
) -> None:
    run = site.ended(site.submit("cleans_up_for_ever", number=1, deadline_s=0.5))[0]

    assert run.state == "expired"
    assert [step.state for step in site.steps(run.id)] == ["cancelled", "cancelled"]


def test_drain_when_asked_then_what_is_held_is_finished_and_nothing_new_is_claimed(
    site: harness.Site, worker: programs.Program, tmp_path: pathlib.Path
) -> None:
    gate = tmp_path / "gate"
    worker.kill()
    drained = site.start_worker("drained", FAULT_COMPUTE="none")
    held = site.submit("held_in_loop", number=1, gate=str(gate))
    site.until_traced("held.1")

    drained.send(signal.SIGTERM)
    programs.until(lambda: drained.said("worker.drain_started"), what="the drain starts")
    new = site.submit("guesses", number=2)
    gate.touch()

    assert drained.exit_code() == 0
    assert site.steps(held)[0].state == "succeeded"
    assert (site.run(new).state, site.steps(new)) == ("queued", [])
    assert site.value("select count(*) from heddle_lease") == 0
    assert site.value("select count(*) from heddle_worker where name = 'drained' and state = 'gone'") == 1
    site.doors.cancel(tenant=site.tenant, run_id=new)


def test_drain_when_its_time_is_over_then_what_is_held_is_given_back(
    site: harness.Site, worker: programs.Program, tmp_path: pathlib.Path
) -> None:
    gate = tmp_path / "gate"
    hurried = site.start_worker("hurried", FAULT_COMPUTE="none", HEDDLE_DRAIN_S="0.2")
    held = site.submit("held_in_loop", number=2, gate=str(gate))
    site.until_traced("held.2")

    hurried.send(signal.SIGTERM)
    code = hurried.exit_code()
    leases = site.value("select count(*) from heddle_lease")
    heir = site.start_worker("heir", FAULT_COMPUTE="none")
    gate.touch()
    run = site.ended(held)[0]
    heir.kill()

    assert (code, leases) == (0, 0)
    assert run.output == 2 + heir.pid * 1_000


@pytest.mark.parametrize(("workflow", "number"), [("holds_a_thread", 31), ("clings", 32)])
def test_drain_when_a_step_cannot_be_stopped_then_its_lease_is_given_back_and_the_worker_ends_all_the_same(
    site: harness.Site, worker: programs.Program, tmp_path: pathlib.Path, workflow: str, number: int
) -> None:
    gate = tmp_path / "gate"
    stuck = site.start_worker("stuck", FAULT_COMPUTE="none", HEDDLE_DRAIN_S="0.2")
    run_id = site.submit(workflow, number=number, gate=str(gate))
    site.until_traced(f"held.{number}")

    stuck.send(signal.SIGTERM)
    code = stuck.exit_code()
    leases = site.value("select count(*) from heddle_lease where run_id = %s", [run_id])
    heir = site.start_worker("heir", FAULT_COMPUTE="none")
    site.until_traced(f"held.{number}", times=2)
    gate.touch()
    run = site.ended(run_id)[0]
    heir.kill()

    assert (code, leases) == (0, 0)
    assert run.output == number
