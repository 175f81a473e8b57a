"""Say what is wrong with a page that is asked for. Neighbours: whatever lists things, here and in ``heddle.api``."""

from typing import Final

from heddle.client.admission import InvalidInput
from heddle.client.values import Problem

NO_CURSOR: Final = Problem(
    field="cursor", message="is not a cursor of ours; pass next_cursor of the page before, unchanged"
)


def limit_problems(limit: int, *, page_max: int) -> list[Problem]:
    """List what is wrong with the number of items asked for; nothing from 1 to ``page_max``."""
    return [] if 1 <= limit <= page_max else [Problem(field="limit", message=f"must be from 1 to {page_max}")]


def check_limit(limit: int, *, page_max: int) -> None:
    """Refuse a number of items out of range. Raises InvalidInput."""
    if found := limit_problems(limit, page_max=page_max):
        raise InvalidInput(found)
