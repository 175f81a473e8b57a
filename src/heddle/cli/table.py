"""Lay rows of text out in columns for a terminal."""

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], *, heads: Sequence[str] = ()) -> str:
    """Give lines with each column as wide as its widest cell; the last column is not padded."""
    whole = [list(heads), *rows] if heads else list(rows)
    if not whole:
        return ""
    widths = [max(len(row[index]) for row in whole) for index in range(len(whole[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in whole]
    return "\n".join(lines)
