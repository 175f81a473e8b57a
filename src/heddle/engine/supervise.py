"""Keep a stage going: run its pass again after a fault, with backoff, counted and logged; wait out a lost store.

The one place where an unforeseen exception of the engine is caught: a stage that died in silence would be a worker
that is up and does nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from heddle.core.policy import backoff
from heddle.engine import parts as parts_module
from heddle.ports import store
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

Written = TypeVar("Written")
_REST_SPREAD = 0.2
_STORE_WAITS = backoff.BackoffOptions(transient_base_s=0.05, cap_s=2.0)


async def forever(parts: parts_module.Parts, stage: str, one_pass: Callable[[], Awaitable[None]]) -> None:
    """Run passes of a stage until cancelled."""
    failures = 0
    while True:
        leave_if_cancelled()
        try:
            await one_pass()
            failures = 0
        except store.StoreLost as error:
            failures += 1
            recorder.count(metrics.STAGE_ERRORS, stage=stage)
            recorder.event(events.DATABASE_LOST, address="", error=error)
            await parts.clock.sleep(_delay_s(parts, failures))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the supervised border: logged, counted, tried again
            failures += 1
            recorder.count(metrics.STAGE_ERRORS, stage=stage)
            recorder.event(events.STAGE_FAILED, stage=stage, error=error)
            await parts.clock.sleep(_delay_s(parts, failures))


async def rest(parts: parts_module.Parts, seconds: float) -> None:
    """Sleep between two passes of a stage that recurs, up to a fifth longer than was said, differently each time.

    Stages that recur every second or every five would else all come at once, over and over, and calls of that moment
    wait behind them.
    """
    await parts.clock.sleep(seconds * (1.0 + _REST_SPREAD * parts.clock.rng.random()))


def leave_if_cancelled() -> None:
    """End a loop whose task was cancelled though the cancellation did not come through.

    The driver answers a cancellation with an error of its own when it comes in the middle of a statement, and
    ``asyncio.wait_for`` of Python 3.11 may swallow one; a loop that only waits for CancelledError would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _delay_s(parts: parts_module.Parts, failures: int) -> float:
    return backoff.delay_s(
        attempt_number=failures, is_throttled=False, retry_after_s=None, rng=parts.clock.rng, options=_STORE_WAITS
    )


async def until_stored(parts: parts_module.Parts, stage: str, write: Callable[[], Awaitable[Written]]) -> Written:
    """Write until the store takes it: what has happened must not be lost, and writing it again is harmless."""
    failures = 0
    while True:
        leave_if_cancelled()
        try:
            return await write()
        except store.StoreLost as error:
            failures += 1
            recorder.count(metrics.STAGE_ERRORS, stage=stage)
            recorder.event(events.DATABASE_LOST, address="", error=error)
            await parts.clock.sleep(_delay_s(parts, failures))
