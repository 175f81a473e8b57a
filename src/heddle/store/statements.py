"""Read the named statements of ``store/sql``: one a file, shipped with the worker, so that old and new workers run
beside each other.
"""

import dataclasses
import functools
import pathlib
import re

_FOLDER = pathlib.Path(__file__).parent / "sql"
_PARTITIONED = re.compile(r"(?<!\")\bheddle_(?:run|step|attempt|event)\b")
_PARAMETER = re.compile(r"%\((\w+)\)s")
_INCLUDE = "-- include: "


@functools.cache
def load(name: str) -> str:
    """Give the text of a statement without its heading. Raises FileNotFoundError for a name that is no file.

    A line ``-- include: X`` stands for ``parts/X.sql``: common table expressions that several statements share, so that
    one law is written once.
    """
    lines: list[str] = []
    for line in (_FOLDER / f"{name}.sql").read_text().splitlines():
        if line.startswith(_INCLUDE):
            lines.append(load(f"parts/{line.removeprefix(_INCLUDE)}"))
        elif not line.startswith("--"):
            lines.append(line)
    return "\n".join(lines)


@functools.lru_cache(maxsize=256)
def load_in(name: str, suffix: str) -> str:
    """Give the text of a statement with the durable tables named by the partitions of one week (``_p20261116``).

    A plan over a parent opens every partition each time it runs: with five of them that was half of a settlement's time
    (``bench/README.md``). A table named in double quotes stays the parent: what is asked there is of other weeks too.
    """
    return _PARTITIONED.sub(lambda match: match[0] + suffix, load(name))


@dataclasses.dataclass(frozen=True, slots=True)
class Numbered:
    """Hold a statement as the server reads it, with ``$1, $2, …``, and the names of its parameters in that order."""

    text: str
    names: tuple[str, ...]


@functools.lru_cache(maxsize=512)
def numbered(name: str, suffix: str = "") -> Numbered:
    """Give a statement with numbered parameters, in the partitions of one week where ``suffix`` names one.

    The driver would take apart a text of more than 4,096 characters each time it is sent, which took as long as all the
    rest of sending it.
    """
    text = load_in(name, suffix) if suffix else load(name)
    names = tuple(dict.fromkeys(_PARAMETER.findall(text)))
    places = {each: f"${place}" for place, each in enumerate(names, start=1)}
    return Numbered(_PARAMETER.sub(lambda match: places[match[1]], text).replace("%%", "%"), names)


def names() -> list[str]:
    """List every statement."""
    return sorted(path.stem for path in _FOLDER.glob("*.sql"))
