"""Offer operators one object: pause, drain, resume, limits, verdicts by hand, bulk operations, the audit trail.

It checks what is asked and names every field at fault; who may ask is for the door to know (scope ``admin``, or a shell
on the machine). The wiring makes it, once per process. Before it: the API and the command line. After it:
``ports.operators``.
"""

import dataclasses
import datetime
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from heddle.client import money, pages, values
from heddle.client.admission import InvalidInput
from heddle.client.values import Problem
from heddle.config import settings
from heddle.core import faults, ids, run
from heddle.ports import doors, operators, records

RUN_IDS_MAX = 1_000
CONCURRENCY_MAX = 1_000_000
REQUESTS_PER_MIN_MAX = 10_000_000
AUDIT_MAX = 1_000
KEYS_MAX = 1_000
CANARY_SHARE_MIN, CANARY_SHARE_MAX = 0.001, 0.5
CANARY_MARGIN = 0.05
"""How much worse a canary may be when nobody says."""
CANARY_MARGIN_MAX = 0.5
VERDICTS = ("done", "failed", "retry")
DRAIN_LOOK_S = 0.5
DRAIN_MAX_S = 604_800.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BulkRequest:
    """Ask for a bulk operation in the words of the contract; see ``ports.operators.BulkFilter``."""

    action: str
    workflow: str | None = None
    state: str | None = None
    label: tuple[str, str] | None = None
    created_after: datetime.datetime | None = None
    created_before: datetime.datetime | None = None
    fault: str | None = None
    run_ids: Sequence[str | uuid.UUID] = ()
    priority: str | None = None


class Operating:
    """Operate one installation. ``actor`` of every change is who the audit trail names. A tenant is named, and made by
    nothing here: every method that takes one raises SubjectMissing where there is none of its name.
    """

    def __init__(
        self,
        *,
        operators: operators.Operators,
        tenants: Callable[[str], records.Tenant],
        limits: settings.Settings,
        monotonic_s: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._operators = operators
        self._tenants = tenants
        self._limits = limits
        self._monotonic_s = monotonic_s
        self._pause = pause

    def pause(self, kind: str, name: str, *, actor: str) -> datetime.datetime:
        """Let no new work of an endpoint, model or tenant be claimed; give since when. In flight goes on.

        A second call changes nothing. Raises SubjectMissing, InvalidInput.
        """
        return self._operators.pause(kind=_kind(kind), name=name, actor=actor)

    def resume(self, kind: str, name: str, *, actor: str) -> bool:
        """Undo a pause; False when there was none. ``sending``: the pause that a restore began. Raises as ``pause``."""
        if kind == "sending":
            return self._operators.resume_sending(actor=actor)
        return self._operators.resume(kind=_kind(kind), name=name, actor=actor)

    def drain(self, kind: str, name: str, *, actor: str, timeout_s: float) -> Iterator[operators.InFlight]:
        """Pause, then tell what is in flight until nothing is or ``timeout_s`` is over; the last count tells which.

        timeout_s: 0 to ``DRAIN_MAX_S``. Raises as ``pause``.
        """
        if not 0 <= timeout_s <= DRAIN_MAX_S:
            raise InvalidInput([Problem(field="timeout_s", message=f"must be from 0 to {DRAIN_MAX_S:g}")])
        self.pause(kind, name, actor=actor)
        until_s = self._monotonic_s() + timeout_s
        while True:
            held = self._operators.in_flight(kind=_kind(kind), name=name)
            yield held
            if held.total == 0 or self._monotonic_s() >= until_s:
                return
            self._pause(DRAIN_LOOK_S)

    def set_limits(
        self, endpoint: str, *, concurrency: operators.Limit, requests_per_min: operators.Limit, actor: str
    ) -> None:
        """Set an endpoint's limits over those of heddle.toml until ``reset_limits``; None: no such limit; one that is
        ``UNCHANGED`` stays as it is.

        Two calls at once that each change one limit change both. Raises InvalidInput, SubjectMissing, ChangeRefused.
        """
        problems = []
        if isinstance(concurrency, int) and not 0 <= concurrency <= CONCURRENCY_MAX:
            problems.append(Problem(field="concurrency", message=f"must be from 0 to {CONCURRENCY_MAX}"))
        if isinstance(requests_per_min, int) and not 1 <= requests_per_min <= REQUESTS_PER_MIN_MAX:
            problems.append(Problem(field="requests_per_min", message=f"must be from 1 to {REQUESTS_PER_MIN_MAX}"))
        if problems:
            raise InvalidInput(problems)
        change = operators.LimitChange(concurrency=concurrency, requests_per_min=requests_per_min)
        self._operators.set_limits(endpoint=endpoint, change=change, actor=actor)

    def reset_limits(self, endpoint: str, *, actor: str) -> bool:
        """Go back to heddle.toml's limits; False when none were set over them."""
        return self._operators.reset_limits(endpoint=endpoint, actor=actor)

    def start_canary(self, model: str, endpoint: str, *, share: float, margin: float, actor: str) -> None:
        """Try a route on a share of its tier's traffic (0.001 to 0.5); ``margin``: by how much its share of bad calls
        may be above the others' (0 to 0.5) before it is rolled back by itself.

        A second call begins to count anew. Raises InvalidInput, SubjectMissing, ChangeRefused.
        """
        problems = []
        if not CANARY_SHARE_MIN <= share <= CANARY_SHARE_MAX:
            problems.append(Problem(field="share", message=f"must be from {CANARY_SHARE_MIN} to {CANARY_SHARE_MAX}"))
        if not 0 <= margin <= CANARY_MARGIN_MAX:
            problems.append(Problem(field="margin", message=f"must be from 0 to {CANARY_MARGIN_MAX}"))
        if problems:
            raise InvalidInput(problems)
        self._operators.start_canary(model=model, endpoint=endpoint, share=share, margin=margin, actor=actor)

    def promote_canary(self, model: str, endpoint: str, *, actor: str) -> None:
        """Let a canary be a route like the others, until it is reset; the audit trail has what was counted of it.

        A second call changes nothing. Raises SubjectMissing, ChangeRefused.
        """
        self._operators.promote_canary(model=model, endpoint=endpoint, actor=actor)

    def roll_back_canary(self, model: str, endpoint: str, *, actor: str) -> None:
        """Give a canary nothing more, until it is reset; the audit trail has what was counted of it.

        A second call changes nothing. Raises SubjectMissing, ChangeRefused.
        """
        self._operators.roll_back_canary(model=model, endpoint=endpoint, actor=actor)

    def reset_canary(self, model: str, endpoint: str, *, actor: str) -> bool:
        """Go back to what heddle.toml says of a route; False when that is in force. Raises SubjectMissing."""
        return self._operators.reset_canary(model=model, endpoint=endpoint, actor=actor)

    def settle(
        self, run_id: str | uuid.UUID, ordinal: int, *, verdict: str, output: Any, cost_usd: str | None, actor: str
    ) -> None:
        """Decide a step whose outcome nobody knows: done (with its output), failed, or retry (paid anew).

        ``cost_usd``: what the provider charged, booked to the ledger; None: nothing is known. Raises InvalidInput,
        RunMissing, SubjectMissing, ChangeRefused.
        """
        problems = []
        if verdict not in VERDICTS:
            problems.append(Problem(field="verdict", message=f"must be one of {', '.join(VERDICTS)}"))
        if verdict == "done":
            problems += values.problems(output, field="output")
            if not problems and values.size_bytes(output) > self._limits.inline_bytes_max:
                problems.append(
                    Problem(field="output", message=f"is over {self._limits.inline_bytes_max} bytes as JSON")
                )
        elif output is not None:
            problems.append(Problem(field="output", message="belongs to the verdict done only"))
        cost_nano_usd = None
        if cost_usd is not None:
            try:
                cost_nano_usd = money.nano_usd(cost_usd)
            except ValueError as error:
                problems.append(Problem(field="cost_usd", message=str(error)))
        if problems:
            raise InvalidInput(problems)
        self._operators.settle_unknown(
            run_id=_uuid(run_id),
            ordinal=ordinal,
            verdict=verdict,
            output=output,
            cost_nano_usd=cost_nano_usd,
            actor=actor,
        )

    def unknown_calls(
        self, *, tenant: str | records.Tenant | None = None, after: str | None = None, limit: int
    ) -> operators.UnknownPage:
        """Show calls whose outcome nobody knows, of one tenant or of all, those of the oldest runs first, at most
        ``page_max``; ``after`` is ``following`` of the page before. Raises InvalidInput, SubjectMissing.
        """
        pages.check_limit(limit, page_max=self._limits.page_max)
        return self._operators.unknown_calls(
            tenant=None if tenant is None else self._tenant(tenant),
            after=None if after is None else _attempt(after),
            limit=limit,
        )

    # In bulk

    def start(self, request: BulkRequest, *, tenant: str | records.Tenant, actor: str) -> operators.OperationView:
        """Begin a bulk operation; the leading worker carries it out. A second call begins another. Raises
        InvalidInput.
        """
        return self._operators.start_operation(self._operation(request, tenant, actor))

    def preview(self, request: BulkRequest, *, tenant: str | records.Tenant) -> operators.Preview:
        """Tell which runs an operation would touch, changing nothing. Raises InvalidInput."""
        new = self._operation(request, tenant, "preview")
        return self._operators.preview(new, seconds_max=self._limits.preview_max_s)

    def show(self, operation_id: str | uuid.UUID, *, tenant: str | records.Tenant) -> operators.OperationView:
        """Show how far an operation has come. Raises SubjectMissing."""
        return self._operators.operation(tenant=self._tenant(tenant), operation_id=_operation_uuid(operation_id))

    def stop(self, operation_id: str | uuid.UUID, *, tenant: str | records.Tenant, actor: str) -> bool:
        """End an operation after its present chunk; what it did stays. False when it is over. Raises SubjectMissing."""
        return self._operators.stop_operation(
            tenant=self._tenant(tenant), operation_id=_operation_uuid(operation_id), actor=actor
        )

    def dead_letters(
        self,
        *,
        tenant: str | records.Tenant,
        workflow: str | None = None,
        fault: str | None = None,
        before: uuid.UUID | None = None,
        limit: int = 50,
    ) -> Sequence[operators.DeadLetter]:
        """Show runs that ended in failure and can be replayed, newest first, at most ``page_max``.

        Raises InvalidInput.
        """
        if fault is not None and fault not in set(faults.Fault):
            raise InvalidInput([Problem(field="fault", message=f"must be one of {', '.join(faults.Fault)}")])
        pages.check_limit(limit, page_max=self._limits.page_max)
        return self._operators.dead_letters(
            tenant=self._tenant(tenant), workflow=workflow, fault=fault, before=before, limit=limit
        )

    def api_keys(self, *, tenant: str | records.Tenant | None = None, limit: int) -> Sequence[operators.KeyView]:
        """Show API keys, of one tenant or of all, newest first, at most ``limit`` (1 to 1,000)."""
        if not 1 <= limit <= KEYS_MAX:
            raise InvalidInput([Problem(field="limit", message=f"must be from 1 to {KEYS_MAX}")])
        return self._operators.api_keys(tenant=None if tenant is None else self._tenant(tenant), limit=limit)

    def revoke_api_key(self, key_id: int, *, actor: str) -> datetime.datetime:
        """Refuse a key from now on, and tell since when. Doors that have just seen it remember it for
        ``keys.REMEMBERED_S`` more. A second call changes nothing. Raises SubjectMissing.
        """
        return self._operators.revoke_api_key(key_id=key_id, actor=actor)

    def audit(self, *, limit: int) -> Sequence[operators.AuditView]:
        """Show the latest changes made by hand, newest first, at most ``limit`` (1 to 1,000)."""
        if not 1 <= limit <= AUDIT_MAX:
            raise InvalidInput([Problem(field="limit", message=f"must be from 1 to {AUDIT_MAX}")])
        return self._operators.audit(limit=limit)

    def _tenant(self, tenant: str | records.Tenant) -> records.Tenant:
        return tenant if isinstance(tenant, records.Tenant) else self._tenants(tenant)

    def _operation(self, request: BulkRequest, tenant: str | records.Tenant, actor: str) -> operators.NewOperation:
        problems = _problems(request)
        if problems:
            raise InvalidInput(problems)
        return operators.NewOperation(
            tenant=self._tenant(tenant),
            action=operators.Action(request.action),
            where=operators.BulkFilter(
                workflow=request.workflow,
                state=None if request.state is None else run.RunState(request.state),
                label=request.label,
                created_after=request.created_after,
                created_before=request.created_before,
                fault=request.fault,
                run_ids=tuple(_uuid(each) for each in request.run_ids),
            ),
            priority=None if request.priority is None else run.Priority(request.priority),
            actor=actor,
        )


def _problems(request: BulkRequest) -> list[Problem]:
    """Name every field at fault. A filter that narrows nothing is one: everything is asked for by name, not by
    omission.
    """
    problems = []
    if request.action not in set(operators.Action):
        problems.append(Problem(field="action", message=f"must be one of {', '.join(operators.Action)}"))
    if request.state is not None and request.state not in set(run.RunState):
        problems.append(Problem(field="state", message=f"must be one of {', '.join(run.RunState)}"))
    if request.fault is not None and request.fault not in set(faults.Fault):
        problems.append(Problem(field="fault", message=f"must be one of {', '.join(faults.Fault)}"))
    if request.priority is not None and request.priority not in set(run.Priority):
        problems.append(Problem(field="priority", message=f"must be one of {', '.join(run.Priority)}"))
    is_reprioritise = request.action == operators.Action.REPRIORITISE.value
    if is_reprioritise and request.priority is None:
        problems.append(Problem(field="priority", message="is required to reprioritise"))
    if not is_reprioritise and request.priority is not None:
        problems.append(Problem(field="priority", message="belongs to reprioritise only"))
    if len(request.run_ids) > RUN_IDS_MAX:
        problems.append(Problem(field="run_ids", message=f"has {len(request.run_ids)} entries; at most {RUN_IDS_MAX}"))
    narrows = (request.workflow, request.state, request.label, request.created_after, request.created_before)
    if all(each is None for each in (*narrows, request.fault)) and not request.run_ids:
        message = "narrows nothing; name a workflow, state, label, time, fault or run_ids"
        problems.append(Problem(field="filter", message=message))
    return problems


def _kind(kind: str) -> operators.Kind:
    try:
        return operators.Kind(kind)
    except ValueError as error:
        message = f"must be one of {', '.join(operators.Kind)}"
        raise InvalidInput([Problem(field="kind", message=message)]) from error


def _uuid(run_id: str | uuid.UUID) -> uuid.UUID:
    try:
        return run_id if isinstance(run_id, uuid.UUID) else uuid.UUID(run_id)
    except ValueError as error:
        raise doors.RunMissing(str(run_id)[:100]) from error


def _attempt(cursor: str) -> ids.AttemptId:
    try:
        found = ids.AttemptId.parse(cursor)
    except ValueError:
        found = None
    if found is None or max(found.ordinal, found.number) >= 2**31:
        raise InvalidInput([pages.NO_CURSOR])
    return found


def _operation_uuid(operation_id: str | uuid.UUID) -> uuid.UUID:
    try:
        return operation_id if isinstance(operation_id, uuid.UUID) else uuid.UUID(operation_id)
    except ValueError as error:
        raise operators.SubjectMissing(f"there is no operation {str(operation_id)[:100]}") from error
