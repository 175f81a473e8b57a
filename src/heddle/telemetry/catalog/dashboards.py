"""List the dashboards: rows that each answer one question, and the panels in them.

Data only; expressions read catalogue metrics. Before it: ``metrics``. After: ``generate``, which writes Grafana's form.
"""

from typing import Final

from heddle.telemetry.catalog import metrics, slos
from heddle.telemetry.catalog.records import Dashboard, Metric, Panel, Query, Row

WINDOW: Final = "5m"
SECONDS, BYTES, PER_SECOND, COUNT, MONEY, SHARE = "s", "bytes", "ops", "short", "currencyUSD", "percentunit"
UNITS: Final = frozenset({SECONDS, BYTES, PER_SECOND, COUNT, MONEY, SHARE})


def _rate(metric: Metric, *by: str) -> Query:
    legend = " ".join(f"{{{{{name}}}}}" for name in by) or metric.help
    grouped = f" by ({', '.join(by)})" if by else ""
    return Query(expression=f"sum{grouped} (rate({metric.name}[{WINDOW}]))", legend=legend)


def _quantile(metric: Metric, share: float, *by: str) -> Query:
    legend = " ".join((f"p{share * 100:g}", *(f"{{{{{name}}}}}" for name in by)))
    groups = ", ".join(("le", *by))
    rate = f"sum by ({groups}) (rate({metric.name}_bucket[{WINDOW}]))"
    return Query(expression=f"histogram_quantile({share:g}, {rate})", legend=legend)


def _value(metric: Metric, *by: str) -> Query:
    legend = " ".join(f"{{{{{name}}}}}" for name in by) or metric.help
    return Query(expression=f"max by ({', '.join(by)}) ({metric.name})" if by else f"max({metric.name})", legend=legend)


def _least(metric: Metric) -> Query:
    """Show what is worst where little is bad: on several machines the largest would hide it."""
    return Query(expression=f"min({metric.name})", legend=metric.help)


def _panel(title: str, unit: str, *queries: Query, meaning: str = "", danger_above: float | None = None) -> Panel:
    return Panel(title=title, meaning=meaning or title, unit=unit, queries=queries, danger_above=danger_above)


PROMISES: Final = Row(
    title="Are promises kept?",
    panels=(
        _panel(
            "Burn rate over an hour",
            COUNT,
            Query(expression="slo:current_burn_rate:ratio", legend="{{slo}}"),
            meaning="1 spends the budget exactly in its window; a page asks for 14.4.",
            danger_above=slos.BURNS[0].factor,
        ),
        _panel(
            "Budget remaining",
            SHARE,
            Query(expression="slo:period_error_budget_remaining:ratio", legend="{{slo}}"),
            meaning="Share of the window's error budget that is left; below 0 the promise is broken.",
        ),
        _panel("Runs finished", PER_SECOND, _rate(metrics.RUNS_FINISHED, "state")),
        _panel(
            "Time to result",
            SECONDS,
            _quantile(metrics.RUN_DURATION, 0.5, "priority"),
            _quantile(metrics.RUN_DURATION, 0.95, "priority"),
        ),
    ),
)
WAITING: Final = Row(
    title="What waits?",
    panels=(
        _panel("Oldest ready step", SECONDS, _value(metrics.READY_OLDEST_AGE, "priority"), danger_above=30),
        _panel("Ready steps", COUNT, _value(metrics.READY_STEPS, "priority")),
        _panel(
            "Start latency",
            SECONDS,
            _quantile(metrics.START_LATENCY, 0.5, "priority"),
            _quantile(metrics.START_LATENCY, 0.99, "priority"),
        ),
        _panel(
            "Runs admitted and refused", PER_SECOND, _rate(metrics.RUNS_ADMITTED), _rate(metrics.RUNS_REFUSED, "policy")
        ),
        _panel("Attempts of unknown outcome", COUNT, _value(metrics.ATTEMPTS_UNKNOWN), danger_above=1),
    ),
)
WALK: Final = Row(
    title="How does the walk go?",
    panels=(
        _panel("Items by stage", PER_SECOND, _rate(metrics.STAGE_ITEMS, "stage")),
        _panel("Errors by stage", PER_SECOND, _rate(metrics.STAGE_ERRORS, "stage"), danger_above=0.1),
        _panel("Duration by stage", SECONDS, _quantile(metrics.STAGE_DURATION, 0.95, "stage")),
        _panel("Batch size by stage", COUNT, _quantile(metrics.BATCH_SIZE, 0.5, "stage")),
        _panel("Commits by stage", PER_SECOND, _rate(metrics.COMMITS, "stage")),
        _panel("Steps retried, by fault", PER_SECOND, _rate(metrics.STEPS_RETRIED, "fault")),
        _panel("Steps finished", PER_SECOND, _rate(metrics.STEPS_FINISHED, "state")),
        _panel("Steps failed, by fault", PER_SECOND, _rate(metrics.STEPS_FAILED, "fault")),
    ),
)
ENDPOINTS: Final = Row(
    title="How are the endpoints?",
    panels=(
        _panel("Attempts", PER_SECOND, _rate(metrics.ENDPOINT_ATTEMPTS, "endpoint", "outcome")),
        _panel("Faults", PER_SECOND, _rate(metrics.ENDPOINT_FAULTS, "endpoint", "fault")),
        _panel("Duration", SECONDS, _quantile(metrics.ENDPOINT_DURATION, 0.95, "endpoint")),
        _panel("In flight", COUNT, _value(metrics.ENDPOINT_IN_FLIGHT, "endpoint")),
        _panel("Breaker (2 is open)", COUNT, _value(metrics.BREAKER_STATE, "endpoint"), danger_above=2),
        _panel(
            "First tries that failed",
            SHARE,
            Query(
                expression=(
                    f'sum by (endpoint) (rate({metrics.ENDPOINT_FIRST_TRIES.name}{{outcome="failed"}}[{WINDOW}]))'
                    f" / sum by (endpoint) (rate({metrics.ENDPOINT_FIRST_TRIES.name}[{WINDOW}]))"
                ),
                legend="{{endpoint}}",
            ),
            danger_above=0.5,
        ),
    ),
)
SPENDING: Final = Row(
    title="What does it cost?",
    panels=(
        _panel(
            "Charged an hour",
            MONEY,
            Query(expression=f"sum by (endpoint) (increase({metrics.MONEY_CHARGED.name}[1h]))", legend="{{endpoint}}"),
        ),
        _panel("Booked as estimates", COUNT, _rate(metrics.MONEY_ESTIMATED, "endpoint")),
        _panel("Kept back by a cap", COUNT, _rate(metrics.MONEY_REFUSED, "cap")),
        _panel(
            "Reported against metered",
            SHARE,
            Query(expression=f"max by (endpoint) ({metrics.SPEND_DIVERGENCE.name})", legend="{{endpoint}}"),
        ),
        _panel(
            "Spend in doubt",
            COUNT,
            Query(expression=f"max by (endpoint, alarm) ({metrics.SPEND_ALARM.name})", legend="{{endpoint}} {{alarm}}"),
        ),
    ),
)
DOORS: Final = Row(
    title="How are the doors?",
    panels=(
        _panel("Requests", PER_SECOND, _rate(metrics.HTTP_REQUESTS, "route", "status")),
        _panel("Request duration", SECONDS, _quantile(metrics.HTTP_DURATION, 0.95, "route"), danger_above=0.25),
        _panel("Callbacks in", PER_SECOND, _rate(metrics.CALLBACKS, "endpoint", "outcome")),
        _panel("Artifact bytes", BYTES, _rate(metrics.ARTIFACT_BYTES, "direction"), meaning="Bytes a second."),
    ),
)
TOLD: Final = Row(
    title="Are customers told?",
    panels=(
        _panel("Webhook tries", PER_SECOND, _rate(metrics.WEBHOOK_TRIES, "outcome")),
        _panel("Webhook try duration", SECONDS, _quantile(metrics.WEBHOOK_DURATION, 0.95), danger_above=10),
        _panel("Webhooks not delivered", COUNT, _value(metrics.WEBHOOKS_KEPT, "state")),
        _panel("Oldest webhook overdue", SECONDS, _value(metrics.WEBHOOKS_OVERDUE_AGE), danger_above=300),
    ),
)
MACHINES: Final = Row(
    title="How are the machines?",
    panels=(
        _panel("Database reached", COUNT, _least(metrics.DATABASE_UP), meaning="1 when every process reaches it."),
        _panel("Oldest transaction", SECONDS, _value(metrics.OLDEST_TRANSACTION_AGE), danger_above=60),
        _panel(
            "Deadlocks and serialization failures",
            PER_SECOND,
            _rate(metrics.DEADLOCKS, "stage"),
            _rate(metrics.SERIALIZATION_FAILURES, "stage"),
        ),
        _panel("Workers alive", COUNT, _value(metrics.WORKERS_ALIVE)),
        _panel(
            "Expired leases, fenced writes, late results",
            PER_SECOND,
            _rate(metrics.LEASES_EXPIRED),
            _rate(metrics.WRITES_FENCED),
            _rate(metrics.RESULTS_LATE),
        ),
        _panel("Event loop lag", SECONDS, _value(metrics.LOOP_LAG), danger_above=1),
        _panel("Compute calls", PER_SECOND, _rate(metrics.COMPUTE_CALLS, "outcome")),
        _panel("Compute call duration", SECONDS, _quantile(metrics.COMPUTE_DURATION, 0.95)),
        _panel("Compute pool in use", SHARE, _value(metrics.COMPUTE_BUSY)),
        _panel("Timer lateness", SECONDS, _quantile(metrics.TIMERS_LATE, 0.99)),
        _panel("Timers put off", PER_SECOND, _rate(metrics.TIMERS_PUT_OFF)),
        _panel("Empty claims", PER_SECOND, _rate(metrics.CLAIMS_EMPTY)),
        _panel(
            "Doorbells",
            PER_SECOND,
            _rate(metrics.NOTIFICATIONS_SENT),
            _rate(metrics.NOTIFICATIONS_RECEIVED),
        ),
        _panel("Disk free", SHARE, _least(metrics.DISK_FREE)),
        _panel("Log lines held back", PER_SECOND, _rate(metrics.LOG_LINES_SUPPRESSED, "event")),
    ),
)

OVERVIEW: Final = Dashboard(
    uid="heddle-overview",
    title="Heddle",
    meaning="Promises first, then what waits, then why.",
    rows=(PROMISES, WAITING, WALK, ENDPOINTS, SPENDING, DOORS, TOLD, MACHINES),
)

ALL: Final[tuple[Dashboard, ...]] = (OVERVIEW,)
"""Every dashboard."""
