"""A coroutine under a time limit whose timer is set only when it waits."""

import asyncio

import pytest

from heddle.engine import within


async def test_seconds_when_the_work_never_waits_then_its_value_is_given_and_no_timer_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> int:
        return 3

    def refuse(_delay_s: float) -> None:
        raise AssertionError("a timer was set")

    monkeypatch.setattr(asyncio, "timeout", refuse)
    assert await within.seconds(work(), 1.0) == 3


async def test_seconds_when_the_work_waits_then_it_goes_on_with_what_it_waited_for() -> None:
    gate: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work() -> int:
        first = await gate
        await asyncio.sleep(0)
        return first + await asyncio.to_thread(lambda: 1)

    task = asyncio.create_task(within.seconds(work(), 30.0))
    await asyncio.sleep(0)
    gate.set_result(3)

    assert await task == 4


async def test_seconds_when_the_time_is_over_then_it_raises_timeout_and_the_work_was_cancelled() -> None:
    seen: list[BaseException] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            seen.append(error)
            raise

    with pytest.raises(TimeoutError):
        await within.seconds(work(), 0.01)
    assert [type(error) for error in seen] == [asyncio.CancelledError]


async def test_seconds_when_its_task_is_cancelled_then_the_work_is_and_may_clean_up() -> None:
    cleaned = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    task = asyncio.create_task(within.seconds(work(), 30.0))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


@pytest.mark.parametrize("waits", [False, True])
async def test_seconds_when_the_work_raises_then_it_is_raised(waits: bool) -> None:
    async def work() -> None:
        if waits:
            await asyncio.sleep(0)
        raise LookupError("no such picture")

    with pytest.raises(LookupError, match="no such picture"):
        await within.seconds(work(), 30.0)
