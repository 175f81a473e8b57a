"""Workflows that come to wait for one thing each, for the tests of ``why``."""

import asyncio

import heddle

slow_model = heddle.model("why_model")
unrouted = heddle.model("why_unrouted")
GATES: dict[int, asyncio.Event] = {}
TRIES: dict[int, int] = {}


@heddle.step(name="why.busy")
async def busy(number: int, take_s: float) -> int:
    """Take a place for a while."""
    await asyncio.sleep(take_s)
    return number


@heddle.step(name="why.gated")
async def gated(number: int) -> int:
    """Hold a place until the test says otherwise."""
    await asyncio.wait_for(GATES.setdefault(number, asyncio.Event()).wait(), 60.0)
    return number


@heddle.step(name="why.stumbling", retry=heddle.Retry(max_attempts=3))
async def stumbling(number: int) -> int:
    """Fail once, in a way that is tried again."""
    TRIES[number] = TRIES.get(number, 0) + 1
    if TRIES[number] == 1:
        raise RuntimeError("not now")
    return number


@heddle.workflow(name="why.step")
async def takes_a_step(number: int, take_s: float, count: int) -> list[int]:
    """Take steps side by side."""
    return [busy(number=number + k, take_s=take_s) for k in range(count)]


@heddle.workflow(name="why.held")
async def is_held(number: int) -> int:
    """Hold a step."""
    return gated(number=number)


@heddle.workflow(name="why.stumbles")
async def stumbles(number: int) -> int:
    """Take a step that is tried again."""
    return stumbling(number=number)


@heddle.workflow(name="why.asks")
async def asks(name: str, timeout_s: float) -> str:
    """Wait for a signal."""
    return str(await heddle.signal(name, timeout_s=timeout_s))


@heddle.workflow(name="why.sleeps")
async def sleeps(sleep_s: float) -> int:
    """Sleep."""
    await heddle.sleep(sleep_s)
    return 1


@heddle.workflow(name="why.calls")
async def calls(number: int) -> dict[str, int]:
    """Call the model once."""
    return slow_model(number=number)


@heddle.workflow(name="why.lost")
async def lost(number: int) -> dict[str, int]:
    """Call a model that nothing serves."""
    return unrouted(number=number)


@heddle.workflow(name="why.parent")
async def parent(name: str) -> str:
    """Wait for a child that waits for a signal."""
    return asks(name=name, timeout_s=600.0)


@heddle.workflow(name="why.tidies")
async def tidies(number: int) -> int:
    """Clean up by a held step when asked to stop."""
    try:
        await heddle.signal("never")
    except heddle.RunStopping:
        await gated(number=number)
        raise
    return number
