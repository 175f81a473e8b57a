"""Make journals for tests, and replay a plan as if its calls had ended."""

import uuid
from collections.abc import Mapping
from typing import Any

from heddle.core import faults, plan, step
from heddle.program import driver
from heddle.program.definitions import WorkflowDefinition

RUN = uuid.UUID("0190163d-8694-739b-aea5-966c26f8ad91")
NOW_S = 1_750_000_000.25
BROKEN = faults.StepFault(fault=faults.Fault.REJECTED_PERMANENT, message="the photo is no photo", where="endpoint:one")


def journal(
    workflow: WorkflowDefinition,
    given: Mapping[str, object] | None = None,
    *,
    entries: Mapping[int, plan.JournalEntry] | None = None,
    patches: frozenset[str] = frozenset(),
    stopping: plan.StopReason | None = None,
    stop_ordinal: int = 0,
) -> plan.Journal:
    """Give the journal of a run that was admitted."""
    return plan.Journal(
        run_id=RUN,
        workflow=workflow.name,
        version=workflow.version,
        input=workflow.validate_input(given or {}),
        entries=entries or {},
        patches=patches,
        now_s=NOW_S,
        stopping=stopping,
        stop_ordinal=stop_ordinal,
    )


def first_plan(workflow: WorkflowDefinition, given: Mapping[str, object] | None = None) -> plan.Plan:
    """Run the first activation of a run."""
    return driver.activate(workflow, journal(workflow, given))


def succeeded(call: plan.PlannedCall, output: Any) -> plan.JournalEntry:
    """Give the entry of a call that gave ``output``."""
    return entry(call, step.StepState.SUCCEEDED, output=output, has_output=True)


def failed(call: plan.PlannedCall, fault: faults.StepFault = BROKEN) -> plan.JournalEntry:
    """Give the entry of a call that failed."""
    return entry(call, step.StepState.FAILED, fault=fault)


def entry(call: plan.PlannedCall, state: step.StepState, **facts: Any) -> plan.JournalEntry:
    """Give the entry of a planned call in a state."""
    return plan.JournalEntry(
        ordinal=call.ordinal, kind=call.kind, name=call.name, digest=call.digest, state=state, **facts
    )


def by_ordinal(*entries: plan.JournalEntry) -> dict[int, plan.JournalEntry]:
    """Give entries as a journal holds them."""
    return {one.ordinal: one for one in entries}


def fault_of(planned: plan.Plan) -> faults.StepFault:
    """Give the fault of a plan that ended in one."""
    assert isinstance(planned.ending, plan.Raised), planned.ending
    return planned.ending.fault
