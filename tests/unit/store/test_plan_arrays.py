"""The columns of a batch of plans: what is shared stands once, what is usual is left out, what is direct is marked."""

import uuid
from typing import Any

from heddle.core import lanes, placement, plan, step
from heddle.core import run as run_law
from heddle.ports import store
from heddle.store import plan_arrays

RUN = uuid.UUID("0190163d-8694-739b-aea5-966c26f8ad91")
CHILD = uuid.UUID("0190163d-8694-739b-aea5-966c26f8ad92")


def _call(ordinal: int, *parents: int, kind: step.StepKind = step.StepKind.STEP) -> plan.PlannedCall:
    return plan.PlannedCall(
        ordinal=ordinal,
        kind=kind,
        name="score",
        version=1,
        digest=f"d{ordinal}",
        arguments={"x": ordinal},
        parents=parents,
        options=plan.CallOptions(delay_s=5.0 if kind is step.StepKind.SLEEP else None),
    )


def _arrays(made: plan.Plan, standing: placement.Standing, direct: store.Direct | None = None) -> dict[str, list[Any]]:
    arrays = plan_arrays.PlanArrays(direct)
    arrays.add(
        write=store.PlanWrite(plan=made, fence=41, wake_seq=7),
        placed=placement.place(made, standing),
        tenant_id=9,
        priority=run_law.Priority.BATCH,
        planned=2,
        child_ids={4: CHILD},
    )
    return arrays.values


SUSPENDED = plan.Plan(
    run_id=RUN,
    calls=(_call(3, 1, 2), _call(4, kind=step.StepKind.WORKFLOW), _call(5, kind=step.StepKind.SLEEP), _call(6, 3)),
    ending=plan.Suspended(need=plan.Need(ordinals=(6, 5), count=2, max_failed=1)),
    handled=(1,),
    awaited=(1, 2),
    patches=("fix",),
)
OPEN = placement.Standing(
    states={1: step.StepState.SUCCEEDED, 2: step.StepState.DUE}, open_calls=1, signals={}, is_stopping=False
)


def test_plan_arrays_when_a_function_is_suspended_then_its_run_is_written() -> None:
    values = _arrays(SUSPENDED, OPEN)

    written = {name: values[name] for name in ("run_ids", "fences", "functions", "shapes", "refs", "awaits", "lefts")}
    assert written == {
        "run_ids": [RUN],
        "fences": [41],
        "functions": ["running"],
        "shapes": [None],
        "refs": [None],
        "awaits": ["{6,5}"],
        "lefts": [2],
    }
    assert (values["failures_lefts"], values["handled"], values["awaited"]) == ([1], ["{1}"], ["{1,2}"])
    assert (values["patches"], values["planned"], values["opens"]) == (['{"fix"}'], [6], [4])


def test_plan_arrays_when_calls_are_planned_then_they_are_written_with_edges_and_timers() -> None:
    values = _arrays(SUSPENDED, OPEN)

    assert (values["call_runs"], values["ordinals"]) == ([1, 1, 1, 1], [3, 4, 5, 6])
    assert (values["callees"], values["kinds"]) == ([1, 2, 3, 1], ["step", "workflow", "sleep"])
    assert values["states"] == ["blocked", "waiting", "waiting", "blocked"]
    assert (values["blockers"], values["parents"]) == ([1, None, None, 1], ["{1,2}", None, None, "{3}"])
    assert (values["children"], values["child_runs"]) == (["{6}", None, None, None], [None, CHILD, None, None])
    assert (values["edge_parents"], values["edge_children"]) == ([2], [3])
    assert (values["timer_ordinals"], values["timer_kinds"], values["timer_delays"]) == ([5], ["sleep"], [5.0])
    assert (values["inputs"][0], values["options"][:3]) == ('{"x":3}', [None, None, '{"delay_s":5.0}'])


def test_plan_arrays_when_a_function_returned_then_its_value_is_written_and_nothing_is_awaited() -> None:
    made = plan.Plan(run_id=RUN, calls=(), ending=plan.Returned(shape={"$call": [1, []]}, refs=(1,)))

    values = _arrays(made, placement.Standing(states=OPEN.states, open_calls=0, signals={}, is_stopping=False))

    assert (values["functions"], values["shapes"], values["refs"]) == (["returned"], ['{"$call":[1,[]]}'], ["{1}"])
    assert (values["awaits"], values["overs"], values["broken"], values["planned"]) == ([None], [True], [False], [2])


def test_plan_arrays_when_what_is_awaited_has_ended_then_it_is_woken_and_not_awaited() -> None:
    made = plan.Plan(run_id=RUN, calls=(), ending=plan.Suspended(need=plan.Need(ordinals=(1,), count=1)))

    values = _arrays(made, OPEN)

    assert (values["wakes"], values["awaits"]) == ([True], [None])


FREE = plan.Plan(
    run_id=RUN,
    calls=(_call(3), _call(4), _call(5, 3), _call(6, kind=step.StepKind.MODEL), _call(7)),
    ending=plan.Returned(shape=None, refs=()),
)


def _direct(places: int) -> store.Direct:
    lane = lanes.number("step", "score", 1, "batch")
    return store.Direct(worker=5, claim_id=CHILD, lanes={lane: 2}, places={2: places})


def test_plan_arrays_when_the_planner_offers_places_then_local_steps_that_wait_for_nothing_take_them() -> None:
    offer = _direct(10)

    values = _arrays(FREE, OPEN, offer)

    assert values["directs"] == [True, True, None, None, True]
    assert (values["worker"], values["claim_id"], offer.places) == (5, CHILD, {2: 7})


def test_plan_arrays_when_the_places_run_out_then_the_rest_is_queued() -> None:
    assert _arrays(FREE, OPEN, _direct(1))["directs"] == [True, None, None, None, None]


def test_plan_arrays_when_nobody_offers_places_then_none_is_direct() -> None:
    values = _arrays(FREE, OPEN)

    assert (values["directs"], values["worker"]) == ([None] * 5, None)
