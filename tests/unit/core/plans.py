"""Make plans for tests of placement, and read what they were placed as."""

import uuid
from collections.abc import Mapping
from typing import Any

from heddle.core import faults, placement, plan, step

RUN = uuid.UUID("0190163d-8694-739b-aea5-966c26f8ad91")
RAISED = plan.Raised(fault=faults.StepFault(fault=faults.Fault.CANCELLED, message="stopped"))


def call(
    ordinal: int,
    *parents: int,
    kind: step.StepKind = step.StepKind.STEP,
    name: str = "score",
    delay_s: float | None = None,
    output: Any = None,
) -> plan.PlannedCall:
    """Give a planned call that takes values from its parents."""
    return plan.PlannedCall(
        ordinal=ordinal,
        kind=kind,
        name=name,
        version=1,
        digest="d",
        arguments={},
        parents=parents,
        options=plan.CallOptions(delay_s=delay_s),
        output=output,
    )


def suspended(*ordinals: int, count: int | None = None, max_failed: int | None = None) -> plan.Suspended:
    """Give the ending of a function that waits for calls: for all of them, unless a count is given."""
    wanted = len(ordinals) if count is None else count
    return plan.Suspended(need=plan.Need(ordinals=ordinals, count=wanted, max_failed=max_failed))


def standing(
    states: Mapping[int, step.StepState] | None = None,
    *,
    open_calls: int = 0,
    signals: Mapping[str, int] | None = None,
    is_stopping: bool = False,
) -> placement.Standing:
    """Give how a run and its old calls stand."""
    return placement.Standing(
        states=states or {}, open_calls=open_calls, signals=signals or {}, is_stopping=is_stopping
    )


def made(*calls: plan.PlannedCall, ending: plan.Ending) -> plan.Plan:
    """Give a plan."""
    return plan.Plan(run_id=RUN, calls=calls, ending=ending)


def place(
    *calls: plan.PlannedCall, ending: plan.Ending | None = None, standing: placement.Standing | None = None
) -> placement.Placement:
    """Place a plan; one without an ending waits for its last call, or for nothing."""
    awaited = suspended(*[item.ordinal for item in calls[-1:]])
    now = placement.Standing(states={}, open_calls=0, signals={}, is_stopping=False)
    return placement.place(made(*calls, ending=ending or awaited), standing or now)


def states(placed: placement.Placement) -> dict[int, str]:
    """Give the state of each new call."""
    return {item.call.ordinal: item.state.value for item in placed.calls}


def blockers(placed: placement.Placement) -> dict[int, int]:
    """Give what each new call still waits for."""
    return {item.call.ordinal: item.blockers for item in placed.calls}


def children(placed: placement.Placement) -> dict[int, tuple[int, ...]]:
    """Give the new calls that wait for each new call."""
    return {item.call.ordinal: item.children for item in placed.calls}
