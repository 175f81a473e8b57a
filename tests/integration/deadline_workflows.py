"""The workflows of the deadlines test."""

import heddle

hang = heddle.model("deadlines_hang")
slow = heddle.model("deadlines_slow")


@heddle.workflow(name="deadlines.ask")
async def ask(calls: int) -> int:
    """Ask a provider that never answers, one question after the other."""
    for number in range(calls):
        await hang.options(timeout_s=0.7)(number=number)
    return calls


@heddle.workflow(name="deadlines.order")
async def order(calls: int) -> int:
    """Order jobs that never end."""
    return len(await heddle.all_of([slow(number=number) for number in range(calls)]))


@heddle.workflow(name="deadlines.race")
async def race() -> int:
    """Order a job that never ends, and do not wait for it."""
    first = await heddle.first_of([slow(number=1), heddle.sleep(0.3)])
    return first.winner
