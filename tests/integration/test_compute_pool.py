"""The process pool on real processes: every promise of the port on both event loops, then what is the pool's own."""

import asyncio
import os
import pathlib
import signal
import sys
import threading
from collections.abc import AsyncIterator

import pytest
import uvloop

from heddle.compute import pool
from heddle.ports import compute
from tests.contract import compute_steps, compute_suite
from tests.contract.compute_suite import Gate, call, gate, pids_at_once, value

__all__ = ["gate"]

PATIENCE_S = compute_suite.PATIENCE_S


def options(
    *,
    children: int = 2,
    preload: tuple[str, ...] = (),
    max_calls_per_child: int = 1_000,
    max_waiting: int = 8,
    place_timeout_s: float = PATIENCE_S,
    start_timeout_s: float = PATIENCE_S,
) -> pool.PoolOptions:
    return pool.PoolOptions(
        children=children,
        preload=preload,
        max_calls_per_child=max_calls_per_child,
        max_waiting=max_waiting,
        place_timeout_s=place_timeout_s,
        start_timeout_s=start_timeout_s,
        max_arguments_bytes=compute_suite.ARGUMENTS_BYTES_MAX,
        max_result_bytes=compute_suite.RESULT_BYTES_MAX,
    )


@pytest.fixture(autouse=True)
def without_django(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)


@pytest.fixture
async def subject() -> AsyncIterator[pool.ProcessPool]:
    made = pool.ProcessPool(options())
    await made.start()
    yield made
    await made.close(0)
    assert not made.pids


class TestProcessPool(compute_suite.ComputeSuite):
    """The promises, on asyncio's own loop."""


# The hook that replaces this fixture belongs in a conftest.py and would hold for every test below it.
@pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture:pytest.PytestDeprecationWarning")
class TestProcessPoolOnUvloop(compute_suite.ComputeSuite):
    """The promises, on the loop that workers run."""

    @pytest.fixture
    def event_loop_policy(self) -> uvloop.EventLoopPolicy:
        return uvloop.EventLoopPolicy()

    async def test_loop_when_this_class_runs_then_it_is_uvloops(self) -> None:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


async def test_crash_when_native_code_faults_then_the_detail_shows_the_line(subject: pool.ProcessPool) -> None:
    outcome = await subject.run(call("fault"))

    assert isinstance(outcome, compute.ComputeCrashed)
    assert "SIGSEGV" in outcome.detail
    assert "in fault" in outcome.detail


@pytest.mark.parametrize(
    ("function", "cause"),
    [("close_all_files", "closed its channel"), ("write_noise_to_sockets", "announced a frame of")],
)
async def test_crash_when_a_step_spoils_the_channel_then_its_child_is_replaced(
    subject: pool.ProcessPool, gate: Gate, function: str, cause: str
) -> None:
    outcome = await subject.run(call(function))

    assert isinstance(outcome, compute.ComputeCrashed)
    assert cause in outcome.detail
    assert len(await pids_at_once(subject, gate)) == subject.size


async def test_fork_when_a_step_returns_in_both_copies_then_only_one_answers(subject: pool.ProcessPool) -> None:
    before = subject.pids

    assert await value(subject, call("fork_and_return")) in before
    assert [await value(subject, call("add", left=n, right=1)) for n in range(3)] == [1, 2, 3]
    assert subject.pids == before


async def test_output_when_a_step_prints_then_it_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    subject = pool.ProcessPool(options(children=1))
    await subject.start()

    await value(subject, call("speak", text="measured"))
    await subject.close(0)

    output, errors = capfd.readouterr()
    assert output == ""
    assert errors == "measured\nmeasured by descriptor\n"


async def test_time_when_it_is_up_then_programs_the_step_started_die_too(subject: pool.ProcessPool, gate: Gate) -> None:
    task = asyncio.create_task(subject.run(call("meet_and_hold_the_interpreter", path=gate.path, timeout_s=1.0)))
    visit = await gate.visit()

    assert isinstance(await task, compute.ComputeTimedOut)
    await visit.left()


async def test_signal_when_a_service_manager_stops_the_family_then_the_step_goes_on(
    subject: pool.ProcessPool, gate: Gate
) -> None:
    task = asyncio.create_task(value(subject, call("meet", path=gate.path)))
    visit = await gate.visit()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(visit.pid, number)
    visit.release()

    assert await task == visit.pid


async def test_child_when_it_has_run_its_share_of_calls_then_it_is_replaced() -> None:
    subject = pool.ProcessPool(options(children=1, max_calls_per_child=3))
    await subject.start()

    pids = [await value(subject, call("name_process")) for _ in range(7)]
    await subject.close(0)

    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


async def test_child_when_it_dies_idle_then_it_is_replaced(subject: pool.ProcessPool, gate: Gate) -> None:
    before = await pids_at_once(subject, gate)
    task = asyncio.create_task(value(subject, call("meet_and_keep", path=gate.path)))
    visit = await gate.visit()
    visit.release()
    await task

    os.kill(visit.pid, signal.SIGKILL)
    await visit.left()

    # The pool may still have to hear of it: a call given to the dead child is a crash of that call.
    await subject.run(call("add", left=1, right=1))
    after = await pids_at_once(subject, gate)
    assert len(after) == 2
    assert before - after == {visit.pid}


async def test_environment_when_a_step_looks_then_threads_are_bounded_and_the_path_is_the_operators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", "of-the-operator")
    subject = pool.ProcessPool(options(children=1, preload=("colorsys",)))
    await subject.start()

    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "PYTHONPATH"]
    seen = await value(subject, call("read_environment", names=names))
    is_preloaded = await value(subject, call("is_loaded", module="colorsys"))
    await subject.close(0)

    assert seen == ["1", "1", "1", "of-the-operator"]
    assert is_preloaded is True


async def test_django_when_settings_are_named_then_it_is_set_up_before_the_first_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "settings_of_a_host.py").write_text("SECRET_KEY = 'only for this test'\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "settings_of_a_host")
    subject = pool.ProcessPool(options(children=1))
    await subject.start()

    is_ready = await value(subject, call("tell_whether_django_is_ready"))
    await subject.close(0)

    assert is_ready is True


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("import os; os._exit(4)", "ended before it was ready: it ended with exit code 4"),
        ("import signal; signal.pause()", "was not ready within 1.0 s"),
    ],
)
async def test_start_when_a_child_can_not_prepare_then_the_reason_is_told_and_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, source: str, reason: str
) -> None:
    (tmp_path / "preloaded_by_a_host.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    subject = pool.ProcessPool(options(preload=("preloaded_by_a_host",), start_timeout_s=1.0))

    with pytest.raises(compute.ComputeUnavailable, match=reason):
        await subject.start()

    assert not subject.pids
    assert subject.free == 0


async def test_replacement_when_it_can_not_prepare_then_waiting_calls_are_told_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    preloaded = tmp_path / "spoilt_by_a_host.py"
    preloaded.write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    subject = pool.ProcessPool(options(children=1, preload=("spoilt_by_a_host",), place_timeout_s=0.5))
    await subject.start()
    preloaded.write_text("raise ValueError('spoilt')", encoding="utf-8")

    crashed = await subject.run(call("leave_at_once", code=3))
    with pytest.raises(compute.ComputeUnavailable, match="place_timeout_s"):
        await subject.run(call("add", left=1, right=1))
    await subject.close(0)

    assert isinstance(crashed, compute.ComputeCrashed)
    assert not subject.pids


async def test_queue_when_it_is_full_then_the_next_call_is_refused_at_once(gate: Gate) -> None:
    subject = pool.ProcessPool(options(children=1, max_waiting=1))
    await subject.start()
    running = asyncio.create_task(value(subject, call("meet", path=gate.path)))
    visit = await gate.visit()
    waiting = asyncio.create_task(value(subject, call("add", left=1, right=1)))
    await asyncio.sleep(0)

    with pytest.raises(compute.ComputeUnavailable, match="max_waiting"):
        await subject.run(call("add", left=1, right=1))

    visit.release()
    assert await running == visit.pid
    assert await waiting == 2
    await subject.close(0)


async def test_threads_when_children_run_and_crash_then_the_worker_has_none_more() -> None:
    before = threading.active_count()
    subject = pool.ProcessPool(options())
    await subject.start()

    await subject.run(call("leave_at_once", code=3))
    await value(subject, call("add", left=1, right=1))

    assert threading.active_count() == before
    await subject.close(0)


async def test_run_when_the_pool_is_not_started_then_it_is_unavailable() -> None:
    with pytest.raises(compute.ComputeUnavailable, match="not started"):
        await pool.ProcessPool(options()).run(call("add", left=1, right=1))


WORKER = """
import asyncio, sys
from heddle.compute import pool
from tests.contract.compute_suite import call

async def main() -> None:
    subject = pool.ProcessPool(pool.PoolOptions(children=2))
    await subject.start()
    gate = sys.argv[1]
    await asyncio.gather(*(subject.run(call("meet_and_keep", path=gate)) for _ in range(2)))
    await subject.run(call("meet_and_hold_the_interpreter", path=gate))

asyncio.run(main())
"""


async def test_orphans_when_the_worker_is_killed_then_idle_and_stuck_children_and_their_programs_die(
    gate: Gate,
) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, gate.path, env=environment)
    both = [await gate.visit(), await gate.visit()]
    for visit in both:
        visit.release()
    stuck = await gate.visit()
    assert await stuck.reader.readline() == b"held\n"

    worker.kill()

    for visit in (*both, stuck):
        await visit.left()
    await worker.wait()


@pytest.mark.parametrize(
    ("failures", "delay_s"), [(0, 0.0), (1, 0.0), (2, 0.1), (3, 0.2), (4, 0.4), (7, 3.2), (8, 5.0), (10**6, 5.0)]
)
def test_backoff_when_a_place_keeps_failing_then_it_doubles_to_its_bound(failures: int, delay_s: float) -> None:
    assert pool.backoff_s(failures) == pytest.approx(delay_s)


@pytest.mark.parametrize("children", [0, 1_025])
def test_options_when_out_of_range_then_the_setting_is_named(children: int) -> None:
    with pytest.raises(ValueError, match="children must be between 1 and 1024"):
        pool.PoolOptions(children=children)


@pytest.mark.parametrize(
    ("function", "timeout_s", "memory_bytes", "field"),
    [
        ("no.colon", 1.0, None, "function"),
        (":name", 1.0, None, "function"),
        ("a:b", 0.0, None, "timeout_s"),
        ("a:b", float("inf"), None, "timeout_s"),
        ("a:b", float("nan"), None, "timeout_s"),
        ("a:b", 1.0, 0, "memory_bytes"),
    ],
)
def test_call_when_it_can_not_be_run_then_the_field_is_named(
    function: str, timeout_s: float, memory_bytes: int | None, field: str
) -> None:
    with pytest.raises(ValueError, match=f"^{field} must"):
        compute.ComputeCall(
            function=function, arguments=b"", timeout_s=timeout_s, memory_bytes=memory_bytes, label="test"
        )


def test_steps_when_imported_then_they_are_the_module_that_children_load() -> None:
    assert compute_steps.__name__ == "tests.contract.compute_steps"
