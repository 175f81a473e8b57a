"""Keep what the long tests measured: one line for each bar, on the screen at the end, and in a file that
`docs/reliability.md` takes its table from.

`python -m tests.fault.figures` shows the newest figure of each bar; with `--write` it puts them into the page.
"""

import argparse
import json
import os
import pathlib
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE = ROOT / ".heddle" / "reliability.jsonl"
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- begin figures -->", "<!-- end figures -->"
SHOWN: list[str] = []
Test = TypeVar("Test", bound=Callable[..., None])


def is_full() -> bool:
    """Tell whether the bars' own lengths are asked for (`make test-fault FULL=1`)."""
    return os.environ.get("FAULT_FULL") == "1"


def scaled(*, short: int, full: int) -> int:
    """Give how much of something to do: a taste of it inside `make test`, or what the bar says."""
    return full if is_full() else short


def in_form(*, full: bool) -> Callable[[Test], Test | None]:
    """Keep a test of the form that was asked for; the other form has tests of its own."""
    return lambda test: test if is_full() is full else None


def note(bar: str, *, seed: int, broken: Sequence[str] = (), **measured: Any) -> None:
    """Keep the figures of one bar, and show them in one line. ``broken``: what did not hold."""
    shown = " ".join(f"{name}={_shown(value)}" for name, value in measured.items())
    line = f"{bar} {'full' if is_full() else 'short'} seed={seed} {shown}{' BROKEN' if broken else ''}"
    print(f"figure {line}")
    SHOWN.append(line)
    entry = {
        "bar": bar, "is_full": is_full(), "seed": seed, "measured": measured, "broken": list(broken),
        "at": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    FILE.parent.mkdir(exist_ok=True)
    with FILE.open("a") as file:
        file.write(json.dumps({**entry, "machine": machine()}) + "\n")


def held(bar: str) -> Mapping[str, Any] | None:
    """Give what was measured of a bar at its own length when nothing was broken, for a run that goes on
    where another ended (FAULT_RESUME=1); None: it has to be measured.
    """
    if os.environ.get("FAULT_RESUME") != "1":
        return None
    entry = _newest().get((bar, True))
    return None if entry is None or entry.get("broken") else entry["measured"]


def machine() -> str:
    """Describe this machine in one line."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {system}"


def _shown(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _newest() -> dict[tuple[str, bool], dict[str, Any]]:
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    return {(entry["bar"], entry["is_full"]): entry for entry in map(json.loads, lines)}


def table() -> str:
    """Give the newest figure of each bar and length as a table."""
    rows = ["| Bar | Length | Figures | Seed | When, where |", "| --- | --- | --- | --- | --- |"]
    for (bar, is_long), entry in sorted(_newest().items(), key=lambda item: (int(item[0][0].split()[0][1:]), item[0])):
        shown = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in entry["measured"].items())
        where = f"{entry['at']}, {entry['machine']}"
        rows.append(f"| {bar} | {'full' if is_long else 'short'} | {shown} | {entry['seed']} | {where} |")
    return "\n".join(rows)


def main() -> int:
    """Show the table, or write it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.figures")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    given = parser.parse_args()
    print(table())
    if given.write:
        text = PAGE.read_text()
        head, tail = text.split(BEGIN)[0], text.split(END)[1]
        PAGE.write_text(f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
