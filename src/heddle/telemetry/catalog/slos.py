"""List what Heddle promises, as objectives over two counters each, and the burn rates that are worth waking somebody
for.

This module is data (RELIABILITY 4.2 for the objectives, 4.1 for the windows). Before it: ``metrics``. After:
``alerts``, which has an entry for each burn, and ``generate``, which writes the rules.
"""

from dataclasses import dataclass
from typing import Final

from heddle.telemetry.catalog import labels, metrics
from heddle.telemetry.catalog.records import Severity, Slo


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """Describe one pair of windows: the error ratio must exceed ``factor`` times the budget over both.

    The short window is a twelfth of the long one, or Sloth's nearest, so that the alert ends soon after the errors do.
    """

    severity: Severity
    short: str
    long: str
    factor: float


BURNS: Final = (
    Burn(severity=Severity.PAGE, short="5m", long="1h", factor=14.4),
    Burn(severity=Severity.PAGE, short="30m", long="6h", factor=6.0),
    Burn(severity=Severity.TICKET, short="2h", long="1d", factor=3.0),
    Burn(severity=Severity.TICKET, short="6h", long="3d", factor=1.0),
)
"""Google SRE workbook table 5-8 with Sloth's `google-30d` windows: 2, 5, 10 and 10 % of a 30-day budget."""

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
"""Every window that has a recording rule."""

EVENTS_MIN: Final = 20
"""Fewest valid things in the short window before a page may fire (RELIABILITY 4.1): one failure at night is no
outage."""

WINDOW_DAYS: Final = 30

ADMITTED_WITHIN_S: Final = 0.25
START_WITHIN_S: Final = {"interactive": 2.0, "standard": 60.0, "batch": 60.0}
"""Longest wait of a ready activation that keeps the promise of its class."""


def _slo(key: str, title: str, good: str, valid: str, objective: float) -> Slo:
    assert key in labels.SLO.values, f"objective {key!r} has no value in the label slo"
    return Slo(
        key=key,
        title=title,
        good=good,
        valid_meaning=valid,
        objective=objective,
        window_days=WINDOW_DAYS,
        bad=f'{metrics.SLO_BAD.name}{{slo="{key}"}}',
        valid=f'{metrics.SLO_VALID.name}{{slo="{key}"}}',
    )


ADMISSION_AVAILABILITY = _slo(
    "admission_availability",
    "Admission availability",
    "answered without a 5xx; a run refused for overload is one",
    "requests for runs; the caller's own 4xx, a quota used up among them, are left out",
    0.9995,
)
ADMISSION_LATENCY = _slo(
    "admission_latency",
    "Admission latency",
    "answered within 250 ms",
    "valid requests for runs that did not ask to wait",
    0.99,
)
START_FRESHNESS = _slo(
    "start_freshness",
    "Start freshness",
    "started within 2 s (interactive) or 60 s (standard and batch) of being ready",
    "activations of runs that a worker has started; HeddleReadyTooOld tells of those that none has",
    0.99,
)
TIME_TO_RESULT = _slo(
    "time_to_result",
    "Time to result",
    "ended before its deadline, counted from admission, with retries and fallbacks",
    "runs that ended; those somebody cancelled are left out, and one without a deadline is always good",
    0.99,
)

ALL: Final[tuple[Slo, ...]] = tuple(value for value in tuple(globals().values()) if isinstance(value, Slo))
"""Every objective, in the order of this file."""
