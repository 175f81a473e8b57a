"""Bound the time of a step that may never wait for anything, without setting a timer for those that do not.

Used by ``engine.execute`` for async steps; it decides nothing about what a timeout means.
"""

import asyncio
import functools
import types
from collections.abc import Coroutine, Generator
from typing import Any


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
