"""Read the named statements of ``store/sql``: one a file, shipped with the worker, so that old and new workers run
beside each other.
"""

import functools
import pathlib

_FOLDER = pathlib.Path(__file__).parent / "sql"


@functools.cache
def load(name: str) -> str:
    """Give the text of a statement without its heading. Raises FileNotFoundError for a name that is no file."""
    lines = (_FOLDER / f"{name}.sql").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))


def names() -> list[str]:
    """List every statement."""
    return sorted(path.stem for path in _FOLDER.glob("*.sql"))
