"""Decide how much time is left, how long a call may take, and until when it may be sent.

A deadline is one absolute instant per run; everything else is computed from it and never stored. This file refuses
to know clocks: the caller hands in database time (or monotonic time set from it), the same one for every argument.
Claim asks for ``send_by_s`` and execute for ``call_timeout_s``; reclaim asks ``resend_from_s`` before it sends again.
"""

import math
from dataclasses import dataclass

from heddle.core.policy import bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineOptions:
    """Hold the two margins that keep late work from being started.

    settle_margin_s: default 1.0, 0 to 60 seconds; the part of the remaining time kept back from a call, so that its
        outcome can still be settled (RELIABILITY R13).
    send_margin_s: default 5.0, 0.1 to 300 seconds; how long before its lease ends a worker must have begun to send,
        and how long after that instant a new owner may send. One heartbeat of 5 s (RELIABILITY R5): a sender that
        missed a beat is already too late.
    """

    settle_margin_s: float = 1.0
    send_margin_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse margins out of range."""
        bounds.require(field="settle_margin_s", value=self.settle_margin_s, low=0, high=60, unit="seconds")
        bounds.require(field="send_margin_s", value=self.send_margin_s, low=0.1, high=300, unit="seconds")


def remaining_s(*, deadline_at_s: float | None, now_s: float) -> float:
    """Return the seconds left, 0.0 once the deadline is reached and infinity where there is none."""
    if deadline_at_s is None:
        return math.inf
    return max(0.0, deadline_at_s - now_s)


def remaining_ms(*, deadline_at_s: float | None, now_s: float) -> int | None:
    """Return the whole milliseconds left, for the wire; None where there is no deadline.

    A service is told a duration and not an instant, as gRPC does, so that its clock does not matter
    (grpc.io/docs/guides/deadlines).
    """
    if deadline_at_s is None:
        return None
    return math.floor(remaining_s(deadline_at_s=deadline_at_s, now_s=now_s) * 1000)


def is_expired(*, deadline_at_s: float | None, now_s: float) -> bool:
    """Tell whether the deadline has been reached; the instant itself is too late."""
    return deadline_at_s is not None and now_s >= deadline_at_s


def last_start_s(options: DeadlineOptions, *, deadline_at_s: float | None) -> float:
    """Return the instant at which, and after which, no call may start any more; infinity without a deadline."""
    if deadline_at_s is None:
        return math.inf
    return deadline_at_s - options.settle_margin_s


def call_timeout_s(
    options: DeadlineOptions, *, adapter_timeout_s: float, deadline_at_s: float | None, now_s: float
) -> float | None:
    """Return the timeout of a call that starts now, or None when there is no time left to make it.

    adapter_timeout_s: above 0; what the adapter allows a call that has no deadline.
    The answer is min(adapter timeout, remaining - settle margin) (RELIABILITY R13) and always above 0.
    Raises ValueError for an adapter timeout that is not above 0.
    """
    if not adapter_timeout_s > 0:
        raise ValueError(f"adapter_timeout_s is {adapter_timeout_s}; it must be above 0 (seconds)")
    timeout_s = min(adapter_timeout_s, last_start_s(options, deadline_at_s=deadline_at_s) - now_s)
    return timeout_s if timeout_s > 0 else None


def send_by_s(options: DeadlineOptions, *, lease_until_s: float, deadline_at_s: float | None) -> float:
    """Return the instant by which the first byte must be on the wire.

    It is the end of the lease as it was claimed, less the send margin: later heartbeats prolong the right to settle,
    not the right to send. A deadline can only make it earlier.
    """
    by_lease_s = lease_until_s - options.send_margin_s
    return min(by_lease_s, last_start_s(options, deadline_at_s=deadline_at_s))


def resend_from_s(options: DeadlineOptions, *, send_by_s: float) -> float:
    """Return the instant from which a new owner may send what the old owner had only reserved."""
    return send_by_s + options.send_margin_s


def may_send(*, send_at_s: float, send_by_s: float, now_s: float) -> bool:
    """Tell whether a claimed call can still be sent in time; if not it is released unsent.

    send_at_s: the instant the rate limits allow, which may lie in the future.
    """
    return max(send_at_s, now_s) < send_by_s
