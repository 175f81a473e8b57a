"""Steps and workflows of simple shapes, for several test files."""

import heddle


@heddle.step(name="shapes.double", timeout_s=20, memory_bytes=1 << 28)
def double(number: int, *, plus: int = 0) -> int:
    """Give twice the number."""
    return number * 2 + plus


@heddle.step(name="shapes.parts")
def parts() -> dict[str, list[int]]:
    """Give a value that can be taken apart."""
    return {"$a": [1, 2]}


@heddle.workflow(name="shapes.graph")
async def graph(number: int) -> list[int]:
    """Plan everything in one pass."""
    first = double(number)
    second = double(first, plus=1)
    return [first, second, 7]  # type: ignore[return-value]


@heddle.workflow(name="shapes.chain")
async def chain(number: int) -> int:
    """Await twice."""
    first = await double(number)
    return int(await double(first)) + 1
