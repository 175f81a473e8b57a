"""The workflow of the test of webhooks beside cancel and retry: it fails, hangs or works, as the test says."""

import asyncio

import heddle
from heddle import Retry

MANNERS: dict[int, str] = {}
"""What the work of a number comes to: it fails unless something else is said here."""


@heddle.step(name="hooked.work", timeout_s=60.0, retry=Retry(max_attempts=1))
async def work(number: int) -> int:
    """Do what is said of the number."""
    match MANNERS.get(number, "fail"):
        case "work":
            return number * 10
        case "hang":
            await asyncio.sleep(3_600.0)
    raise ValueError(f"{number} is not to be had")


@heddle.workflow(name="hooked.order")
async def order(number: int) -> int:
    """Wait for the work."""
    return int(await work(number=number))
