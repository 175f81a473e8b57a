"""The states of an attempt, the idempotency classes of providers, and the moves between states.

The facts of an attempt are never fenced: a late answer is still written here, by attempt id, even when the step has
moved on.
"""

import enum


class AttemptState(enum.StrEnum):
    """Name where one try of a step at one endpoint is."""

    RESERVED = "reserved"  # claimed; nothing sent
    SENDING = "sending"  # the intent is durable; bytes may leave
    ACCEPTED = "accepted"  # the provider gave a handle
    DONE = "done"
    REJECTED = "rejected"
    UNKNOWN = "unknown"  # sent, outcome not known
    LATE = "late"  # an answer came after the step had moved on
    ABANDONED = "abandoned"  # reserved and never sent


class IdempotencyClass(enum.StrEnum):
    """Name what a provider offers against paying twice."""

    A = "A"  # accepts an idempotency key or a client-chosen job id
    B = "B"  # can be asked afterwards by our reference
    C = "C"  # neither


class UnknownPolicy(enum.StrEnum):
    """Name what the owner of a class C model chose for an unknown outcome."""

    AT_MOST_ONCE = "at_most_once"
    AT_LEAST_ONCE = "at_least_once"


TERMINAL: frozenset[AttemptState] = frozenset(
    {AttemptState.DONE, AttemptState.REJECTED, AttemptState.LATE, AttemptState.ABANDONED}
)

TRANSITIONS: dict[AttemptState, frozenset[AttemptState]] = {
    # A free call is sent without being marked as sending, so it may end from here in every way.
    AttemptState.RESERVED: frozenset(
        {
            AttemptState.SENDING,
            AttemptState.ACCEPTED,
            AttemptState.DONE,
            AttemptState.REJECTED,
            AttemptState.UNKNOWN,
            AttemptState.LATE,
            AttemptState.ABANDONED,
        }
    ),
    AttemptState.SENDING: frozenset(
        {
            AttemptState.ACCEPTED,
            AttemptState.DONE,
            AttemptState.REJECTED,
            AttemptState.UNKNOWN,
            AttemptState.LATE,
        }
    ),
    AttemptState.ACCEPTED: frozenset(
        {AttemptState.DONE, AttemptState.REJECTED, AttemptState.UNKNOWN, AttemptState.LATE}
    ),
    AttemptState.UNKNOWN: frozenset(
        {AttemptState.ACCEPTED, AttemptState.DONE, AttemptState.REJECTED, AttemptState.LATE}
    ),
    AttemptState.DONE: frozenset(),
    AttemptState.REJECTED: frozenset({AttemptState.LATE}),
    AttemptState.LATE: frozenset(),
    AttemptState.ABANDONED: frozenset({AttemptState.LATE}),
}


def may_move(*, source: AttemptState, target: AttemptState) -> bool:
    """Tell whether an attempt may go from one state to another."""
    return target in TRANSITIONS[source]
