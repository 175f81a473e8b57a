"""Give the statements that fold, judge and limit the numbers of the law: one law, in ``core.policy``, for SQL too.

Neighbours: ``claim_model`` and ``fold_idle`` take these as parameters of ``sql/parts``.
"""

from typing import Any, Final

from heddle.core.policy import breaker, told

_BREAKER: Final = breaker.BreakerOptions()
_TOLD: Final = told.ToldOptions()

RAMP_SLOTS_MIN: Final = 10
"""Slots that count as all of a scope without a limit when a ramp begins: what was in flight before, at least this."""

GOVERNED_S: Final = 30.0
"""Age of the leader's word on retries after which it no longer counts: without a leader retries are only jittered."""

LAW: Final[dict[str, Any]] = {
    "breaker_consecutive": _BREAKER.consecutive,
    "breaker_samples": _BREAKER.failure_samples,
    "breaker_ratio": _BREAKER.failure_ratio,
    "breaker_window_s": float(_BREAKER.window_s),
    "open_s": _BREAKER.open_s,
    "open_max_s": _BREAKER.open_max_s,
    "ramp_s": _BREAKER.ramp_s,
    "ramp_from": _BREAKER.ramp_from,
    "ramp_slots_min": RAMP_SLOTS_MIN,
    "told_max_s": _TOLD.believed_max_s,
}
"""The parameters of ``parts/fold`` and ``parts/limit``."""
