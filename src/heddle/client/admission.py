"""Decide whether a request for a run can be taken, and make the record that the store admits.

Every door asks here, so a bad deadline is refused in the same words from Python, the command line and HTTP. All
problems are listed at once, each with its field. This module refuses to know quotas and money (intake decides those)
and touches nothing: time and the tenant's artifacts are handed in. Before it: a door. After: the store's ``submit``.
"""

import dataclasses
import datetime
import decimal
import re
from collections.abc import Callable, Mapping
from typing import Any

from heddle.client import money, needs, values
from heddle.client.values import Problem
from heddle.config import settings
from heddle.core import addresses, artifact, identity, run
from heddle.ports import records
from heddle.program import errors

LABELS_MAX = 16
LABEL_VALUE_CHARACTERS_MAX = 256
KEY_CHARACTERS_MAX = 255
DEADLINE_LEAST_S = 0.1
START_AHEAD_MAX_S = 90 * 86_400.0
WORKFLOW_CHARACTERS_MAX = 200

_LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-/]{0,63}\Z")
_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")

FindArtifact = Callable[[str], artifact.Artifact | None]


class InvalidInput(ValueError):
    """Say everything that is wrong with a request. ``problems`` is never empty."""

    def __init__(self, problems: list[Problem]) -> None:
        assert problems, "a refusal names what it refuses"
        super().__init__("; ".join(f"{problem.field} {problem.message}" for problem in problems))
        self.problems = problems


class UnknownWorkflow(InvalidInput):
    """Say that no loaded code has a workflow of this name or version."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """Hold what a caller asks for, before anything is checked.

    ``input``: JSON values and artifacts by keyword. ``deadline_s``: 0.1 s to ``deadline_max_s``, counted from
    admission. ``start_at``: aware. ``labels``: up to 16. ``max_cost_usd``: a decimal string. ``version``: the newest
    loaded one when None. ``workflow``: its name, or ``model:NAME`` or ``step:NAME`` to start one call by itself.
    """

    workflow: str
    input: Mapping[str, Any]
    version: int | None = None
    priority: str = run.Priority.STANDARD.value
    deadline_s: float | None = None
    start_at: datetime.datetime | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    webhook_url: str | None = None
    max_cost_usd: str | int | decimal.Decimal | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None


def admit(
    request: RunRequest,
    *,
    tenant: records.Tenant,
    programs: needs.Programs,
    limits: settings.Settings,
    now: datetime.datetime,
    find_artifact: FindArtifact,
) -> records.NewRun:
    """Make the record the store admits. Raises InvalidInput with every problem, UnknownWorkflow."""
    raw = values.with_marks(dict(request.input))
    problems = [*_option_problems(request, limits=limits, now=now), *_size_problems(raw, limits=limits)]
    direct = find_direct(programs, request.workflow)
    definition = direct or find_workflow(programs, request.workflow, request.version)
    if problems:
        raise InvalidInput(problems)
    encoded = _validated(definition, raw)
    encoded = _with_known_artifacts(encoded, find_artifact)
    cost = request.max_cost_usd
    return records.NewRun(
        tenant=tenant,
        workflow=definition.name,
        version=definition.version,
        input=encoded,
        priority=run.Priority(request.priority),
        deadline_s=request.deadline_s,
        start_at=request.start_at,
        labels=dict(request.labels),
        webhook_url=request.webhook_url,
        max_cost_nano_usd=None if cost is None else money.nano_usd(cost),
        idempotency_key=request.idempotency_key,
        fingerprint=_fingerprint(request, raw),
        traceparent=trace_parent(request.traceparent),
        call=None if direct is None else direct.planned(encoded),
    )


def find_direct(programs: needs.Programs, name: str) -> needs.DirectCall | None:
    """Give the model or step that a name such as ``model:relight`` stands for; None for a workflow's name.

    Raises UnknownWorkflow.
    """
    try:
        return programs.direct(name)
    except LookupError as error:
        raise UnknownWorkflow([Problem(field="workflow", message=str(error))]) from error


def find_workflow(programs: needs.Programs, name: str, version: int | None) -> needs.Workflow:
    """Give a registered workflow. Raises UnknownWorkflow naming those that exist."""
    try:
        return programs.workflow(name, version)
    except LookupError as error:
        known = sorted({definition.name for definition in programs.workflows()})
        shown = ", ".join(known[:10]) + (", …" if len(known) > 10 else "") if known else "none; see HEDDLE_WORKFLOWS"
        which = repr(name[:WORKFLOW_CHARACTERS_MAX]) + ("" if version is None else f" version {version}")
        raise UnknownWorkflow(
            [Problem(field="workflow", message=f"{which} is not loaded here; the loaded workflows are: {shown}")]
        ) from error


def trace_parent(header: str | None) -> str | None:
    """Give a W3C traceparent when well formed, else None: a broken one starts a new trace (Trace Context, 3.2.2)."""
    return header if header is not None and _TRACEPARENT.match(header) else None


def key_problems(key: str | None, *, field: str) -> list[Problem]:
    """List what is wrong with an idempotency key."""
    if key is None or _KEY.match(key):
        return []
    return [
        Problem(field=field, message=f"must be 1 to {KEY_CHARACTERS_MAX} printable ASCII characters without spaces")
    ]


def _option_problems(request: RunRequest, *, limits: settings.Settings, now: datetime.datetime) -> list[Problem]:
    return [
        *_priority_problems(request.priority),
        *_time_problems(request, limits=limits, now=now),
        *_label_problems(request.labels),
        *_webhook_problems(request.webhook_url, limits=limits),
        *_cost_problems(request.max_cost_usd),
        *key_problems(request.idempotency_key, field="idempotency_key"),
    ]


def _priority_problems(priority: str) -> list[Problem]:
    known = [member.value for member in run.Priority]
    return [] if priority in known else [Problem(field="priority", message=f"must be one of {', '.join(known)}")]


def _time_problems(request: RunRequest, *, limits: settings.Settings, now: datetime.datetime) -> list[Problem]:
    found: list[Problem] = []
    deadline_s, start_at = request.deadline_s, request.start_at
    if deadline_s is not None and not DEADLINE_LEAST_S <= deadline_s <= limits.deadline_max_s:
        past = "is in the past; it" if deadline_s <= 0 else "is out of range; it"
        message = f"{past} counts seconds from now and must be from {DEADLINE_LEAST_S:g} to {limits.deadline_max_s:g}"
        found.append(Problem(field="deadline_s", message=message))
    if start_at is None:
        return found
    if start_at.tzinfo is None:
        return [
            *found,
            Problem(field="start_at", message="has no time zone; write it in UTC, such as 2027-01-31T09:00:00Z"),
        ]
    ahead_s = (start_at - now).total_seconds()
    # A start that has just passed is taken as now: a replay must not be refused while its key lives.
    if ahead_s < -limits.idempotency_hours * 3600.0:
        found.append(Problem(field="start_at", message="is in the past; leave it out to start at once"))
    if ahead_s > START_AHEAD_MAX_S:
        found.append(Problem(field="start_at", message=f"is more than {START_AHEAD_MAX_S / 86_400:g} days ahead"))
    if deadline_s is not None and ahead_s >= deadline_s > 0:
        message = "would end before start_at; it counts from admission, not from the start"
        found.append(Problem(field="deadline_s", message=message))
    return found


def _label_problems(labels: Mapping[str, str]) -> list[Problem]:
    if len(labels) > LABELS_MAX:
        return [Problem(field="labels", message=f"has {len(labels)} entries; at most {LABELS_MAX} are kept")]
    found: list[Problem] = []
    for name, value in labels.items():
        field = f"labels.{name[:64]}"
        if not _LABEL_NAME.match(name):
            message = "must be named by 1 to 64 of letters, digits and _ . - /, beginning with a letter or digit"
            found.append(Problem(field=field, message=message))
        elif not _is_short_text(value):
            found.append(
                Problem(field=field, message=f"must be text of at most {LABEL_VALUE_CHARACTERS_MAX} characters")
            )
        elif not values.is_storable_text(value):
            found.append(Problem(field=field, message="holds a NUL or half of a surrogate pair; send valid Unicode"))
    return found


def _is_short_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LABEL_VALUE_CHARACTERS_MAX


def _webhook_problems(url: str | None, *, limits: settings.Settings) -> list[Problem]:
    """Refuse by its form what would be accepted and never delivered; where its name leads is asked when it is sent."""
    if url is None:
        return []
    found = addresses.url_problem(url, is_private_allowed=limits.webhook_private_allowed)
    return [] if found is None else [Problem(field="webhook_url", message=found)]


def _cost_problems(cost: str | int | decimal.Decimal | None) -> list[Problem]:
    if cost is None:
        return []
    try:
        money.nano_usd(cost)
    except money.NotMoney as error:
        return [Problem(field="max_cost_usd", message=str(error))]
    return []


def _size_problems(raw: dict[str, Any], *, limits: settings.Settings) -> list[Problem]:
    found = values.problems(raw, field="input")
    if found:
        return found
    for name, value in raw.items():
        size_bytes = values.size_bytes(value)
        if size_bytes > limits.inline_bytes_max:
            message = (
                f"is {size_bytes} bytes as JSON; at most {limits.inline_bytes_max} are kept inline: "
                "upload it (POST /v1/artifacts) and pass the artifact's id"
            )
            found.append(Problem(field=f"input.{name}"[: values.PATH_CHARACTERS_MAX], message=message))
    return found[: values.PROBLEMS_MAX]


def _validated(definition: needs.Workflow | needs.DirectCall, raw: dict[str, Any]) -> dict[str, Any]:
    try:
        return definition.validate_input(raw)
    except errors.InputRefused as error:
        raise InvalidInput(
            [
                Problem(field=f"input.{path}"[: values.PATH_CHARACTERS_MAX] if path else "input", message=message)
                for path, message in error.errors[: values.PROBLEMS_MAX]
            ]
        ) from error


def _with_known_artifacts(encoded: dict[str, Any], find_artifact: FindArtifact) -> dict[str, Any]:
    """Replace each reference by the artifact as stored: a caller's word about size and media type is not taken."""
    named = values.references(encoded, field="input")
    if len(named) > values.ARTIFACTS_MAX:
        message = f"names {len(named)} artifacts; at most {values.ARTIFACTS_MAX} are taken in one run"
        raise InvalidInput([Problem(field="input", message=message)])
    known = {reference.sha256: find_artifact(reference.sha256) for _, reference in named}
    missing = [
        Problem(
            field=path[: values.PATH_CHARACTERS_MAX],
            message=f"{reference.id} is not an artifact of yours; upload it first",
        )
        for path, reference in named
        if known[reference.sha256] is None
    ]
    if missing:
        raise InvalidInput(missing[: values.PROBLEMS_MAX])
    replaced = values.with_artifacts(encoded, lambda reference: known[reference.sha256] or reference)
    assert isinstance(replaced, dict)
    return replaced


def _fingerprint(request: RunRequest, raw: dict[str, Any]) -> str:
    """Tell equal requests from others by what the caller wrote: a deploy between two tries changes nothing."""
    cost = request.max_cost_usd
    return identity.fingerprint(
        {
            "workflow": request.workflow,
            "version": request.version,
            "input": raw,
            "priority": request.priority,
            "deadline_s": request.deadline_s,
            "start_at": None if request.start_at is None else request.start_at.astimezone(datetime.UTC).isoformat(),
            "labels": dict(request.labels),
            "webhook_url": request.webhook_url,
            "max_cost_nano_usd": None if cost is None else money.nano_usd(cost),
        }
    )
