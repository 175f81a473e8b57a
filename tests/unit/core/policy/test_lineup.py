"""What a run would stand behind, from the lanes as they were measured."""

import pytest

from heddle.core import run
from heddle.core.policy import admission, lineup

STANDARD, INTERACTIVE = run.Priority.STANDARD, run.Priority.INTERACTIVE
NOISY, QUIET, OTHER = 1, 2, 3


def line(queued: int, *, age_s: float = 0.0, weight: int = 1) -> lineup.TenantLine:
    return lineup.TenantLine(queued=queued, oldest_age_s=age_s, weight=weight)


def lane(
    tenants: dict[int, lineup.TenantLine],
    *,
    kind: str = "activation",
    name: str = "shoot",
    priority: run.Priority = STANDARD,
    drained_per_s: float = 100.0,
    rest: lineup.TenantLine | None = None,
    workflows: frozenset[str] = frozenset({"shoot"}),
) -> lineup.LaneLoad:
    return lineup.LaneLoad(
        kind=kind,
        name=name,
        version=1,
        priority=priority,
        queued=sum(each.queued for each in tenants.values()) + (0 if rest is None else rest.queued),
        drained_per_s=drained_per_s,
        tenants=tenants,
        rest=rest,
        workflows=workflows,
    )


@pytest.mark.parametrize(
    ("tenant", "weight", "expected"),
    [
        (NOISY, 1, 50_005),  # its own, and all that the quiet one has
        (QUIET, 1, 11),  # its own five, and six turns of the noisy one
        (OTHER, 1, 2),  # one turn of each
        (OTHER, 4, 0),  # four of its own pass before one of theirs
    ],
)
def test_ahead_of_a_tenant_is_its_own_line_and_the_shares_of_the_others(
    tenant: int, weight: int, expected: int
) -> None:
    flooded = lane({NOISY: line(50_000), QUIET: line(5)})

    assert lineup.ahead(flooded, tenant, weight=weight) == expected


def test_tenant_that_is_not_listed_has_no_more_in_line_than_the_least_that_is() -> None:
    crowded = lane({NOISY: line(500), QUIET: line(20)}, rest=line(90, weight=30))

    assert lineup.line_of(crowded, OTHER).queued == 20


@pytest.mark.parametrize(("tenant", "is_accepted"), [(NOISY, False), (QUIET, True), (OTHER, True)])
def test_flood_when_judged_then_only_the_one_that_floods_is_kept_out(tenant: int, is_accepted: bool) -> None:
    flooded = [lane({NOISY: line(100_000, age_s=700.0), QUIET: line(5)})]
    loads = lineup.loads(flooded, workflow="shoot", version=1, priority=STANDARD, tenant=tenant)

    waits_s = admission.predicted_wait_s(loads[STANDARD])

    assert (waits_s < 600.0) == is_accepted


def test_typical_tenant_when_one_floods_then_it_is_not_the_typical_one() -> None:
    assert lineup.typical(lane({NOISY: line(50_000), QUIET: line(5), OTHER: line(6)})) != NOISY


def test_typical_tenant_when_most_wait_long_then_one_of_them_is_typical() -> None:
    assert lineup.typical(lane({NOISY: line(50_000), QUIET: line(5), OTHER: line(50_000)})) != QUIET


def test_loads_when_runs_of_the_workflow_stand_before_a_model_then_its_lane_counts() -> None:
    elsewhere = lane({NOISY: line(900)}, kind="model", name="relight", workflows=frozenset({"other"}))
    here = lane({NOISY: line(300)}, kind="model", name="segment", workflows=frozenset({"shoot"}))

    loads = lineup.loads([elsewhere, here], workflow="shoot", version=1, priority=STANDARD, tenant=NOISY)

    assert loads[STANDARD].queued == 300


def test_loads_when_a_higher_class_of_the_same_thing_waits_then_it_counts_too() -> None:
    above = lane({QUIET: line(300)}, priority=INTERACTIVE)

    loads = lineup.loads([above], workflow="shoot", version=1, priority=STANDARD, tenant=NOISY)

    assert loads[INTERACTIVE].queued == 300


def test_admitted_since_the_measure_stands_in_line_too() -> None:
    measured = lane({NOISY: line(10)})

    assert lineup.load_of(measured, NOISY, admitted=40).queued == 50


def test_house_adds_up_all_lanes_and_tells_the_tenants_share() -> None:
    lanes = [lane({NOISY: line(90), QUIET: line(10, weight=3)}), lane({NOISY: line(20)}, name="other")]

    assert lineup.house(lanes, tenant=QUIET, weight=3) == admission.House(
        queued=120, mine=10, share=0.75, drained_per_s=200.0
    )
