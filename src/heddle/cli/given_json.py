"""Read the JSON that an option gives: the text itself, `@FILE`, or `-` for standard input.

Refusals are one sentence that names the option; whether the value fits is for the service to say. Before it: commands
that take a value. After it: the client or the API.
"""

import json
import pathlib
import sys
from typing import Any, NoReturn

from heddle.cli import complaints


def read(text: str, *, option: str) -> Any:
    """Give the value. Raises CommandRefused."""
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = pathlib.Path(text[1:]).read_text(encoding="utf-8")
        return json.loads(text, parse_constant=_refuse_constant)
    except (OSError, UnicodeDecodeError) as error:
        raise complaints.CommandRefused(f"{option} cannot be read: {error}") from error
    except ValueError as error:
        raise complaints.CommandRefused(
            f"{option} is not JSON: {error}; text is written with its quotes, as in '\"yes\"'"
        ) from error
    except RecursionError as error:
        raise complaints.CommandRefused(f"{option} is nested too deep; flatten it") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
