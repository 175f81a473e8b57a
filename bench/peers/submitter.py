"""Submit jobs for a measurement, in the contender's own environment: one process, told what to do line by line.

`python -m bench.peers.submitter bench.peers.on_arq` reads one JSON object a line and answers with one. Time is taken
here, around the contender's own calls, so that the pipe is in no figure.
"""

import importlib
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Protocol


class Door(Protocol):
    """What each contender offers: kinds are noop, http, chain, stamp and logged; a number goes with each job."""

    def reset(self) -> None:
        """Remove what earlier measurements left; make what is missing."""

    def submit(self, kind: str, number: int) -> None:
        """Submit one job and return when the contender's client says it is accepted."""

    def submit_many(self, kind: str, numbers: Sequence[int]) -> None:
        """Submit jobs in the fastest way that the contender has."""


def main(words: Sequence[str]) -> None:
    """Serve until the input ends. An error of the contender ends the process, with its trace on the error stream."""
    door: Door = importlib.import_module(words[0]).Door()
    for line in sys.stdin:
        print(json.dumps(_done(door, json.loads(line))), flush=True)


def _done(door: Door, order: dict[str, Any]) -> dict[str, float]:
    began_s = time.perf_counter()
    if order["do"] == "reset":
        door.reset()
    elif order["do"] == "stamp":
        door.submit("stamp", time.time_ns())
    elif order["do"] == "singly":
        for number in range(order["first"], order["last"]):
            door.submit(order["kind"], number)
    else:
        door.submit_many(order["kind"], range(order["first"], order["last"]))
    return {"seconds": time.perf_counter() - began_s}


if __name__ == "__main__":
    main(sys.argv[1:])
