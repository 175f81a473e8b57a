"""Workflows of different shapes, which the replay properties kill and reorder."""

import dataclasses
import datetime

import heddle

segment = heddle.model("replay.segment")
relight = heddle.model("replay.relight")


@heddle.step(name="replay.score")
def score(images: list[str], threshold: float = 0.5) -> float:
    """Rate pictures by their length, so that more attempts are better ones."""
    return min(1.0, sum(len(image) for image in images) / 100) + threshold * 0


@heddle.step(name="replay.fragile")
def fragile(number: int) -> int:
    """Fail for odd numbers."""
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number * 10


@heddle.step(name="replay.total")
async def total(numbers: list[int]) -> int:
    """Add up."""
    return sum(numbers)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Hold a picture with its parts."""

    picture: str
    layers: list[str]
    made_at: datetime.datetime


@heddle.step(name="replay.sheet")
def sheet(picture: str, made_at: datetime.datetime) -> Sheet:
    """Make a sheet of a picture."""
    return Sheet(picture=picture, layers=[f"{picture}/{index}" for index in range(3)], made_at=made_at)


@heddle.workflow(name="replay.shoot")
async def shoot(photo: str, scenes: list[str]) -> list[str]:
    """Fan out and in, and try again while the score is low."""
    mask = segment(image=photo)
    shots = [relight(image=photo, mask=mask, scene=scene) for scene in scenes]
    for attempt in range(3):
        if await score(images=shots) >= 0.8:
            return shots
        shots = [relight(image=photo, mask=mask, scene=scene, seed=attempt + 1) for scene in scenes]
    return [*shots, "exhausted"]


@heddle.workflow(name="replay.salvage")
async def salvage(numbers: list[int]) -> dict[str, int]:
    """Handle failures one by one, then as a group that tolerates none."""
    done: list[int] = []
    for number in numbers:
        try:
            done.append(await fragile(number))
        except heddle.StepFailed:
            done.append(await fragile(number + 1))
    group = [fragile(number) for number in numbers]
    try:
        tenfold = await heddle.all_of(group)
    except heddle.StepFailed as failed:
        tenfold = [failed.ordinal]
        await total(tenfold)
    tolerant = await heddle.all_of([fragile(number) for number in numbers], max_failed=len(numbers))
    kept = [value for value in tolerant if value is not None]
    return {"sum": total(done + kept), "first": tenfold[0] if tenfold else 0}


@heddle.workflow(name="replay.approve")
async def approve(picture: str, patience_s: float) -> dict[str, object]:
    """Wait for a person and for time, with parts of a result as edges."""
    at = await heddle.now()
    drawn = sheet(picture, made_at=at)
    await heddle.sleep(30.0)
    chance = heddle.random().randrange(1_000_000)
    try:
        verdict = await heddle.signal("art_director", timeout_s=patience_s)
    except heddle.StepFailed:
        verdict = "late"
    later = await heddle.now()
    first = relight(image=drawn.layers[0], mask=None, scene=verdict, seed=chance)
    made_at = await drawn.made_at
    return {"first": first, "rest": drawn["layers"], "waited_s": (later - at).total_seconds(), "made_at": made_at}


@heddle.workflow(name="replay.family")
async def family(numbers: list[int]) -> list[object]:
    """Start child runs and go on when they end, one of them perhaps badly."""
    children = [salvage([number, number + 2]) for number in numbers]
    photo = shoot("p", scenes=["a"])
    first = await children[0] if children else None
    rest = await heddle.all_of(children[1:], max_failed=len(children))
    sums = total([child["sum"] for child in children])
    if heddle.patched("with-photo"):
        return [first, rest, sums, photo[0]]
    return [first, rest, sums]


@heddle.workflow(name="replay.careful")
async def careful(numbers: list[int]) -> int:
    """Clean up when the run is told to stop."""
    opened = [fragile(number * 2) for number in numbers]
    reached = 0
    try:
        for call in opened:
            reached += await call
        await heddle.sleep(60.0)
        reached += await total([reached, *opened])
    except heddle.RunStopping:
        await total([reached])
        fragile(reached + 2)
        raise
    return reached


MODELS = {
    "replay.segment": lambda image: f"mask({image})",
    "replay.relight": lambda image, mask, scene, seed=0: f"{image}+{mask}+{scene}#{seed}",
}


@heddle.workflow(name="replay.race")
async def race(numbers: list[int]) -> list[int]:
    """Take the first that works, twice, and use a loser that may have ended."""
    calls = [fragile(number=number) for number in numbers]
    first = await heddle.first_of(calls, max_failed=len(calls) - 1)
    again = [total(numbers=[first.value, number]) for number in numbers]
    second = await heddle.first_of([*again, heddle.sleep(1.0)], cancel_losers=False)
    kept = await heddle.all_of([calls[1]], max_failed=1)
    return [first.winner, first.value, second.winner, kept[0] or 0]
