"""The models of the test of results taken from equal calls."""

import heddle
from heddle import Reuse

draw = heddle.model("reuse_draw", reuse=Reuse(needs=("seed",)))


@heddle.workflow(name="reuse.twice")
async def twice(seed: int) -> list[int]:
    """Ask for the same picture twice at once, and for one of its own."""
    return await heddle.all_of([draw(seed=seed), draw(seed=seed), draw.options(is_fresh=True)(seed=seed)])
