"""The workflows of the forms test, in a module of its own so that the compute pool's processes can load it."""

import asyncio

import heddle

paint = heddle.model("forms_paint")


@heddle.step(name="forms.even")
async def even(number: int) -> int:
    """Fail for odd numbers."""
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number * 10


@heddle.step(name="forms.numbers")
async def numbers(count: int) -> list[int]:
    """Give even numbers."""
    return list(range(0, 2 * count, 2))


@heddle.step(name="forms.hang", timeout_s=60.0)
async def hang() -> int:
    """Take for ever."""
    await asyncio.sleep(3_600.0)
    return 0


@heddle.step(name="forms.large")
async def large(size_bytes: int) -> str:
    """Give a text of so many bytes."""
    return "x" * size_bytes


@heddle.workflow(name="forms.race")
async def race(number: int) -> dict[str, int]:
    """Race a step against one that hangs, and take what comes first."""
    first = await heddle.first_of([hang(), even(number=number), heddle.sleep(3_600.0)])
    return {"winner": first.winner, "value": first.value}


@heddle.workflow(name="forms.spread")
async def spread(count: int, chunk: int, in_flight_max: int, max_failed: int) -> list[int | None]:
    """Map over the result of a step, as an edge."""
    made = numbers(count=count)
    found: list[int | None] = heddle.map(even, made, chunk=chunk, in_flight_max=in_flight_max, max_failed=max_failed)  # type: ignore[assignment]
    return found


@heddle.workflow(name="forms.spread_odd")
async def spread_odd(given: list[int], max_failed: int) -> list[int | None]:
    """Map over numbers of which some are odd."""
    found: list[int | None] = await heddle.map(even, given, max_failed=max_failed)
    return found


@heddle.workflow(name="forms.spread_wrong")
async def spread_wrong() -> list[int]:
    """Map over what is no list."""
    found: list[int] = await heddle.map(even, even(number=2))
    return found


@heddle.workflow(name="forms.count_down")
async def count_down(left: int, total: int = 0) -> int:
    """Go on as a new run until nothing is left."""
    total += await even(number=2)
    even(number=4)
    if left > 1:
        heddle.continue_as_new(left=left - 1, total=total)
    return total


@heddle.workflow(name="forms.for_a_word")
async def for_a_word(rounds: int = 0) -> str:
    """Go on as a new run every moment, and end with a word."""
    first = await heddle.first_of([heddle.signal("word"), heddle.sleep(0.05)])
    if first.winner == 1:
        heddle.continue_as_new(rounds=rounds + 1)
    return str(first.value)


@heddle.workflow(name="forms.parent")
async def parent(left: int) -> int:
    """Wait for a child that goes on as new runs."""
    return int(await count_down(left=left))


@heddle.workflow(name="forms.gallery")
async def gallery(pictures: int) -> int:
    """Buy pictures."""
    calls = [paint(number=number) for number in range(pictures)]
    return len(await heddle.all_of(calls))


@heddle.workflow(name="forms.two_galleries")
async def two_galleries(pictures: int) -> int:
    """Buy pictures in two children, side by side."""
    return sum(await heddle.all_of([gallery(pictures=pictures), gallery(pictures=pictures)]))


@heddle.workflow(name="forms.hangs_below")
async def hangs_below() -> int:
    """Wait for a child that hangs."""
    return int(await race_of_nothing())


@heddle.workflow(name="forms.race_of_nothing")
async def race_of_nothing() -> int:
    """Hang."""
    return int(await hang())


@heddle.workflow(name="forms.mislabelled")
async def mislabelled() -> list[str]:
    """Return a call whose value is of another type than is declared."""
    return [paint(number=1)]  # type: ignore[list-item]


@heddle.workflow(name="forms.too_many")
async def too_many(count: int) -> int:
    """Call more often than a run may."""
    return len([even(number=2) for _ in range(count)])


@heddle.workflow(name="forms.heavy_items")
async def heavy_items(count: int, size_bytes: int) -> list[str]:
    """Map to results that are too large together."""
    found: list[str] = await heddle.map(large, [size_bytes] * count)
    return found


@heddle.workflow(name="forms.heavy")
async def heavy(size_bytes: int) -> str:
    """Return one result that is too large."""
    return str(await large(size_bytes=size_bytes))


@heddle.workflow(name="forms.without_end")
async def without_end() -> int:
    """Go on for ever."""
    heddle.continue_as_new()
