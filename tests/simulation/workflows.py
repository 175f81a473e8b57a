"""The workflows of the simulation: every form the engine has, each with a result that can be told beforehand.

``KINDS`` says, by name, how an input is drawn, what the run must give, and in which states it may end when nobody
stops it.
"""

import asyncio
import dataclasses
import random
from collections.abc import Callable
from typing import Any

import heddle
from heddle import Retry
from heddle.core.policy import backoff

PATIENT = Retry(max_attempts=20, waits=backoff.BackoffOptions(transient_base_s=0.1, cap_s=2.0))
# In seconds of the day: houses are built from its beginning, and stopped again and again till then.
BALKS_UNTIL_S = 12.0
ALWAYS = frozenset({"succeeded"})

paint_a = heddle.model("sim_paint_a", retry=PATIENT)
paint_b = heddle.model("sim_paint_b", retry=PATIENT)
guess_c = heddle.model("sim_guess_c", retry=PATIENT)
guess_again_c = heddle.model("sim_guess_again_c", retry=PATIENT)
describe = heddle.model("sim_describe", retry=PATIENT)
share_b = heddle.model("sim_share_b", retry=PATIENT, reuse=heddle.Reuse(needs=("number",)))
SHARED_NUMBERS = 3


def painted(number: int) -> int:
    """Give what every scripted provider makes of a number."""
    return number * 1_000 + 7


@heddle.step(retry=PATIENT)
def sim_add(a: int, b: int) -> int:
    return a + b


@heddle.step(retry=PATIENT)
async def sim_double(number: int) -> int:
    return 2 * number


@heddle.step(retry=PATIENT)
def sim_total(numbers: list[int]) -> int:
    return sum(numbers)


@heddle.step(retry=Retry(max_attempts=2, waits=backoff.BackoffOptions(transient_base_s=0.1, cap_s=1.0)))
async def sim_refuse(number: int) -> int:
    raise ValueError(f"{number} is never liked")


@heddle.workflow
async def sim_chain(number: int, length: int) -> int:
    """Await one step after the other."""
    value = number
    for _ in range(length):
        value = await sim_add(a=value, b=1)
    return value


@heddle.workflow
async def sim_fan(count: int) -> int:
    """Plan everything at once: a fan-out, a fan-in, a step after it."""
    doubled = [sim_double(number=number) for number in range(count)]
    return sim_add(a=sim_total(numbers=doubled), b=1)


@heddle.workflow
async def sim_gallery(first: int, count: int) -> int:
    """Buy pictures of two kinds of provider, and add them up."""
    bought = [(paint_a if k % 2 else paint_b)(number=first + k) for k in range(count)]
    return sim_total(numbers=[each["value"] for each in bought])


@heddle.workflow
async def sim_edit(number: int) -> int:
    """Buy, look, buy again with what came."""
    first = await paint_b(number=number)
    text = await describe(number=number)
    second = await paint_a(number=number + 1)
    return first["value"] + second["value"] + text["value"]


@heddle.workflow
async def sim_once(number: int) -> int:
    """Ask a provider that can be asked neither twice nor afterwards."""
    return guess_c(number=number)["value"]


@heddle.workflow
async def sim_again(number: int) -> int:
    """Ask such a provider, paying twice when that cannot be known."""
    return guess_again_c(number=number)["value"]


@heddle.workflow
async def sim_approval(number: int) -> int:
    """Wait for somebody, then buy, or give up."""
    try:
        verdict = await heddle.signal("verdict", timeout_s=20.0)
    except heddle.StepFailed:
        return -1
    return (await paint_a(number=number))["value"] if verdict == "yes" else 0


@heddle.workflow
async def sim_sleeper(seconds: float) -> int:
    """Sleep beside other work."""
    rest, sum_ = heddle.sleep(seconds), sim_add(a=1, b=2)
    await rest
    return await sum_


@heddle.workflow
async def sim_family(first: int, count: int) -> int:
    """Have children, and take what they give."""
    children = [sim_chain(number=first + k, length=2) for k in range(count)]
    galleries = sim_gallery(first=first, count=2)
    return sim_total(numbers=[*children, galleries])


@heddle.step(retry=Retry(max_attempts=1))
async def sim_balk(number: int) -> int:
    """Fail until some of the day is over."""
    if asyncio.get_running_loop().time() < BALKS_UNTIL_S:
        raise ValueError(f"{number} is not liked yet")
    return number


@heddle.workflow
async def sim_house(number: int) -> int:
    """Have a child that buys, and fail beside it."""
    edited = sim_edit(number=number)
    await sim_balk(number=number)
    return await edited


@heddle.workflow
async def sim_handled(number: int) -> int:
    """Live with a failure, and with what is skipped because of it."""
    refused = sim_refuse(number=number)
    skipped = sim_add(a=refused, b=1)
    try:
        return await skipped
    except heddle.StepFailed:
        try:
            await refused
        except heddle.StepFailed:
            return number


@heddle.workflow
async def sim_tidy(number: int) -> int:
    """Clean up when it is stopped."""
    try:
        await heddle.sleep(12.0)
    except heddle.RunStopping:
        await sim_add(a=number, b=1)
        raise
    return number


@heddle.workflow
async def sim_capped(first: int, count: int) -> int:
    """Buy until the money is spent, and count what came."""
    bought = await heddle.all_of([paint_a(number=first + k) for k in range(count)], max_failed=count)
    return sum(1 for each in bought if each is not None)


@heddle.workflow
async def sim_race(number: int) -> int:
    """Take the picture that comes first, or give up; the others are not wanted any more."""
    first = await heddle.first_of([paint_a(number=number), paint_b(number=number), heddle.sleep(4.0)])
    return first.value["value"] if first.value is not None else -1


@heddle.workflow
async def sim_rows(count: int) -> int:
    """Do the same with every item."""
    doubled = heddle.map(sim_double, list(range(count)), chunk=3, in_flight_max=2)
    return sim_total(numbers=doubled)


@heddle.workflow
async def sim_onward(left: int, total: int) -> int:
    """Go on as a new run until nothing is left."""
    total = await sim_add(a=total, b=left)
    if left > 0:
        heddle.continue_as_new(left=left - 1, total=total)
    return total


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Say how a workflow's input is drawn and what it must give (``right``: of input and output).

    ``late``: what it may give besides when its run has a deadline, near which no call is tried again.
    """

    draw: Callable[[random.Random], dict[str, Any]]
    right: Callable[[dict[str, Any], Any], bool]
    may_end: frozenset[str] = ALWAYS
    needs_deadline: bool = False
    late: tuple[int, ...] = ()
    max_cost_nano_usd: int | None = None


PRICE_NANO_USD = 1_000_000
CAPPED_AT = 3


def _number(rng: random.Random) -> dict[str, Any]:
    return {"number": rng.randrange(1_000)}


def _counted(low: int, high: int) -> Callable[[random.Random], dict[str, Any]]:
    return lambda rng: {"first": rng.randrange(1_000), "count": rng.randint(low, high)}


def _gallery(first: int, count: int) -> int:
    return sum(painted(first + k) for k in range(count))


def _family(given: dict[str, Any]) -> int:
    first, count = given["first"], given["count"]
    return sum(first + k + 2 for k in range(count)) + _gallery(first, 2)


def _edit(number: int) -> int:
    return painted(number) * 2 + painted(number + 1)


KINDS: dict[str, Kind] = {
    "sim_chain": Kind(
        draw=lambda rng: {"number": rng.randrange(1_000), "length": rng.randint(1, 6)},
        right=lambda given, found: found == given["number"] + given["length"],
    ),
    "sim_fan": Kind(
        draw=lambda rng: {"count": rng.randint(1, 10)},
        right=lambda given, found: found == given["count"] * (given["count"] - 1) + 1,
    ),
    "sim_gallery": Kind(
        draw=_counted(1, 5), right=lambda given, found: found == _gallery(given["first"], given["count"])
    ),
    "sim_edit": Kind(draw=_number, right=lambda given, found: found == _edit(given["number"])),
    "sim_once": Kind(
        draw=_number,
        right=lambda given, found: found == painted(given["number"]),
        may_end=frozenset({"succeeded", "expired"}),
        needs_deadline=True,
    ),
    "sim_again": Kind(draw=_number, right=lambda given, found: found == painted(given["number"])),
    "sim_approval": Kind(draw=_number, right=lambda given, found: found in (-1, 0, painted(given["number"]))),
    "sim_sleeper": Kind(draw=lambda rng: {"seconds": rng.random() * 8}, right=lambda _given, found: found == 3),
    "sim_family": Kind(draw=_counted(1, 3), right=lambda given, found: found == _family(given)),
    "sim_handled": Kind(draw=_number, right=lambda given, found: found == given["number"]),
    "sim_tidy": Kind(draw=_number, right=lambda given, found: found == given["number"]),
    "sim_race": Kind(draw=_number, right=lambda given, found: found in (-1, painted(given["number"]))),
    "sim_rows": Kind(
        draw=lambda rng: {"count": rng.randint(1, 12)},
        right=lambda given, found: found == given["count"] * (given["count"] - 1),
    ),
    "sim_onward": Kind(
        draw=lambda rng: {"left": rng.randint(0, 3), "total": 0},
        right=lambda given, found: found == given["left"] * (given["left"] + 1) // 2,
    ),
    "sim_capped": Kind(
        draw=_counted(2, 5),
        right=lambda given, found: 0 < found <= min(given["count"], CAPPED_AT),
        late=(0,),
        max_cost_nano_usd=CAPPED_AT * PRICE_NANO_USD,
    ),
}

# Calls without a workflow around them; those of the second take each other's results.
DIRECT: dict[str, Kind] = {
    "model:sim_paint_a": Kind(draw=_number, right=lambda given, found: found["value"] == painted(given["number"])),
    "model:sim_share_b": Kind(
        draw=lambda rng: {"number": rng.randrange(SHARED_NUMBERS)},
        right=lambda given, found: found["value"] == painted(given["number"]),
    ),
}

# Runs whose function fails beside an open child, until they are tried again late enough.
HOUSES: dict[str, Kind] = {
    "sim_house": Kind(draw=_number, right=lambda given, found: found == _edit(given["number"])),
}
