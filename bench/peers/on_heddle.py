"""Jobs on Heddle: the workflows that `heddle worker` loads and the door that submits through the public client.

A no-op job is a step submitted by itself, which is a run of one step; a chain is a run of three calls, each of which
takes its value from the one before; an HTTP job is a model called by itself through the `http` adapter. All of it is
durable step by step, with nothing switched off.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import heddle
from bench import workloads
from bench.peers import tally

BATCH = 500
NAP_S = 0.005


@heddle.step(name="peers_noop_step")
async def noop_step(number: int) -> int:
    """Do nothing."""
    tally.mark()
    return number


@heddle.step(name="peers_stamp_step")
async def stamp_step(number: int) -> None:
    """Tell how long it took to begin."""
    tally.stamp(number)


@heddle.step(name="peers_logged_step")
async def logged_step(number: int) -> None:
    """Tell of beginning and end, 5 ms apart."""
    tally.begin(number)
    await asyncio.sleep(NAP_S)
    tally.end(number)


@heddle.workflow(name="peers_chain")
async def chain(number: int) -> Any:
    """Do nothing three times, each after the one before."""
    return noop_step(number=noop_step(number=noop_step(number=number)))


JOBS = {
    "noop": "step:peers_noop_step",
    "stamp": "step:peers_stamp_step",
    "logged": "step:peers_logged_step",
    "chain": "peers_chain",
    "http": f"model:{workloads.MODEL}",
}
PROMPT = "a coat in a street in Paris"


class Door:
    """Submit through the public client, one process, one thread; many in batches of 500, a transaction each."""

    def __init__(self) -> None:
        from heddle import wiring
        from heddle.service import setup

        setup.logs(setup.read_settings())
        setup.django()
        self._client = wiring.client()
        self._owner = self._client.tenant("default")

    def reset(self) -> None:
        """Do nothing: the tables are emptied from outside."""

    def submit(self, kind: str, number: int) -> None:
        """Submit one run."""
        self._client.submit(JOBS[kind], _input(kind, number), tenant=self._owner)

    def submit_many(self, kind: str, numbers: Sequence[int]) -> None:
        """Submit 500 runs a transaction. Raises what refused one."""
        from heddle.client import RunRequest

        for start in range(0, len(numbers), BATCH):
            part = numbers[start : start + BATCH]
            requests = [RunRequest(workflow=JOBS[kind], input=_input(kind, number)) for number in part]
            for outcome in self._client.submit_many(requests, tenant=self._owner):
                if isinstance(outcome, Exception):
                    raise outcome


def _input(kind: str, number: int) -> dict[str, Any]:
    return {"prompt": PROMPT, "seed": number} if kind == "http" else {"number": number}
