"""Lay rows out in columns for a terminal, or as JSON for a script."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN = "-"
"""What stands for a value that is not there."""


def tell(rows: Sequence[Mapping[str, Any]], *, heads: Sequence[str], is_json: bool) -> None:
    """Print rows: as JSON objects, or under ``heads``, one for each member in the order of the members."""
    if is_json:
        print(json.dumps(rows, indent=2))
        return
    cells = [[UNKNOWN if value is None else str(value) for value in row.values()] for row in rows]
    print(columns(cells, heads=heads))


def columns(rows: Sequence[Sequence[str]], *, heads: Sequence[str] = ()) -> str:
    """Give lines with each column as wide as its widest cell; the last column is not padded."""
    whole = [[line(cell) for cell in row] for row in ([heads, *rows] if heads else rows)]
    if not whole:
        return ""
    widths = [max(len(row[index]) for row in whole) for index in range(len(whole[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in whole]
    return "\n".join(lines)


def line(text: str) -> str:
    """Give text as one line that steers no terminal: what others wrote may hold line ends and escape sequences."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
