"""Say what is wrong with a page that is asked for, and after what the next one begins. Neighbours: whatever lists
things, here and in the doors.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from heddle.client.admission import InvalidInput
from heddle.client.values import Problem

Item = TypeVar("Item")
Mark = TypeVar("Mark")

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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Item, Mark]):
    """Hold one page of a list. ``following``: after which the next page begins; None: this is the last."""

    items: Sequence[Item]
    following: Mark | None


def read(
    look: Callable[[Mark, int], Sequence[Item]], *, start: Mark, limit: int, mark_of: Callable[[Item], Mark]
) -> Page[Item, Mark]:
    """Read the page of at most ``limit`` items that begins after ``start``; behind a full one, look for one item more.

    look: gives at most so many items after a mark. mark_of: gives the mark of an item. A page that is the last and
    exactly full leads to no other; what comes to be behind it later is in no page of this walk.
    """
    found = look(start, limit)
    if not found or len(found) < limit:
        return Page(items=found, following=None)
    last = mark_of(found[-1])
    return Page(items=found, following=last if look(last, 1) else None)
