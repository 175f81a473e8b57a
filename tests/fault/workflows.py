"""The workflows and steps of the fault tests; real worker processes load this module by HEDDLE_WORKFLOWS.

What must be seen from outside (how often a step ran, by which process) is written as one line to the file FAULT_TRACE
names; appending one short line is atomic.
"""

import asyncio
import contextlib
import ctypes
import os
import sys
import time
from typing import Any

import heddle

paint = heddle.model("paint")
slow_paint = heddle.model("slow_paint")
guess = heddle.model("guess")
write = heddle.model("write")
write_batch = heddle.model("write_batch")
# One for each seller of the crash matrix; tried often, since deaths use tries up.
SELLERS = (
    *("simulator_a", "cog", "simulator_b", "openai_batch", "comfyui", "replicate", "fal", "anthropic", "openai"),
)
PURCHASES = {seller: heddle.model(f"purchase_{seller}", retry=heddle.Retry(max_attempts=20)) for seller in SELLERS}
ONE_TRY = heddle.Retry(max_attempts=1)


def trace(word: str) -> None:
    path = os.environ.get("FAULT_TRACE")
    if path:
        with open(path, "a") as file:  # noqa: PTH123 - one call, one append
            file.write(f"{word} {os.getpid()}\n")


def wait_for_file(path: str, *, most_s: float = 60.0) -> None:
    """Hold a step until its test makes a file, so that no test depends on how long anything takes."""
    until_s = time.monotonic() + most_s
    while not os.path.exists(path) and time.monotonic() < until_s:  # noqa: PTH110
        time.sleep(0.02)


# Steps that do their work


@heddle.step
def add(a: int, b: int) -> int:
    trace(f"add.{a}.{b}")
    return a + b


@heddle.step
async def add_async(a: int, b: int) -> int:
    await asyncio.sleep(0.05)
    return a + b


@heddle.step
def work_sync(number: int, take_s: float) -> int:
    trace(f"sync.{number}")
    time.sleep(take_s)
    return number


@heddle.step
async def work_async(number: int, take_s: float) -> int:
    trace(f"async.{number}")
    await asyncio.sleep(take_s)
    return number


@heddle.step
def held_sync(number: int, gate: str) -> int:
    trace(f"held.{number}")
    wait_for_file(gate)
    return number + os.getpid() * 1_000


@heddle.step
async def held_async(number: int, gate: str) -> int:
    trace(f"held.{number}")
    for _ in range(3_000):
        if os.path.exists(gate):  # noqa: ASYNC240, PTH110 - a thread would outlive the loop that is asked to end
            break
        await asyncio.sleep(0.02)
    return number + os.getpid() * 1_000


@heddle.step
async def held_in_thread(number: int, gate: str) -> int:
    trace(f"held.{number}")
    await asyncio.to_thread(wait_for_file, gate)
    return number


@heddle.step
async def will_not_be_cancelled(number: int, gate: str) -> int:
    trace(f"held.{number}")
    while not os.path.exists(gate):  # noqa: ASYNC240, PTH110 - as a step of an author may
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.02)
    return number


# Steps that behave badly


@heddle.step(retry=ONE_TRY)
def segfaults(number: int) -> int:
    ctypes.string_at(0)
    return number


@heddle.step(retry=ONE_TRY, memory_bytes=128 * 1024 * 1024)
def eats_memory(number: int) -> int:
    return number + len(bytearray(1024**3))


@heddle.step(retry=ONE_TRY, timeout_s=0.5)
def never_returns(number: int) -> int:
    time.sleep(600)
    return number


@heddle.step(retry=ONE_TRY, timeout_s=0.5)
async def never_returns_async(number: int) -> int:
    await asyncio.sleep(600)
    return number


@heddle.step(retry=ONE_TRY)
def prints_garbage(number: int) -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.buffer.write(b"\x00\xff{]" * 100_000)
        stream.flush()
    with contextlib.suppress(OSError):
        os.write(1, os.urandom(100_000))
    return number


@heddle.step(retry=ONE_TRY)
def returns_wrong_type(number: int) -> int:
    return f"not a number but {number}"  # type: ignore[return-value]


@heddle.step(retry=ONE_TRY)
def returns_lock(number: int) -> dict[str, Any]:
    return {"lock": contextlib.ExitStack(), "number": number}


@heddle.step(retry=ONE_TRY)
def returns_too_much(number: int) -> str:
    return "x" * 200_000


@heddle.step(retry=ONE_TRY)
def returns_nul(number: int) -> str:
    return f"before\x00after {number}"


@heddle.step(retry=ONE_TRY)
async def returns_surrogate(number: int) -> str:
    return f"half of a pair: \ud83d {number}"


@heddle.step(retry=ONE_TRY)
async def raises_nul(number: int) -> int:
    raise ValueError(f"before\x00after \ud83d {number}")


@heddle.step(retry=ONE_TRY)
async def raises(number: int) -> int:
    raise ValueError(f"number {number} is not liked")


# Workflows


def hold_the_thread() -> None:
    time.sleep(5)


@heddle.workflow
async def sums(number: int) -> int:
    """Take a sync step, an async one, and an activation between."""
    first = await add(a=number, b=1)
    return add_async(a=first, b=add(a=number, b=2))


@heddle.workflow
async def mixed(number: int, take_s: float) -> dict[str, Any]:
    """Take sync, async and paid steps at once, then one that needs them all."""
    one, two = work_sync(number=number, take_s=take_s), work_async(number=number, take_s=take_s)
    picture = paint(prompt="cup on marble", seed=number, width=64, height=64)
    total = await add(a=one, b=two)
    return {"total": total, "seed": picture["seed"]}


@heddle.workflow
async def pictures(first: int, count: int) -> list[int]:
    """Buy pictures, then do a free step with each."""
    bought = [paint(prompt="cup on marble", seed=first + k, width=64, height=64) for k in range(count)]
    return [add_async(a=one["seed"], b=0) for one in bought]


def _asked(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"number {number}"}]


@heddle.workflow
async def texts(first: int, count: int) -> list[Any]:
    """Buy texts, each by a call of its own."""
    bought = [write(messages=_asked(first + k)) for k in range(count)]
    return [each["usage"]["total_tokens"] for each in bought]


@heddle.workflow
async def text_batches(first: int, count: int) -> list[Any]:
    """Buy texts, each by a batch of its own."""
    bought = [write_batch(requests=[{"messages": _asked(first + k)}]) for k in range(count)]
    return [each["batch"]["request_counts"]["completed"] for each in bought]


@heddle.workflow
async def slow_picture(seed: int) -> int:
    """Buy one picture of a provider that takes its time."""
    return slow_paint(prompt="cup on marble", seed=seed, width=64, height=64)["seed"]


@heddle.workflow
async def guesses(number: int) -> Any:
    """Ask the synchronous endpoint once."""
    return guess(number=number)


@heddle.workflow
async def guesses_nothing(number: int) -> int:
    """Call nothing: how soon it starts is how soon a worker heard of it."""
    return number


@heddle.workflow
async def held(number: int, gate: str) -> int:
    """Hold a sync step."""
    return held_sync(number=number, gate=gate)


@heddle.workflow
async def held_in_loop(number: int, gate: str) -> int:
    """Hold an async step."""
    return held_async(number=number, gate=gate)


@heddle.step
async def one_more(number: int) -> int:
    return number + 1


@heddle.workflow
async def chain_of_three(number: int) -> int:
    """Pass a number through three steps, planned at once."""
    return one_more(number=one_more(number=one_more(number=number)))


@heddle.workflow
async def buys_and_adds(number: int) -> int:
    """Buy a picture and add two numbers, beside each other."""
    picture, added = paint(prompt="a storm", seed=number, width=64, height=64), add_async(a=number, b=1)
    return (await picture)["seed"] + await added


@heddle.workflow
async def sleeps(number: int, sleep_s: float) -> int:
    """Sleep for a while."""
    await heddle.sleep(sleep_s)
    return number


@heddle.workflow
async def holds_a_thread(number: int, gate: str) -> int:
    """Wait in a thread."""
    return held_in_thread(number=number, gate=gate)


@heddle.workflow
async def clings(number: int, gate: str) -> int:
    """Wait, whatever the worker says."""
    return will_not_be_cancelled(number=number, gate=gate)


@heddle.workflow
async def waits(name: str) -> str:
    """Wait for a signal, for ever."""
    return await heddle.signal(name)


@heddle.workflow
async def cleans_up(number: int) -> int:
    """Wait for a signal that never comes; when told to stop, clean up by a call and end."""
    try:
        await heddle.signal("never")
    except heddle.RunStopping:
        await add_async(a=number, b=1)
        raise
    return number


@heddle.workflow
async def cleans_up_for_ever(number: int) -> int:
    """Wait for a signal that never comes; when told to stop, wait for another one."""
    try:
        await heddle.signal("never")
    except heddle.RunStopping:
        await heddle.signal("never_either")
        raise
    return number


@heddle.workflow
async def blocks(number: int) -> int:
    """Hold the activation thread, out of sight of the check at registration."""
    hold_the_thread()
    return number


@heddle.workflow
async def raises_itself(number: int) -> int:
    """Raise in the function, while a call is open."""
    add(a=number, b=1)
    raise LookupError(f"no {number} here")


@heddle.workflow
async def plans_nul(number: int) -> int:
    """Hand a call what the database cannot keep."""
    return add_async(a=number, b=await measured(text=f"a\x00b{number}"))


@heddle.step
async def measured(text: str) -> int:
    return len(text)


@heddle.step
async def follows(number: int, of: Any) -> int:
    trace(f"follows.{number}")
    return number if of is not None else -1


@heddle.workflow
async def purchase(seller: str, number: int, given: dict[str, Any]) -> int:
    """Buy one thing from one seller, and do something with it."""
    return follows(number=number, of=PURCHASES[seller](**given))


def _bad(step_name: str, step: Any) -> None:
    async def run(number: int) -> Any:
        return step(number=number)

    run.__name__ = run.__qualname__ = f"runs_{step_name}"
    heddle.workflow(run)


BAD_STEPS = {
    step.name: step
    for step in (
        segfaults,
        eats_memory,
        never_returns,
        never_returns_async,
        prints_garbage,
        returns_wrong_type,
        returns_lock,
        returns_too_much,
        returns_nul,
        returns_surrogate,
        raises_nul,
        raises,
    )
}
for _name, _step in BAD_STEPS.items():
    _bad(_name, _step)


@heddle.workflow
async def works_async(number: int, take_s: float) -> int:
    """Take one place of a worker's loop for a while."""
    return work_async(number=number, take_s=take_s)
