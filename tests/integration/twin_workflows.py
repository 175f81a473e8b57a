"""A workflow that makes one call of a model, for the tests of the engine against a vendor's twin."""

from typing import Any

import heddle

# More tries than the faults of any seed can use up.
model = heddle.model("twin_model", retry=heddle.Retry(max_attempts=12))


@heddle.workflow(name="twin.call")
async def call(given: dict[str, Any]) -> Any:
    """Call the model once."""
    return await model(**given)
