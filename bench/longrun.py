"""Share what the long measurements have in common: their house, their options, their document with series in it.

Before it: `bench.backlog`, `bench.held_snapshot`, `bench.soak`. After it: `bench/results`.
"""

import argparse
import contextlib
import datetime
import pathlib
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench import figures, house, machine

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
STOPPED_STATUS = 130
Series = Mapping[str, Sequence[float | None]]


def counted(low: int, high: int) -> Callable[[str], int]:
    """Give a reader of a whole number within bounds."""

    def read(text: str) -> int:
        value = int(text.replace(",", "").replace("_", ""))
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be from {low:,} to {high:,}")
        return value

    return read


def minutes(low: float, high: float) -> Callable[[str], float]:
    """Give a reader of minutes within bounds."""

    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be from {low:g} to {high:g} minutes")
        return value

    return read


def arguments(parser: argparse.ArgumentParser, words: Sequence[str] | None, *, name: str) -> argparse.Namespace:
    """Read a long measurement's options: its own and those that all have."""
    parser.add_argument("--name", default=name, help="name of the run in the results' file names")
    parser.add_argument("--results", default=str(RESULTS), help="folder of the results (default bench/results)")
    return parser.parse_args(words)


@contextlib.contextmanager
def running() -> Iterator[tuple[house.House, dict[str, str]]]:
    """Run a house and describe the machine; everything is stopped on the way out, also when asked to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED_STATUS))
    with tempfile.TemporaryDirectory(prefix="heddle-bench-") as folder:
        path = pathlib.Path(folder)
        # As root, PostgreSQL runs as somebody else, who has to pass.
        path.chmod(0o755)
        with house.running(path) as found:
            with found.connect() as connection:
                described = machine.describe(connection)
            print(machine.line(described), flush=True)
            yield found, described


def told(taken: list[figures.Figure]) -> list[figures.Figure]:
    """Print figures as they come, and give them on."""
    print(", ".join(f"{each.name} {each.value:,.4g} {each.unit}" for each in taken), flush=True)
    return taken


def write(
    given: argparse.Namespace, described: dict[str, str], summaries: Sequence[figures.Summary], *, series: Series
) -> None:
    """Print the table; write it and the document, with the series, and say where."""
    print(f"\n{figures.table(summaries)}")
    options = {name: value for name, value in vars(given).items() if name != "results"}
    heading = figures.Heading(line=machine.line(described), machine=described, options=options, series=series)
    stem = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}-{given.name}"
    paths = figures.write(pathlib.Path(given.results), stem=stem, heading=heading, summaries=summaries)
    print(f"\nwritten: {' '.join(map(str, paths))}")
