"""Carry what an answer told of limits and usage from an outcome into its settlement, and keep to a freeze at once.

A ``Retry-After`` counts fleet-wide as soon as it is settled; until then, and for calls claimed before, this worker's
own memory stops it. Nothing is judged here: ``core.policy.told`` says what may be believed. Before this in the walk: an
adapter's outcome. After: settle, whose delta the next claim of anybody folds.
"""

import json
from typing import Any

from heddle.core import faults, settle
from heddle.core.policy import told as told_policy
from heddle.ports import store
from heddle.telemetry import recorder
from heddle.telemetry.catalog import metrics

_OPTIONS = told_policy.ToldOptions()
_SPEAKS_OF_THE_ENDPOINT = frozenset({faults.Fault.THROTTLED, faults.Fault.REJECTED_TRANSIENT})
PARK_S = 5.0
"""Least wait of a retry that the budget does not allow: half the budget's window; as much again is drawn on top."""


class Freezes:
    """Remember until when this worker sends nothing to an endpoint, in monotonic seconds."""

    def __init__(self) -> None:
        self._until_s: dict[int, float] = {}

    def note(self, endpoint_id: int, *, until_s: float) -> None:
        """Prolong a freeze; a shorter one changes nothing."""
        self._until_s[endpoint_id] = max(until_s, self._until_s.get(endpoint_id, until_s))

    def is_frozen(self, endpoint_id: int, *, now_s: float) -> bool:
        """Tell whether an endpoint asked not to be called now."""
        return now_s < self._until_s.get(endpoint_id, now_s)


def write(written: store.Settlement, outcome: settle.Outcome, *, endpoint: str, latency_s: float | None) -> None:
    """Put what an outcome tells into its settlement. ``latency_s``: how long the call took, None when none was made."""
    heard = heard_in(outcome)
    is_throttled = isinstance(outcome, settle.Faulted) and outcome.fault.fault is faults.Fault.THROTTLED
    written.is_throttled = is_throttled
    written.latency_s = latency_s if isinstance(outcome, settle.Completed) else None
    # A call that was told to come back later has used nothing but a request.
    written.tokens = 0 if is_throttled else told_policy.units(heard.tokens)
    written.images = 0 if is_throttled else told_policy.units(heard.images)
    written.frozen_s = told_policy.frozen_s(_OPTIONS, retry_after_s=_retry_after_s(outcome))
    lessons = [lesson for report in heard.reports if (lesson := told_policy.learn(_OPTIONS, report)) is not None]
    written.told = json.dumps([_row(lesson) for lesson in lessons]) if lessons else None
    refused = heard.refused + len(heard.reports) - len(lessons)
    if refused:
        recorder.count(metrics.LIMITS_REFUSED, refused, endpoint=endpoint)


def heard_in(outcome: settle.Outcome) -> told_policy.Told:
    """Give what an outcome tells besides its result."""
    match outcome:
        case settle.StillRunning() | settle.Absent():
            return told_policy.NOTHING
        case _:
            return outcome.told


def _retry_after_s(outcome: settle.Outcome) -> float | None:
    """Give the Retry-After of a refusal that speaks of the endpoint; an accepted job's is only a hint when to poll."""
    match outcome:
        case settle.Faulted() if outcome.fault.fault in _SPEAKS_OF_THE_ENDPOINT:
            return outcome.told.retry_after_s if outcome.retry_after_s is None else outcome.retry_after_s
        case settle.Unknown():
            return outcome.told.retry_after_s
        case _:
            return None


def _row(lesson: told_policy.Lesson) -> dict[str, Any]:
    return {
        "dimension": lesson.dimension.value,
        "limit_per_min": lesson.limit_per_min,
        "remaining": lesson.remaining,
        "until_s": lesson.until_s,
        "empty_s": lesson.empty_s,
    }
