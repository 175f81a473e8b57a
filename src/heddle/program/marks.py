"""Write down and read back decisions that depend on *when* calls ended: marks among a plan's patches.

A replay must decide as the first pass did, though more calls have ended since. Three decisions are of this kind:
``$stop.<stop_ordinal>.<await>`` (where the request to stop was raised), ``$failed.<await>.<ordinal>`` (which failure
ended a group early) and ``$first.<await>.<ordinal>`` (which call won ``first_of``). Authors' patches never begin with
``$``. Neighbours: the activation decides, the driver puts the marks in the plan.
"""

from heddle.core import plan

_STOP, _FAILED, _FIRST = "$stop.", "$failed.", "$first."


def stop(journal: plan.Journal, awaits: int) -> str:
    """Write at which await the request to stop was raised."""
    # With the ordinal, so that the mark of a request before a retry is not taken for this one's.
    return f"{_STOP}{journal.stop_ordinal}.{awaits}"


def stopped_at(journal: plan.Journal) -> int | None:
    """Give the await at which this request to stop was raised before, None when it has not been."""
    prefix = f"{_STOP}{journal.stop_ordinal}."
    for mark in journal.patches:
        if mark.startswith(prefix):
            return int(mark.removeprefix(prefix))
    return None


def failed(awaits: int, ordinal: int) -> str:
    """Write which failure ended a group of calls before all of it was over."""
    return f"{_FAILED}{awaits}.{ordinal}"


def failures(patches: frozenset[str]) -> dict[int, int]:
    """Give the failures written down, by await."""
    return _by_await(patches, _FAILED)


def first(awaits: int, ordinal: int) -> str:
    """Write which call won a race."""
    return f"{_FIRST}{awaits}.{ordinal}"


def winners(patches: frozenset[str]) -> dict[int, int]:
    """Give the winners written down, by await."""
    return _by_await(patches, _FIRST)


def _by_await(patches: frozenset[str], prefix: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for mark in patches:
        if mark.startswith(prefix):
            awaits, ordinal = mark.removeprefix(prefix).split(".")
            found[int(awaits)] = int(ordinal)
    return found
