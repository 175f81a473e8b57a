"""Virtual time passes only when nobody has anything to do, and stops for whom it is told to stop."""

import asyncio
from collections.abc import Iterator

import pytest

from heddle.testing.simulation import loop as loop_module


@pytest.fixture
def virtual() -> Iterator[loop_module.VirtualLoop]:
    made = loop_module.VirtualLoop()
    yield made
    made.bury([])
    made.close()


def ticking(loop: loop_module.VirtualLoop, process: loop_module.Process, seen: list[float]) -> None:
    """Have a process note the time every second."""

    async def tick() -> None:
        while True:
            seen.append(loop.time())
            await asyncio.sleep(1.0)

    loop.create_task(tick(), context=loop_module.context_of(process))


def test_time_when_everybody_waits_then_it_jumps_to_the_next_timer(virtual: loop_module.VirtualLoop) -> None:
    virtual.run_until_complete(asyncio.sleep(86_400.0))

    assert virtual.time() == pytest.approx(86_400.0)


def test_time_when_nobody_waits_for_any_then_the_loop_says_so(virtual: loop_module.VirtualLoop) -> None:
    with pytest.raises(loop_module.Standstill):
        virtual.run_until_complete(virtual.create_future())


def test_process_when_frozen_then_it_goes_on_later_and_does_not_know(virtual: loop_module.VirtualLoop) -> None:
    process, seen = loop_module.Process("w"), list[float]()
    ticking(virtual, process, seen)
    virtual.run_until_complete(asyncio.sleep(1.5))

    virtual.stop_process(process, loop_module.Life.FROZEN)
    virtual.run_until_complete(asyncio.sleep(10.0))
    virtual.resume(process)
    virtual.run_until_complete(asyncio.sleep(0.1))

    assert seen == pytest.approx([0.0, 1.0, 11.5])
    virtual.bury([process])


def test_process_when_killed_then_not_even_its_cleanup_runs(virtual: loop_module.VirtualLoop) -> None:
    process, seen = loop_module.Process("w"), list[float]()
    ticking(virtual, process, seen)
    virtual.run_until_complete(asyncio.sleep(1.5))

    virtual.stop_process(process, loop_module.Life.DEAD)
    virtual.resume(process)
    virtual.run_until_complete(asyncio.sleep(10.0))

    assert seen == pytest.approx([0.0, 1.0])
    virtual.bury([process])


def test_process_when_its_fuse_burns_down_then_it_stops_between_two_moves(virtual: loop_module.VirtualLoop) -> None:
    process, seen = loop_module.Process("w"), list[float]()
    process.fuse, process.blown = 3, lambda: virtual.stop_process(process, loop_module.Life.DEAD)
    ticking(virtual, process, seen)

    virtual.run_until_complete(asyncio.sleep(10.0))

    assert seen == pytest.approx([0.0, 1.0])
    virtual.bury([process])
