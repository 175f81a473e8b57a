"""List the labels that metrics may carry, each with its closed set of values or its bound.

Ids of runs, steps, tenants and requests are not here: they belong to logs and spans. Values that the law names are
taken from the law. Before this: ``core``. After: ``metrics`` beside it, and the recorder, which holds every label to
its bound.
"""

import enum
import re
from collections.abc import Iterable
from typing import Final

from heddle.core import attempt, faults, outbox, run, step
from heddle.core.policy import budget, invoice
from heddle.telemetry.catalog.records import Label

LABEL_NAME: Final = re.compile(r"^[a-z][a-z_]*[a-z]$")
FORBIDDEN: Final = frozenset(
    {
        "run",
        "run_id",
        "step",
        "step_id",
        "attempt",
        "attempt_id",
        "tenant",
        "tenant_id",
        "trace_id",
        "url",
        "path",
        "id",
        "le",
    }
)
"""Names whose values have no bound (RELIABILITY 5.2), and ``le``, which belongs to histograms."""


def _closed(name: str, meaning: str, values: tuple[str, ...]) -> Label:
    return Label(name=name, meaning=meaning, values=values, values_max=len(values))


def _values(members: Iterable[enum.StrEnum]) -> tuple[str, ...]:
    return tuple(member.value for member in members)


def _open(name: str, meaning: str, values_max: int) -> Label:
    return Label(name=name, meaning=meaning, values_max=values_max)


STAGES: Final = (
    "admit",
    "activate",
    "claim",
    "execute",
    "poll",
    "settle",
    "deliver",
    "heartbeat",
    "sweep",
    "govern",
    "schedule",
    "operate",
    "observe",
)

STAGE = _closed("stage", "The stage of the walk.", STAGES)
PRIORITY = _closed("priority", "The class of the work, by its name in the API.", _values(run.Priority))
FAULT = _closed("fault", "The classified failure.", _values(faults.Fault))
RUN_STATE = _closed(
    "state", "A state in which a run ends.", _values(state for state in run.RunState if state in run.TERMINAL)
)
STEP_STATE = _closed(
    "state", "A state in which a step ends.", _values(state for state in step.StepState if state in step.TERMINAL)
)

ENDPOINT = _open("endpoint", "The endpoint by its configured name; `local` for steps that run in the worker.", 40)
WORKFLOW = _open("workflow", "The workflow by its registered name.", 60)
ROUTE = _open("route", "Method and route template, `POST /v1/runs`; never a path.", 60)
STATUS = _open("status", "The HTTP status code of the answer.", 24)
POLICY = _closed("policy", "What refused a run.", ("input", "workflow", "idempotency", "load", "quota"))
CAP = _closed("cap", "The cap on money that a call would pass.", _values(budget.Cap))
SPEND_ALARM = _closed("alarm", "What does not fit between metered and reported spend.", _values(invoice.Alarm))
EVENT = _open("event", "The event by its catalogue name; `other` for lines of other libraries.", 120)
METRIC = _open("metric", "The metric by its catalogue name.", 120)
VERSION = _open("version", "The version of Heddle.", 4)
PYTHON = _open("python", "The version of Python.", 4)

ATTEMPT_OUTCOME = _closed(
    "outcome",
    "How one attempt answered.",
    _values(state for state in attempt.AttemptState if state not in {"reserved", "sending"}),
)
TRY_OUTCOME = _closed("outcome", "How a first try ended, before any retry.", ("succeeded", "failed"))
CALLBACK_OUTCOME = _closed(
    "outcome", "What became of a provider's callback.", ("stored", "duplicate", "refused", "stray")
)
COMPUTE_OUTCOME = _closed(
    "outcome",
    "How one call in the compute pool ended.",
    ("done", "raised", "timed_out", "crashed", "too_large", "cancelled"),
)
LOOK_OUTCOME = _closed(
    "outcome",
    "What a model call that may take another's result found; lost: a result whose artifacts are gone.",
    ("first", "under_way", "found", "lost"),
)
WEBHOOK_OUTCOME = _closed(
    "outcome", "What followed from one try to deliver a webhook.", ("delivered", "retried", "dead", "gone")
)
EVENT_STATE = _closed(
    "state",
    "Where an event that is not delivered is.",
    _values(state for state in outbox.EventState if state != "delivered"),
)
DIRECTION = _closed("direction", "Which way the bytes went.", ("stored", "served"))
SLO = _closed(
    "slo",
    "The objective.",
    ("admission_availability", "admission_latency", "start_freshness", "time_to_result"),
)
