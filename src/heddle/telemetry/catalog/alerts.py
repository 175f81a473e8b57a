"""List the alerts: what a person has to act on, and nothing else.

An alert reads catalogue metrics only, names what was measured, and has a runbook of its own name. Every objective has
two: a page when its budget burns fast, a ticket when it burns slowly. Before it: ``metrics`` and ``slos``. After:
``runbooks``, and ``generate``, which writes rules.
"""

from typing import Final

from heddle.telemetry.catalog import metrics, slos
from heddle.telemetry.catalog.records import Alert, Severity, Slo

PAGE, TICKET = Severity.PAGE, Severity.TICKET


def burn_alert_name(slo: Slo, severity: Severity) -> str:
    """Name the alert for one objective: ``HeddleStartFreshnessBurnsFast``, or ``…Slowly`` for the ticket."""
    words = "".join(word.capitalize() for word in slo.key.split("_"))
    return f"Heddle{words}Burns{'Fast' if severity is PAGE else 'Slowly'}"


def error_ratio(slo: Slo, window: str) -> str:
    """Name the recorded error ratio of an objective over a window; the rule is written by ``generate``."""
    return f'slo:sli_error:ratio_rate{window}{{slo="{slo.key}"}}'


def _burns(slo: Slo, severity: Severity) -> str:
    budget = f"{1 - slo.objective:.5g}"
    pairs = []
    for burn in slos.BURNS:
        if burn.severity is severity:
            limit = f"({burn.factor:g} * {budget})"
            pair = f"{error_ratio(slo, burn.short)} > {limit} and {error_ratio(slo, burn.long)} > {limit}"
            if severity is PAGE:
                # Too few things in the window and one failure would look like an outage. A ticket may be early, a page
                # may not.
                pair += f" and on (slo) sum by (slo) (increase({slo.valid}[{burn.short}])) >= {slos.EVENTS_MIN}"
            pairs.append(f"({pair})")
    return " or ".join(pairs)


def _burn_alert(slo: Slo, severity: Severity) -> Alert:
    speed = "fast" if severity is PAGE else "slowly"
    return Alert(
        name=burn_alert_name(slo, severity),
        expression=_burns(slo, severity),
        for_s=0,
        severity=severity,
        summary=f"{slo.title}: the error budget burns {speed}.",
        description=f"Objective {slo.objective:.5%} over {slo.window_days} days; good means {slo.good}.",
    )


def _alert(name: str, expression: str, severity: Severity, *, for_s: int, summary: str, description: str) -> Alert:
    return Alert(
        name=name, expression=expression, for_s=for_s, severity=severity, summary=summary, description=description
    )


DOUBTED: Final = metrics.SPEND_ALARM.name
FIRST_TRIES: Final = metrics.ENDPOINT_FIRST_TRIES.name
CHARGED: Final = metrics.MONEY_CHARGED.name
ROLLED_BACK: Final = metrics.CANARIES_ROLLED_BACK.name
ESTIMATED: Final = metrics.MONEY_ESTIMATED.name

STATES: Final = (
    _alert(
        "HeddleDatabaseDown",
        f"{metrics.DATABASE_UP.name} == 0",
        PAGE,
        for_s=15,
        summary="A process cannot reach the database.",
        description="Nothing is admitted, claimed or settled there until it can.",
    ),
    _alert(
        "HeddleMetricsAbsent",
        f"absent({metrics.BUILD_INFO.name})",
        PAGE,
        for_s=120,
        summary="No process of Heddle reports metrics.",
        description="Either the service is down or it cannot be scraped; no other alert can fire until it is.",
    ),
    _alert(
        "HeddleNoWorkers",
        # Living workers write it: where none is left, nobody says 0.
        f"{metrics.WORKERS_ALIVE.name} == 0 or absent({metrics.WORKERS_ALIVE.name})",
        PAGE,
        for_s=30,
        summary="No worker is alive.",
        description="Runs are accepted and none moves.",
    ),
    _alert(
        "HeddleReadyTooOld",
        f'{metrics.READY_OLDEST_AGE.name}{{priority="interactive"}} > 30'
        f' or {metrics.READY_OLDEST_AGE.name}{{priority=~"standard|batch"}} > 900',
        PAGE,
        for_s=60,
        summary="{{ $labels.priority }} steps have been ready for {{ $value | humanizeDuration }} and do not start.",
        description="Too few workers, no room at the endpoints, or a claim that finds nothing.",
    ),
    _alert(
        "HeddleDiskFilling",
        f"{metrics.DISK_FREE.name} < 0.1",
        PAGE,
        for_s=60,
        summary="The disk of Heddle's state or of its artifacts has {{ $value | humanizePercentage }} free.",
        description="When it is full, nothing is accepted.",
    ),
    _alert(
        "HeddlePartitionsEnding",
        f"{metrics.PARTITIONS_AHEAD.name} < 604800",
        PAGE,
        for_s=300,
        summary="In {{ $value | humanizeDuration }} new runs have no partition to go to.",
        description="The leading worker and `heddle migrate` make HEDDLE_PARTITION_WEEKS_AHEAD weeks; neither could.",
    ),
    _alert(
        "HeddleOutcomeUnknown",
        f"{metrics.ATTEMPTS_UNKNOWN.name} > 0",
        TICKET,
        for_s=15,
        summary="{{ $value }} paid attempts have an unknown outcome.",
        description=(
            "Sent, and the answer was lost. They are not sent again unless a lookup or the model's unknown_policy "
            "allows it."
        ),
    ),
    _alert(
        "HeddleEndpointSick",
        f'sum by (endpoint) (rate({FIRST_TRIES}{{outcome="failed"}}[5m]))'
        f" / sum by (endpoint) (rate({FIRST_TRIES}[5m])) > 0.5"
        f" and sum by (endpoint) (increase({FIRST_TRIES}[5m])) >= 20",
        TICKET,
        for_s=300,
        summary="{{ $value | humanizePercentage }} of first tries at {{ $labels.endpoint }} fail.",
        description="Retries and fallbacks may hide it from customers; they cost money and time.",
    ),
    _alert(
        "HeddleBreakerOpen",
        f"{metrics.BREAKER_STATE.name} == 2",
        TICKET,
        for_s=300,
        summary="{{ $labels.endpoint }} has been closed off for five minutes.",
        description="Its probes fail. Work goes to the next tier or waits.",
    ),
    _alert(
        "HeddleCanaryRolledBack",
        # A rollback is often the first that a leader counts, and the first step of a counter is no increase.
        f"sum by (endpoint) (increase({ROLLED_BACK}[1h])) > 0"
        f" or sum by (endpoint) ({ROLLED_BACK} unless {ROLLED_BACK} offset 1h) > 0",
        TICKET,
        for_s=0,
        summary="A canary at {{ $labels.endpoint }} was worse than the routes beside it and gets nothing more.",
        description="Nobody has to stop it. Whoever tries the new place or version has to know that it failed.",
    ),
    _alert(
        "HeddleWorkersDying",
        f"sum(increase({metrics.WORKERS_DIED.name}[10m])) > 3",
        TICKET,
        for_s=0,
        summary="{{ $value | humanize }} workers died within ten minutes.",
        description="Their steps are taken back within seconds, at the latest after a lease; throughput suffers.",
    ),
    _alert(
        "HeddleLeasesExpiring",
        f"sum(increase({metrics.LEASES_EXPIRED.name}[5m])) > 10",
        TICKET,
        for_s=60,
        summary="{{ $value | humanize }} leases expired within five minutes.",
        description="Workers die, freeze, or cannot reach the database in time.",
    ),
    _alert(
        "HeddleDeadlocks",
        f"sum by (stage) (increase({metrics.DEADLOCKS.name}[10m])) > 0",
        TICKET,
        for_s=0,
        summary="The database ended {{ $value | humanize }} transactions of {{ $labels.stage }} as deadlocked.",
        description="They are made again, so nothing is lost; but the lock order is broken, and the bar is 0.",
    ),
    _alert(
        "HeddleTransactionHeld",
        f"{metrics.OLDEST_TRANSACTION_AGE.name} > 40",
        TICKET,
        for_s=15,
        summary="A transaction has been open for {{ $value | humanizeDuration }}.",
        description="Dead rows cannot be removed while it lives; claims slow down over hours.",
    ),
    _alert(
        "HeddleSlotsDrifted",
        f"increase({metrics.SLOTS_DRIFTED.name}[1h]) > 0",
        TICKET,
        for_s=0,
        summary="The recount found {{ $value | humanize }} slots counted wrongly.",
        description="They are corrected; the cause is a bug, and the bar is 0.",
    ),
    _alert(
        "HeddleLoopLagging",
        f"{metrics.LOOP_LAG.name} > 1",
        TICKET,
        for_s=60,
        summary="An event loop runs {{ $value | humanizeDuration }} late.",
        description="Something blocks it. Calls time out, and past 60 s the process ends itself.",
    ),
    _alert(
        "HeddleStageFailing",
        f"sum by (stage) (increase({metrics.STAGE_ERRORS.name}[5m])) > 10",
        TICKET,
        for_s=120,
        summary="{{ $labels.stage }} raised {{ $value | humanize }} times within five minutes.",
        description="Each pass is made again; what it should do waits.",
    ),
    _alert(
        "HeddleCallbacksRefused",
        # Strays are believed: an account's one address is told of the jobs of others, too.
        f'sum by (endpoint) (increase({metrics.CALLBACKS.name}{{outcome="refused"}}[15m])) > 10',
        TICKET,
        for_s=0,
        summary="{{ $value | humanize }} callbacks for {{ $labels.endpoint }} were not believed.",
        description="A rotated secret, a wrong clock, or somebody trying. Polling finds the results meanwhile.",
    ),
    _alert(
        "HeddleWebhooksLate",
        f"{metrics.WEBHOOKS_OVERDUE_AGE.name} > 300",
        PAGE,
        for_s=120,
        summary="Webhooks have been due for {{ $value | humanizeDuration }} and nobody sends them.",
        description="Their receivers are well: no worker delivers, or all places are taken.",
    ),
    _alert(
        "HeddleWebhooksGivenUp",
        # The gauge and not the counter: the first step of a counter that was not there before is no increase.
        f'max(delta({metrics.WEBHOOKS_KEPT.name}{{state="dead"}}[1h])) > 0',
        TICKET,
        for_s=0,
        summary="{{ $value | humanize }} webhooks were given up after their last try.",
        description="A customer was not told how a run ended. They are kept, and can be redelivered.",
    ),
    _alert(
        "HeddleComputeCrashing",
        f'sum by (outcome) (increase({metrics.COMPUTE_CALLS.name}{{outcome=~"crashed|timed_out"}}[10m])) > 5',
        TICKET,
        for_s=0,
        summary="{{ $value | humanize }} calls in the compute pool ended as {{ $labels.outcome }}.",
        description="A step's code or its memory; each costs one process.",
    ),
    _alert(
        "HeddleSpendUnusual",
        f"sum by (endpoint) (rate({CHARGED}[1h])) > 3 * sum by (endpoint) (rate({CHARGED}[1d]))"
        f" and sum by (endpoint) (increase({CHARGED}[1h])) > 10",
        TICKET,
        for_s=900,
        summary="{{ $labels.endpoint }} costs three times what it did over the last day.",
        description="More work, dearer work, or the same work more often.",
    ),
    _alert(
        "HeddleSpendDiverges",
        f'max by (endpoint) ({DOUBTED}{{alarm="diverging"}}) > 0',
        TICKET,
        for_s=300,
        summary="The provider of {{ $labels.endpoint }} reports another sum than was metered.",
        description="Over the days of the last 31 with a report, by more than HEDDLE_SPEND_DIVERGENCE_RATIO_MAX.",
    ),
    _alert(
        "HeddleMeterSilent",
        f'max by (endpoint) ({DOUBTED}{{alarm="silent"}}) > 0',
        PAGE,
        for_s=300,
        summary="Calls to {{ $labels.endpoint }} are paid for and nothing is booked.",
        description="At least HEDDLE_SPEND_SILENT_CALLS_MIN paid calls of one day cost nothing together.",
    ),
    _alert(
        "HeddleSpendUnderUnknownKey",
        f'max by (endpoint) ({DOUBTED}{{alarm="unknown_key"}}) > 0',
        PAGE,
        for_s=0,
        summary="Money was spent at the provider of {{ $labels.endpoint }} under a key that is not ours.",
        description="A report names an account that spend_accounts of the endpoint does not.",
    ),
    _alert(
        "HeddleCostsEstimated",
        # The first estimate at an endpoint is often the only one, and the first step of a counter is no increase.
        f"sum by (endpoint) (increase({ESTIMATED}[1h])) > 0"
        f" or sum by (endpoint) ({ESTIMATED} unless {ESTIMATED} offset 1h) > 0",
        TICKET,
        for_s=900,
        summary="Calls to {{ $labels.endpoint }} are booked at their reservation.",
        description="Neither the provider nor the price list told what they cost; no result was lost.",
    ),
    _alert(
        "HeddleMonitoringAlive",
        "vector(1)",
        Severity.HEARTBEAT,
        for_s=0,
        summary="Rules are evaluated. This alert always fires.",
        description="Send it to a watchdog outside that calls when it stops coming.",
    ),
)

BURNS: Final = tuple(_burn_alert(slo, severity) for severity in (PAGE, TICKET) for slo in slos.ALL)

ALL: Final[tuple[Alert, ...]] = (*STATES, *BURNS)
"""Every alert: states first, then the objectives."""
