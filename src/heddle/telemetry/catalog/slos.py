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
    "answered without a 5xx and without being shed; a 429 to a tenant inside its quota is bad",
    "valid requests; the caller's own 4xx are left out",
    0.9995,
)
ADMISSION_LATENCY = _slo(
    "admission_latency", "Admission latency", "answered within 250 ms", "valid requests that did not ask to wait", 0.99
)
START_FRESHNESS = _slo(
    "start_freshness",
    "Start freshness",
    "first attempt started within 2 s (interactive) or 60 s (standard and batch) of being ready",
    "steps that became ready; one still waiting past the limit counts as bad then",
    0.99,
)
TIME_TO_RESULT = _slo(
    "time_to_result",
    "Time to result",
    "finished within the deadline of its class, counted from admission, with retries and fallbacks",
    "admitted runs; one in progress past its deadline is bad at the deadline",
    0.99,
)
CORRECTNESS = _slo(
    "correctness",
    "Correctness",
    "result accepted by its type, every call paid once, callback delivered",
    "finished runs",
    0.9999,
)
COVERAGE = _slo(
    "coverage", "Coverage", "reached a terminal state by its deadline plus one hour", "admitted runs", 0.99999
)
CALLBACK_DELIVERY = _slo(
    "callback_delivery",
    "Callback delivery",
    "the customer's receiver answered 2xx within 30 s",
    "deliveries to receivers that are healthy",
    0.999,
)

ALL: Final[tuple[Slo, ...]] = tuple(value for value in tuple(globals().values()) if isinstance(value, Slo))
"""Every objective, in the order of this file."""
