"""Hold what every vendor's script does: read what it is asked, do its steps one by one, write what each gave.

Needs the standard library alone, since it runs in the vendors' environments. A step that raises is an answer too: the
class of the error, and what it says. Before it: ``rig``. After it: a script, and ``rig`` again.
"""

import json
import pathlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a script is told: the addresses of the servers by name, and the key that they take."""

    urls: dict[str, str]
    key: str


Step = Callable[[Asked], Any]


def read() -> Asked:
    """Read what the script is told."""
    return Asked(**json.loads(pathlib.Path(sys.argv[1]).read_text()))


def main(*steps: Step) -> None:
    """Do the steps in order and write what each gave, under its name."""
    asked = read()
    said = {step.__name__: _tried(step, asked) for step in steps}
    pathlib.Path(sys.argv[2]).write_text(json.dumps(said))


def _tried(step: Step, asked: Asked) -> Any:
    try:
        return step(asked)
    except Exception as error:  # noqa: BLE001  whatever a package raises is what the test asks for
        return {"raised": type(error).__name__, "words": str(error)}
