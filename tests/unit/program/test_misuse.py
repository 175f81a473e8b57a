"""Whatever a workflow may not await is refused with its line, and did not run."""

import asyncio
import concurrent.futures
import contextlib
import gc
import logging
import pathlib
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator

import asgiref.sync
import django.utils.asyncio
import pytest

import heddle
from heddle.core import faults, plan
from heddle.program import registry
from tests.unit.program import journals

RAN: list[str] = []


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    RAN.clear()
    with registry.isolated():
        yield


@heddle.step(name="misuse.noop")
def noop() -> None:
    """Do nothing."""


async def helper(word: str = "helper") -> None:
    """Leave a trace when run."""
    RAN.append(word)


async def in_group() -> None:
    """Use a task group."""
    async with asyncio.TaskGroup() as group:
        group.create_task(helper())


async def in_timeout() -> None:
    """Use a timeout."""
    async with asyncio.timeout(1):
        await noop()


async def on_its_own_loop() -> None:
    """Run a second loop."""
    asyncio.run(helper())


async def on_a_new_loop() -> None:
    """Make a second loop and run it."""
    loop = asyncio.new_event_loop()
    coroutine = helper()
    try:
        loop.run_until_complete(coroutine)
    finally:
        coroutine.close()
        loop.close()


async def called_soon() -> None:
    """Schedule a callback."""
    asyncio.get_running_loop().call_soon(RAN.append, "callback")


async def in_a_tasks_place() -> None:
    """Start a task and forget it."""
    asyncio.create_task(helper())  # noqa: RUF006 - what is tested


async def swallowed() -> None:
    """Use a thread and hide the refusal."""
    with contextlib.suppress(Exception):
        await asyncio.to_thread(RAN.append, "thread")


async def on_another_threads_loop() -> None:
    """Wait for what a thread pool does."""
    future: concurrent.futures.Future[None] = concurrent.futures.Future()
    await asyncio.wrap_future(future)


async def some_awaitable() -> None:
    """Await an object of one's own that yields."""

    class Odd:
        def __await__(self) -> Iterator[object]:
            yield "odd"

    await Odd()


async def in_djangos_thread() -> None:
    """Do what Django's asynchronous queries do."""
    await asgiref.sync.sync_to_async(RAN.append)("query")


async def in_a_query() -> None:
    """Do what Django's synchronous queries do."""
    query()


@django.utils.asyncio.async_unsafe
def query() -> None:
    """Leave a trace when run."""
    RAN.append("query")


Body = Callable[[], Awaitable[object]]
REFUSED: list[tuple[str, Body, str]] = [
    ("asyncio.sleep", lambda: asyncio.sleep(0.1), "await heddle.sleep(seconds)"),
    ("sleep", lambda: asyncio.sleep(0), "await heddle.sleep(seconds)"),
    ("asyncio.gather", lambda: asyncio.gather(helper("1"), helper("2")), "heddle.all_of(calls)"),
    ("asyncio.gather", lambda: asyncio.gather(noop(), noop()), "heddle.all_of(calls)"),
    ("asyncio.TaskGroup", in_group, "make the calls without awaiting them"),
    ("asyncio.timeout", in_timeout, ".options(timeout_s=…)"),
    ("asyncio.wait_for", lambda: asyncio.wait_for(helper(), 1), ".options(timeout_s=…)"),
    ("asyncio.to_thread", lambda: asyncio.to_thread(RAN.append, "thread"), "@heddle.step"),
    ("loop.run_in_executor", lambda: asyncio.get_running_loop().run_in_executor(None, RAN.append, "x"), "@heddle.step"),
    ("asyncio.run", on_its_own_loop, "await the coroutine itself"),
    ("asyncio.run_until_complete", on_a_new_loop, "@heddle.step"),
    ("loop.call_soon", called_soon, "@heddle.step"),
    ("asyncio.create_task", in_a_tasks_place, "make the call without awaiting it"),
    ("asyncio.to_thread", swallowed, "@heddle.step"),
    ("asyncio.wrap_future", on_another_threads_loop, "@heddle.step"),
    ("asgiref.sync_to_async", in_djangos_thread, "@heddle.step"),
    ("the database", in_a_query, "@heddle.step"),
    ("Odd.__await__", some_awaitable, "@heddle.step"),
]


@pytest.mark.parametrize(
    ("name", "body", "form"), REFUSED, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(REFUSED)]
)
def test_foreign_awaitable_when_used_then_it_is_refused_by_name_and_did_not_run(
    name: str, body: Body, form: str
) -> None:
    @heddle.workflow(name="misuse.misuses")
    async def misuses() -> None:
        await body()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()  # what tests before this one have left is not its own
    threads = set(threading.enumerate())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fault = journals.fault_of(journals.first_plan(misuses))
        gc.collect()

    assert fault.fault is faults.Fault.WORKFLOW_MISUSE
    assert fault.where.startswith("tests/unit/program/test_misuse.py:")
    assert f" used {name}, " in fault.message
    assert form in fault.message
    assert RAN == []
    assert set(threading.enumerate()) <= threads


def test_foreign_awaitable_when_refused_then_the_very_line_is_named() -> None:
    async def lined() -> None:
        await helper()
        await asyncio.sleep(0)  # the line

    with pytest.warns(heddle.WorkflowWarning):
        heddle.workflow(name="misuse.lined")(lined)
    fault = journals.fault_of(journals.first_plan(registry.workflow("misuse.lined")))

    line = int(fault.where.rpartition(":")[2])
    assert "# the line" in pathlib.Path(__file__).read_text().splitlines()[line - 1]


async def test_activation_when_run_on_a_thread_with_a_loop_then_the_loop_is_there_again_afterwards() -> None:
    before = asyncio.get_running_loop()

    journals.first_plan(registry.workflow("misuse.fine"))

    assert asyncio.get_running_loop() is before


@heddle.workflow(name="misuse.fine")
async def fine() -> int:
    """Await plain coroutines and use an asynchronous generator: both are fine."""

    async def numbers() -> Iterator[int]:  # type: ignore[misc]
        for number in range(3):
            yield number

    await helper()
    return sum([number async for number in numbers()])  # type: ignore[attr-defined]


def test_workflow_when_it_awaits_its_own_coroutines_then_they_run() -> None:
    planned = journals.first_plan(fine)

    assert RAN == ["helper"]
    assert planned.calls == ()


def test_workflow_when_it_logs_then_nothing_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    @heddle.workflow(name="misuse.logs")
    async def logs() -> None:
        logging.getLogger("author").warning("planning")

    planned = journals.first_plan(logs)

    assert planned.ending == plan.Returned(shape=None, refs=())
    assert caplog.messages == ["planning"]


def test_all_of_when_given_values_then_it_says_which() -> None:
    @heddle.workflow(name="misuse.values")
    async def values() -> None:
        await heddle.all_of([noop(), 3])  # type: ignore[list-item]

    fault = journals.fault_of(journals.first_plan(values))

    assert fault.fault is faults.Fault.WORKFLOW_MISUSE
    assert "item 1 is a int" in fault.message
