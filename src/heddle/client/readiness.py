"""Tell how what a process needs is: a part of the facade. Neighbours: ``facade`` above, the wiring's checks below."""

import dataclasses
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """Tell how something that Heddle needs is: ``problem`` is None when it is well."""

    name: str
    problem: str | None


def look_at(checks: Mapping[str, Callable[[], str | None]]) -> list[Dependency]:
    """Make checks one after the other; whatever one raises is what it found."""
    return [Dependency(name=name, problem=_look(check)) for name, check in checks.items()]


def _look(check: Callable[[], str | None]) -> str | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - readiness is a supervised border: whatever a check raises is what it found
        return f"{type(error).__name__}: {error}"
