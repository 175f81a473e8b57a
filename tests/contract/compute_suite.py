"""The promises of ``ports.compute.Compute``, as tests that every implementation must pass.

A test class inherits from ``ComputeSuite`` and gives the fixture ``subject``: started, of size 2, with
``RESULT_BYTES_MAX`` and ``ARGUMENTS_BYTES_MAX`` as its limits, closed afterwards.
"""

import asyncio
import pathlib
import pickle
import signal
import tempfile
from collections.abc import AsyncIterator

import pytest

from heddle.ports import compute
from tests.contract import compute_steps

ARGUMENTS_BYTES_MAX = 1024 * 1024
RESULT_BYTES_MAX = 1024 * 1024
MEBIBYTE = 1024 * 1024
# Far above what anything here takes; it ends a test that would hang.
PATIENCE_S = 60.0


def call(
    function: str, *, timeout_s: float = PATIENCE_S, memory_bytes: int | None = None, **keywords: object
) -> compute.ComputeCall:
    """Make a call of one of ``compute_steps``."""
    return call_with(function, keywords, timeout_s=timeout_s, memory_bytes=memory_bytes)


def call_with(
    function: str, keywords: dict[str, object], *, timeout_s: float = PATIENCE_S, memory_bytes: int | None = None
) -> compute.ComputeCall:
    """Make a call whose keywords are data of the test."""
    return compute.ComputeCall(
        function=f"{compute_steps.__name__}:{function}",
        arguments=pickle.dumps(keywords),
        timeout_s=timeout_s,
        memory_bytes=memory_bytes,
        label=f"test of {function}",
    )


async def value(subject: compute.Compute, wanted: compute.ComputeCall) -> object:
    """Run a call that is to succeed and return what it returned."""
    outcome = await subject.run(wanted)
    assert isinstance(outcome, compute.ComputeDone), outcome
    return pickle.loads(outcome.value)


class Visit:
    """One step at the gate: it waits to be let through, and its process's end is seen here."""

    def __init__(self, *, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.reader = reader
        self._writer = writer

    def release(self) -> None:
        self._writer.write(b"!")

    async def left(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.reader.read()


class Gate:
    """A socket at which steps announce themselves, so that tests wait for events and never for time."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.visits: asyncio.Queue[Visit] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    async def admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.visits.put_nowait(Visit(pid=int(await reader.readline()), reader=reader, writer=writer))

    async def visit(self) -> Visit:
        async with asyncio.timeout(PATIENCE_S):
            return await self.visits.get()

    def shut(self) -> None:
        for writer in self._writers:
            writer.close()


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    # A socket's path has room for about a hundred characters, fewer than pytest's own folders may need.
    with tempfile.TemporaryDirectory(prefix="gate") as folder:
        made = Gate(str(pathlib.Path(folder) / "gate"))
        server = await asyncio.start_unix_server(made.admit, path=made.path)
        yield made
        server.close()
        made.shut()


async def pids_at_once(subject: compute.Compute, gate: Gate) -> set[int]:
    """Fill every place and return the processes that were there together."""
    tasks = [asyncio.create_task(subject.run(call("meet", path=gate.path))) for _ in range(subject.size)]
    visits = [await gate.visit() for _ in tasks]
    for visit in visits:
        visit.release()
    await asyncio.gather(*tasks)
    return {visit.pid for visit in visits}


class ComputeSuite:
    """Test one implementation."""

    async def test_value_when_a_function_returns_then_it_is_pickled_in_the_outcome(
        self, subject: compute.Compute
    ) -> None:
        outcome = await subject.run(call("add", left=2, right=3))

        assert isinstance(outcome, compute.ComputeDone)
        assert pickle.loads(outcome.value) == 5
        assert outcome.elapsed_s > 0

    async def test_handle_when_it_carries_its_function_then_the_function_runs(self, subject: compute.Compute) -> None:
        assert await value(subject, call("registered")) == "the function behind the handle"

    async def test_exception_when_a_function_raises_then_it_is_told_from_the_authors_code_on(
        self, subject: compute.Compute
    ) -> None:
        outcome = await subject.run(call("fail", message="the light is wrong"))

        assert isinstance(outcome, compute.ComputeRaised)
        assert outcome.error_type == f"{compute_steps.__name__}.OddFault"
        assert outcome.message == "the light is wrong"
        assert "in fail" in outcome.traceback_text
        assert "compute/child.py" not in outcome.traceback_text

    @pytest.mark.parametrize(
        ("function", "keywords", "error_type", "message"),
        [
            ("leave", {"code": 3}, "SystemExit", "3"),
            ("fail_unshowably", {}, f"{compute_steps.__name__}.UnshowableFault", "can not be shown"),
            ("fail", {"message": "x" * 10**6}, f"{compute_steps.__name__}.OddFault", "xxx"),
            ("add", {"left": 1}, "TypeError", "missing 1 required positional argument: 'right'"),
            ("no_such_step", {}, "AttributeError", "the function could not be found"),
            ("_kept", {}, "TypeError", "is a list, which can not be called"),
            ("return_a_lock", {}, "TypeError", "the value of type lock could not be pickled"),
        ],
    )
    async def test_exception_when_anything_is_raised_then_its_type_and_bounded_message_are_told(
        self, subject: compute.Compute, function: str, keywords: dict[str, object], error_type: str, message: str
    ) -> None:
        outcome = await subject.run(call_with(function, keywords))

        assert isinstance(outcome, compute.ComputeRaised)
        assert outcome.error_type == error_type
        assert message in outcome.message
        assert len(outcome.message) + len(outcome.traceback_text) < 20_000

    async def test_arguments_when_they_are_no_pickle_then_that_is_said(self, subject: compute.Compute) -> None:
        spoilt = compute.ComputeCall(
            function=f"{compute_steps.__name__}:add", arguments=b"?", timeout_s=PATIENCE_S, memory_bytes=None, label="t"
        )

        outcome = await subject.run(spoilt)

        assert isinstance(outcome, compute.ComputeRaised)
        assert outcome.message.startswith("the arguments could not be unpickled")

    async def test_time_when_it_is_up_then_the_call_is_ended_and_its_place_comes_back(
        self, subject: compute.Compute, gate: Gate
    ) -> None:
        outcome = await subject.run(call("spin", timeout_s=0.2))

        assert isinstance(outcome, compute.ComputeTimedOut)
        # uvloop counts time in whole milliseconds, so its timers may be early by one.
        assert outcome.elapsed_s > 0.19
        assert len(await pids_at_once(subject, gate)) == subject.size

    @pytest.mark.parametrize(
        ("function", "keywords", "signal_number", "exit_code"),
        [
            ("fault", {}, signal.SIGSEGV, None),
            ("kill_itself", {}, signal.SIGKILL, None),
            ("leave_at_once", {"code": 3}, None, 3),
            ("leave_at_once", {"code": 0}, None, 0),
        ],
    )
    async def test_crash_when_a_process_dies_then_only_its_own_call_ends_and_its_place_comes_back(
        self,
        subject: compute.Compute,
        gate: Gate,
        function: str,
        keywords: dict[str, object],
        signal_number: int | None,
        exit_code: int | None,
    ) -> None:
        neighbour = asyncio.create_task(value(subject, call("meet", path=gate.path)))
        visit = await gate.visit()

        outcome = await subject.run(call_with(function, keywords))

        assert isinstance(outcome, compute.ComputeCrashed)
        assert (outcome.signal_number, outcome.exit_code) == (signal_number, exit_code)
        assert outcome.detail.startswith(f"test of {function}: ")
        visit.release()
        assert await neighbour == visit.pid
        assert len(await pids_at_once(subject, gate)) == subject.size

    async def test_memory_when_a_call_passes_its_cap_then_it_raises_and_the_next_call_is_free_of_it(
        self, subject: compute.Compute
    ) -> None:
        outcome = await subject.run(call("allocate", size_bytes=512 * MEBIBYTE, memory_bytes=128 * MEBIBYTE))

        assert isinstance(outcome, compute.ComputeRaised)
        assert outcome.error_type == "MemoryError"
        assert await value(subject, call("allocate", size_bytes=64 * MEBIBYTE, memory_bytes=128 * MEBIBYTE))
        assert await value(subject, call("allocate", size_bytes=512 * MEBIBYTE))

    @pytest.mark.parametrize(("spare_bytes", "is_done"), [(64, True), (-64, False)])
    async def test_result_when_it_nears_its_limit_then_only_what_passes_it_is_too_large(
        self, subject: compute.Compute, spare_bytes: int, is_done: bool
    ) -> None:
        outcome = await subject.run(call("make", size_bytes=RESULT_BYTES_MAX - spare_bytes))

        assert isinstance(outcome, compute.ComputeDone) == is_done
        assert isinstance(outcome, compute.ComputeTooLarge) != is_done

    async def test_size_when_result_or_arguments_are_too_large_then_both_numbers_are_told(
        self, subject: compute.Compute
    ) -> None:
        result = await subject.run(call("make", size_bytes=10 * RESULT_BYTES_MAX))
        arguments = await subject.run(call("take", value=bytes(2 * ARGUMENTS_BYTES_MAX)))

        assert isinstance(result, compute.ComputeTooLarge)
        assert (result.what, result.limit_bytes) == ("result", RESULT_BYTES_MAX)
        assert result.size_bytes >= 10 * RESULT_BYTES_MAX
        assert isinstance(arguments, compute.ComputeTooLarge)
        assert (arguments.what, arguments.limit_bytes) == ("arguments", ARGUMENTS_BYTES_MAX)
        assert arguments.size_bytes >= 2 * ARGUMENTS_BYTES_MAX

    async def test_cancellation_when_a_call_runs_then_it_is_killed_and_its_place_comes_back(
        self, subject: compute.Compute, gate: Gate
    ) -> None:
        task = asyncio.create_task(subject.run(call("meet", path=gate.path)))
        visit = await gate.visit()

        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        await visit.left()
        assert len(await pids_at_once(subject, gate)) == subject.size

    async def test_cancellation_when_a_call_waits_then_the_running_ones_go_on(
        self, subject: compute.Compute, gate: Gate
    ) -> None:
        running = [asyncio.create_task(value(subject, call("meet", path=gate.path))) for _ in range(subject.size)]
        visits = [await gate.visit() for _ in running]
        waiting = asyncio.create_task(subject.run(call("add", left=1, right=1)))
        await asyncio.sleep(0)

        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting
        for visit in visits:
            visit.release()
        assert set(await asyncio.gather(*running)) == {visit.pid for visit in visits}

    async def test_places_when_there_are_more_calls_then_the_rest_wait_in_order(
        self, subject: compute.Compute, gate: Gate
    ) -> None:
        assert subject.free == subject.size
        tasks = [asyncio.create_task(value(subject, call("meet", path=gate.path))) for _ in range(subject.size)]
        visits = [await gate.visit() for _ in tasks]
        third = asyncio.create_task(value(subject, call("meet", path=gate.path)))
        fourth = asyncio.create_task(value(subject, call("meet", path=gate.path)))
        await asyncio.sleep(0)

        assert subject.free == 0
        assert gate.visits.empty()
        visits[0].release()
        visits.append(await gate.visit())
        visits[-1].release()
        assert await third == visits[-1].pid
        visits.append(await gate.visit())
        for visit in visits:
            visit.release()
        assert await fourth == visits[-1].pid
        await asyncio.gather(*tasks)
        assert subject.free == subject.size

    async def test_close_when_a_call_ends_within_the_drain_then_it_has_its_outcome(
        self, subject: compute.Compute, gate: Gate
    ) -> None:
        task = asyncio.create_task(value(subject, call("meet", path=gate.path)))
        visit = await gate.visit()

        closing = asyncio.create_task(subject.close(PATIENCE_S))
        await asyncio.sleep(0)
        visit.release()

        assert await task == visit.pid
        await closing
        assert subject.free == 0

    async def test_close_when_the_drain_runs_out_then_the_rest_is_killed_and_has_no_outcome(
        self, subject: compute.Compute, gate: Gate
    ) -> None:
        tasks = [asyncio.create_task(subject.run(call("meet", path=gate.path))) for _ in range(subject.size + 1)]
        visits = [await gate.visit() for _ in range(subject.size)]

        await asyncio.gather(subject.close(0), subject.close(PATIENCE_S))

        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, compute.ComputeUnavailable)
        for visit in visits:
            await visit.left()

    async def test_run_when_the_place_is_closed_then_it_is_unavailable(self, subject: compute.Compute) -> None:
        await subject.close(0)

        with pytest.raises(compute.ComputeUnavailable):
            await subject.run(call("add", left=1, right=1))

    async def test_start_when_called_again_then_it_is_refused(self, subject: compute.Compute) -> None:
        with pytest.raises(RuntimeError):
            await subject.start()
