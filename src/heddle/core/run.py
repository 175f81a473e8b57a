"""The states of a run and the moves between them.

Stored states are these; ``waiting`` (nothing due) and cancelling (running with a request to cancel) are derived
when shown. The database repeats the list as a CHECK and the tests hold the two together.
"""

import enum


class RunState(enum.StrEnum):
    """Name where a run is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class FunctionState(enum.StrEnum):
    """Name where the workflow function of a run is: it ends before its run does when calls are still open."""

    RUNNING = "running"
    RETURNED = "returned"
    RAISED = "raised"


class Priority(enum.StrEnum):
    """Name the class of a run: what is served first under load, and what is shed first."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"


# How many turns a class gets for one turn of ``batch`` when all are backlogged. A floor, not a strict order: nothing
# starves.
CLASS_SHARE: dict[Priority, int] = {Priority.INTERACTIVE: 16, Priority.STANDARD: 4, Priority.BATCH: 1}

TERMINAL: frozenset[RunState] = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED})

TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED}),
    RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED}),
    RunState.SUCCEEDED: frozenset(),
    RunState.FAILED: frozenset({RunState.RUNNING}),  # retry of its failed steps
    RunState.CANCELLED: frozenset({RunState.RUNNING}),  # with the run above it, where that one stopped it
    RunState.EXPIRED: frozenset({RunState.RUNNING}),  # the same
}


CALL_PREFIX = "model:"
"""What the workflow of a run of one call begins with; no workflow's name has a colon."""


def call_name(model: str) -> str:
    """Give the name under which runs of one call of a model are shown."""
    return CALL_PREFIX + model


def called_model(workflow: str) -> str | None:
    """Give the model that a run of this name calls, None when it is a workflow's."""
    return workflow.removeprefix(CALL_PREFIX) if workflow.startswith(CALL_PREFIX) else None


def may_move(*, source: RunState, target: RunState) -> bool:
    """Tell whether a run may go from one state to another."""
    return target in TRANSITIONS[source]
