"""The workflows of the test of children that are stopped with the run above them."""

import heddle

buy = heddle.model("children_buy")
check = heddle.model("children_check")


@heddle.workflow(name="children.portrait")
async def portrait(number: int) -> int:
    """Buy a picture, and wait for somebody to look at it."""
    bought = await buy(number=number)
    await heddle.signal("seen")
    return int(bought["number"])


@heddle.workflow(name="children.album")
async def album(number: int) -> int:
    """Have a portrait made, and check something beside it when told to."""
    made = portrait(number=number)
    await heddle.signal("checked")
    await check(number=number)
    return await made
