"""Number lanes: the same call gives the same lane in every process, without asking the database."""

import functools

from heddle.core import ids, plan
from heddle.core import run as run_law


@functools.lru_cache(maxsize=10_000)
def number(kind: str, name: str, version: int, priority: str) -> int:
    """Give a lane's number."""
    return ids.lane(kind=kind, name=name, version=version, priority=priority)


def of_activation(workflow: str, version: int, priority: str) -> int:
    """Give the lane that activations of a workflow version wait in."""
    return number("activation", workflow, version, priority)


def of_poll(endpoint: str) -> int:
    """Give the lane that polls, reconciles and cancels of an endpoint's jobs wait in."""
    return number("poll", endpoint, 0, run_law.Priority.STANDARD.value)


def of_call(call: plan.PlannedCall, priority: run_law.Priority) -> int:
    """Give the lane a planned call waits in."""
    return number(*plan.lane_of(call, priority))
