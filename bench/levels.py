"""Compare HTTP steps with the bare client at several numbers of calls in flight: `python -m bench.levels`.

A scope that allows so many calls at once, two workers, a model server that answers after 50 ms; beside it, in the same
round, the bare client with as many in flight. Few in flight, and the service is what both wait for; the more, the more
the processor is, and then each step costs what its rows cost. Where the one becomes the other is what this shows.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence

from bench import bare_http, drains, figures, house, longrun
from bench.figures import Figure, Unit
from bench.shapes import Shape

LEVELS = (20, 50, 100, 200, 400)
CALLS_A_RUN = 100
# As many calls as take some four seconds where nothing but the service is waited for.
TURNS = 80


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.levels", description="HTTP steps beside the bare client.")
    level = longrun.counted(2, 1_000)
    parser.add_argument("--levels", type=level, nargs="+", default=list(LEVELS), help="calls in flight, each measured")
    parser.add_argument("--rounds", type=longrun.counted(1, 20), default=3, help="rounds (default 3)")
    given = longrun.arguments(parser, words, name="levels")
    taken: list[Figure] = []
    with longrun.running() as (running, described):
        for _ in range(given.rounds):
            for in_flight in given.levels:
                taken += longrun.told(_compared(running, in_flight))
    longrun.write(given, described, figures.summarise(taken), series={})
    return 0


def _compared(running: house.House, in_flight: int) -> list[Figure]:
    runs = max(1, in_flight * TURNS // CALLS_A_RUN)
    shape = Shape(
        name="http_steps",
        workflow="bench_model_calls",
        input={"calls": CALLS_A_RUN},
        runs=runs,
        steps=CALLS_A_RUN,
    )
    with running.deployed(concurrency=in_flight):
        ours = _value(drains.measure(running, shape), "http_steps_per_s")
    bare = _value(bare_http.measure(running, posts=runs * CALLS_A_RUN, in_flight=in_flight), "bare_http_per_s")
    name = f"in_flight_{in_flight}"
    return [
        Figure(name=f"{name}.http_steps_per_s", value=ours, unit=Unit.PER_S),
        Figure(name=f"{name}.bare_http_per_s", value=bare, unit=Unit.PER_S),
        Figure(name=f"{name}.ratio", value=ours / bare, unit=Unit.RATIO),
    ]


def _value(taken: Sequence[Figure], name: str) -> float:
    return next(each.value for each in taken if each.name == name)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
