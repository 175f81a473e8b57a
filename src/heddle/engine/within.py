"""Tell how much time an attempt has, and bound that of a step that may never wait for anything, without setting a timer
for those that do not.

Used by ``engine.execute``; it decides nothing about what a timeout means.
"""

import asyncio
import functools
import types
from collections.abc import Coroutine, Generator
from typing import Any

from heddle.ports import store

_TIMEOUT_LEAST_S = 0.05


def allowed_s(claimed: store.Claimed, timeout_s: float, *, cleanup_s: float, elapsed_s: float = 0.0) -> float:
    """Give the time one attempt may take, in seconds: its own, at most what is left of the run's since the claim.

    What is claimed after the deadline is the cleanup of a stopping run, which has a time of its own.
    """
    left_s = claimed.deadline_in_s
    if left_s is None:
        return timeout_s
    return max(_TIMEOUT_LEAST_S, min(timeout_s, left_s - elapsed_s if left_s > 0 else cleanup_s))


def remaining_s(claimed: store.Claimed, *, elapsed_s: float) -> float | None:
    """Give what is left of the run's time, in seconds; None when it has no deadline, or is past it and cleans up."""
    left_s = claimed.deadline_in_s
    return None if left_s is None or left_s <= 0 else max(0.0, left_s - elapsed_s)


def is_too_late(claimed: store.Claimed, *, elapsed_s: float) -> bool:
    """Tell whether the run's deadline has passed since the claim, so that nothing may be started any more."""
    return claimed.deadline_in_s is not None and 0 < claimed.deadline_in_s <= elapsed_s


@types.coroutine
def seconds(work: Coroutine[Any, Any, Any], timeout_s: float) -> Generator[Any, Any, Any]:
    """Await a coroutine for at most ``timeout_s`` seconds; raises TimeoutError as ``asyncio.timeout`` does.

    The timer is set when the coroutine first waits for something: setting and dropping one for a step that never waits
    took a sixth of a worker's time (``bench/README.md``).
    """
    try:
        waits_for = work.send(None)
    except StopIteration as ended:
        return ended.value
    return (yield from _until(work, waits_for, timeout_s).__await__())


async def _until(work: Coroutine[Any, Any, Any], waits_for: Any, timeout_s: float) -> Any:
    async with asyncio.timeout(timeout_s):
        return await _resumed(work, waits_for)


@types.coroutine
def _resumed(work: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    """Go on with a coroutine that has been started: hand up what it waits for, hand down what comes."""
    while True:
        try:
            sent = yield waits_for
        except GeneratorExit:
            work.close()
            raise
        except BaseException as error:  # noqa: BLE001 - handed on to the coroutine whole
            resume = functools.partial(work.throw, error)
        else:
            resume = functools.partial(work.send, sent)
        try:
            waits_for = resume()
        except StopIteration as ended:
            return ended.value
