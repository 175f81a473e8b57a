"""Find time zones by their names in the system's tz database. Nothing else reads it."""

import zoneinfo


class ZoneRefused(ValueError):
    """Say that there is no such time zone, in a sentence that follows its name."""


def zone(name: str) -> zoneinfo.ZoneInfo:
    """Give a zone such as ``Europe/Paris``. Raises ZoneRefused."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ZoneRefused(
            f"is {name!r}, which is no time zone of this system; write one such as Europe/Paris"
        ) from error
