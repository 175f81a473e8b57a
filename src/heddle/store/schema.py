"""Tell whether a database has the schema that this release's statements need.

A release needs the migrations it was shipped with; a database that has more serves it too, since migrations only add
(docs/adr/0003). Neighbours: ``PostgresStore.open`` refuses to go on without; readiness and ``doctor`` name what is
missing; ``heddle migrate`` mends it.
"""

import functools
import pathlib
import re
from collections.abc import Iterable

_NAME = re.compile(r"(\d{4}_\w+)\.py\Z")


@functools.cache
def needed() -> tuple[str, ...]:
    """List the migrations of this release, in order."""
    folder = pathlib.Path(__file__).resolve().parent.parent / "migrations"
    return tuple(sorted(match[1] for path in folder.iterdir() if (match := _NAME.match(path.name))))


def problem(applied: Iterable[str]) -> str | None:
    """Say in one sentence what a database lacks, None when it lacks nothing."""
    held = set(applied)
    missing = [name for name in needed() if name not in held]
    if not missing:
        return None
    known = sorted(held)
    stands = f"the database is at {known[-1]}" if known else "the database has no tables of Heddle"
    return f"{stands} and this release needs {missing[-1]}; run `heddle migrate`"
