"""Register the workflows that are measured; their steps do nothing, so that what is left is the engine's own cost.

Loaded through HEDDLE_WORKFLOWS by the workers and by the process that submits. Nothing here is measured by itself.
"""

import asyncio
import time
from typing import Any

import heddle
from heddle import Retry

MODEL = "bench-model"
CALLS_MAX = 1_000
SHUFFLE_SLOTS = 8
SHUFFLE_SLOT_S = 0.002
SCATTER = 5

answer = heddle.model(MODEL, retry=Retry(max_attempts=2))
answer_slowly = heddle.model("bench-slow-model", retry=Retry(max_attempts=2))
answer_at_once = heddle.model("bench-instant-model", retry=Retry(max_attempts=2))


@heddle.step(name="bench_noop")
async def noop(n: int) -> int:
    """Do nothing."""
    return n


@heddle.step(name="bench_late")
async def late(n: int) -> int:
    """Do nothing, ending in another order than begun: 0 to 14 ms later, neighbours far apart."""
    await asyncio.sleep(n * SCATTER % SHUFFLE_SLOTS * SHUFFLE_SLOT_S)
    return n


@heddle.step(name="bench_total")
async def total(numbers: list[int]) -> int:
    """Add up what eight others gave."""
    return sum(numbers)


@heddle.step(name="bench_stamp")
async def stamp() -> float:
    """Tell when it began, in seconds since 1970: this machine's clock, which the submitting process reads too."""
    return time.time()


@heddle.workflow(name="bench_noop_calls")
async def noop_calls(calls: int) -> int:
    """Make no-op calls, none awaited: one activation plans them all."""
    for n in range(min(calls, CALLS_MAX)):
        noop(n=n)
    return calls


@heddle.workflow(name="bench_chain")
async def chain(n: int) -> Any:
    """Make three calls, each of which takes its value from the one before."""
    return noop(n=noop(n=noop(n=n)))


@heddle.workflow(name="bench_fan_in")
async def fan_in(width: int) -> Any:
    """Make calls that end in any order, and one that takes a value from each."""
    return total(numbers=[late(n=n) for n in range(min(width, CALLS_MAX))])


@heddle.workflow(name="bench_model_calls")
async def model_calls(calls: int) -> int:
    """Make model calls, none awaited."""
    for n in range(min(calls, CALLS_MAX)):
        answer(prompt="a coat in a street in Paris", seed=n)
    return calls


@heddle.workflow(name="bench_slow_model_calls")
async def slow_model_calls(calls: int) -> int:
    """Make model calls that take two seconds each, none awaited."""
    for n in range(min(calls, CALLS_MAX)):
        answer_slowly(prompt="a coat in a street in Paris", seed=n)
    return calls


@heddle.workflow(name="bench_model_fan_in")
async def model_fan_in(width: int) -> Any:
    """Make model calls that end in any order, spread over all endpoints, and one call that takes a value from each."""
    return total(numbers=[answer_at_once(n=n) for n in range(min(width, CALLS_MAX))])


@heddle.workflow(name="bench_stamp")
async def stamped() -> Any:
    """Make one call that tells when it began."""
    return stamp()
