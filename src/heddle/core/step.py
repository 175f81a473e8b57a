"""The states and kinds of a step and the moves between them.

*Ready* and *leased* are not stored here: they are a ``due`` step with a row in that table, because the claim never
writes a step. Backoff is ``waiting`` with a timer. The database repeats both lists as CHECKs.
"""

import enum


class StepKind(enum.StrEnum):
    """Name what a call asks for."""

    ACTIVATION = "activation"
    STEP = "step"
    MODEL = "model"
    WORKFLOW = "workflow"
    SLEEP = "sleep"
    SIGNAL = "signal"
    NOW = "now"


class StepState(enum.StrEnum):
    """Name where a step is."""

    BLOCKED = "blocked"  # a call it takes a value from has not ended
    DUE = "due"  # ready, or leased by a worker
    PENDING = "pending"  # a provider works on it; no worker is held, its slots are
    WAITING = "waiting"  # for a timer, a signal or a child run
    UNKNOWN = "unknown"  # sent, and whether it was accepted cannot be known without help
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # a call it takes a value from failed


TERMINAL: frozenset[StepState] = frozenset(
    {StepState.SUCCEEDED, StepState.FAILED, StepState.CANCELLED, StepState.SKIPPED}
)

_ENDS = frozenset({StepState.SUCCEEDED, StepState.FAILED, StepState.CANCELLED})

TRANSITIONS: dict[StepState, frozenset[StepState]] = {
    StepState.BLOCKED: frozenset(
        {StepState.DUE, StepState.WAITING, StepState.SKIPPED, StepState.CANCELLED, StepState.FAILED}
    ),
    StepState.DUE: _ENDS | {StepState.PENDING, StepState.WAITING, StepState.UNKNOWN},
    StepState.PENDING: _ENDS | {StepState.WAITING, StepState.UNKNOWN, StepState.DUE},
    StepState.WAITING: _ENDS | {StepState.DUE, StepState.UNKNOWN},  # a job is heard of that was given up
    StepState.UNKNOWN: _ENDS | {StepState.DUE, StepState.PENDING, StepState.WAITING},
    StepState.SUCCEEDED: frozenset(),
    StepState.FAILED: frozenset({StepState.DUE, StepState.WAITING}),  # replay; a child run or a signal waits again
    # Replay of an expired or failed run.
    StepState.CANCELLED: frozenset(
        {StepState.DUE, StepState.WAITING, StepState.BLOCKED, StepState.PENDING, StepState.UNKNOWN}
    ),
    StepState.SKIPPED: frozenset({StepState.BLOCKED}),  # replay of what it waits for
}


def may_move(*, source: StepState, target: StepState) -> bool:
    """Tell whether a step may go from one state to another."""
    return target in TRANSITIONS[source]
