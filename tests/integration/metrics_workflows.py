"""The workflow of the metrics test, in a module of its own so that the compute pool's processes can load it."""

import heddle

shade = heddle.model("metrics_shade")


@heddle.step(name="metrics.double")
def double(number: int) -> int:
    """Take a place of the compute pool."""
    return number * 2


@heddle.workflow(name="metrics.shoot")
async def shoot(number: int) -> int:
    """Call a model, sleep, and call a step, each after the other."""
    shaded = await shade(number=number)
    await heddle.sleep(0.01)
    doubled = await double(number=number)
    return int(shaded["number"]) + int(doubled)
