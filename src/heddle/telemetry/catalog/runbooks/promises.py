"""Say what to do when an objective's error budget burns, fast (a page) or slowly (a ticket).

Both alerts of an objective share their causes, so both pages are made from one entry here. Data only. Before it:
``alerts``, ``slos``. After: the documentation, one page for each alert.
"""

from dataclasses import dataclass
from typing import Final

from heddle.telemetry.catalog import alerts, metrics, slos
from heddle.telemetry.catalog.records import Action, Command, Runbook, Severity, Slo
from heddle.telemetry.catalog.runbooks import commands
from heddle.telemetry.catalog.runbooks.commands import do


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Hold what is particular to one objective."""

    slo: Slo
    user_feels: str
    look_at: str
    reads: tuple[Command, ...]
    stop_it: str
    stops: tuple[Command, ...] = ()


CAUSES: Final = (
    Cause(
        slo=slos.ADMISSION_AVAILABILITY,
        user_feels="Submits are refused with 5xx; 503 `overloaded` among them.",
        look_at="Is it the database, a release, or load shed by a policy?",
        reads=(commands.read(metrics.HTTP_REQUESTS), commands.read(metrics.RUNS_REFUSED)),
        stop_it="Go back to the release before, or bring the database back; if load is shed, add workers.",
        stops=(commands.WORKER,),
    ),
    Cause(
        slo=slos.ADMISSION_LATENCY,
        user_feels="Submitting takes longer than a quarter of a second.",
        look_at="Is the database slow, or are the web threads held by streams and waits?",
        reads=(commands.read(metrics.HTTP_DURATION), commands.SESSIONS),
        stop_it="Stop what loads the database beside Heddle; add a web process.",
    ),
    Cause(
        slo=slos.START_FRESHNESS,
        user_feels="Runs start late.",
        look_at="Too few workers, no room at endpoints, or one tenant's flood?",
        reads=(commands.read(metrics.READY_OLDEST_AGE), commands.read(metrics.ENDPOINT_IN_FLIGHT)),
        stop_it="Start workers.",
        stops=(commands.WORKER,),
    ),
    Cause(
        slo=slos.TIME_TO_RESULT,
        user_feels="Results come after their deadline, or not.",
        look_at="Slow endpoint, retries, or late starts?",
        reads=(commands.read(metrics.ENDPOINT_DURATION), commands.read(metrics.STEPS_RETRIED)),
        stop_it="Pause the slow endpoint, so that work falls back.",
        stops=(commands.PAUSE,),
    ),
)


def _runbook(cause: Cause, severity: Severity) -> Runbook:
    is_page = severity is Severity.PAGE
    slo = cause.slo
    last = (do("An example.", commands.RUNS_FAILED, commands.RUN_SHOW), do("The dependencies.", commands.DOCTOR))
    pace = (
        "14.4 times too fast over an hour or 6 times over six" if is_page else "3 times over a day or once over three"
    )
    return Runbook(
        alert=alerts.burn_alert_name(slo, severity),
        user_feels=cause.user_feels,
        see_it=f"The share of things that were not {slo.good}. Valid are {slo.valid_meaning}.",
        stop_it=cause.stop_it,
        mend_it="Remove the cause; what was late or refused is not made good, so say so to whom it hit.",
        meaning=f"The budget of {1 - slo.objective:.5g} over {slo.window_days} days burns {pace}.",
        impact=f"The promise ({slo.objective:.5%}) is broken {'within days' if is_page else 'this month'}.",
        diagnosis=(Action(text=cause.look_at, commands=cause.reads), *last),
        mitigation=(Action(text=cause.stop_it, commands=cause.stops),),
        verification=(do("The short window recovers within minutes of the cause.", commands.read(metrics.SLO_BAD)),),
        escalation="The owner of the service: for a page after 30 minutes, for a ticket at the next planning.",
    )


ALL: Final = tuple(_runbook(cause, severity) for severity in (Severity.PAGE, Severity.TICKET) for cause in CAUSES)
"""Runbooks of this subject."""
