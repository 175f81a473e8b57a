"""A workflow that orders one picture from a model, for the tests of the engine against a vendor's twin."""

from typing import Any

import heddle

flux = heddle.model("twin_flux")


@heddle.workflow(name="twin.picture")
async def picture(prompt: str) -> Any:
    """Order one picture."""
    return await flux(prompt=prompt, output_format="png")
