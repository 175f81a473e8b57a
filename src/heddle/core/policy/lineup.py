"""Tell from the measured lanes what a run of one tenant would stand behind: the input of ``admission``.

A lane is one resource (an activation, a step, a model) in one class. Lanes are fair between tenants, so what is ahead
of a tenant is not the whole line: until its own is served, every other tenant is served at most its weight's share
(generalised processor sharing, Parekh and Gallager 1993). A run is judged by the lanes of its own activation and by
those in which runs of the same workflow stand already. This file refuses to decide; ``admission`` does, after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from heddle.core import run
from heddle.core.policy import admission, bounds, fairness

ACTIVATION = "activation"
"""The kind of the lanes in which activations of a workflow wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLine:
    """Report what one tenant has in one lane: steps ready, age of the oldest that could run, its weight."""

    queued: int
    oldest_age_s: float
    weight: int = 1

    def __post_init__(self) -> None:
        """Refuse figures that cannot be."""
        bounds.require_not_below(field="queued", value=self.queued, low=0, unit="steps")
        bounds.require_not_below(field="oldest_age_s", value=self.oldest_age_s, low=0, unit="seconds")
        bounds.require(field="weight", value=self.weight, low=1, high=1000, unit="weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLoad:
    """Report one lane as it was measured.

    tenants: those with the longest lines, by id. rest: what all others have together, their weights added up; None
    when everybody is listed. workflows: whose runs stand in it, from a sample.
    """

    kind: str
    name: str
    version: int
    priority: run.Priority
    queued: int
    drained_per_s: float
    tenants: Mapping[int, TenantLine]
    rest: TenantLine | None = None
    workflows: frozenset[str] = frozenset()

    @property
    def resource(self) -> tuple[str, str, int]:
        """Return what the lane is for, whatever its class."""
        return (self.kind, self.name, self.version)


def line_of(lane: LaneLoad, tenant: int) -> TenantLine:
    """Return what a tenant has in a lane; one that is not listed has no more than the least of those that are."""
    found = lane.tenants.get(tenant)
    if found is not None:
        return found
    if lane.rest is None or not lane.tenants:
        return TenantLine(queued=0, oldest_age_s=0.0)
    least = min(lane.tenants.values(), key=lambda line: line.queued)
    return TenantLine(queued=min(least.queued, lane.rest.queued), oldest_age_s=0.0)


def ahead(lane: LaneLoad, tenant: int, *, weight: int = 1, admitted: int = 0) -> int:
    """Return how many steps of a lane are served before one more of a tenant's: its own and the others' shares.

    weight: the tenant's, when it has nothing in line yet. admitted: what came in after the lane was measured.
    """
    own = line_of(lane, tenant)
    weight = own.weight if tenant in lane.tenants else weight
    turns = (own.queued + admitted + 1) / weight
    others: list[TenantLine] = [line for other, line in lane.tenants.items() if other != tenant]
    if lane.rest is not None:
        others.append(lane.rest)
    between = sum(min(float(line.queued), line.weight * turns) for line in others)
    return min(lane.queued, own.queued + int(between)) + admitted


def load_of(lane: LaneLoad, tenant: int, *, weight: int = 1, admitted: int = 0) -> admission.ClassLoad:
    """Return what a run of a tenant would stand behind in one lane."""
    return admission.ClassLoad(
        queued=ahead(lane, tenant, weight=weight, admitted=admitted),
        oldest_age_s=line_of(lane, tenant).oldest_age_s,
        drained_per_s=lane.drained_per_s,
    )


def typical(lane: LaneLoad) -> int | None:
    """Return the tenant in the middle of a lane, by weight, ordered by how long it waits; None for an empty lane.

    One tenant that floods a lane is not in the middle of it; when most of them wait, the middle one does.
    """
    if not lane.tenants:
        return None
    waits = sorted(
        (admission.predicted_wait_s(load_of(lane, tenant)), tenant, line.weight)
        for tenant, line in lane.tenants.items()
    )
    half, passed = sum(weight for _, _, weight in waits) / 2, 0
    for _, tenant, weight in waits:
        passed += weight
        if passed >= half:
            return tenant
    raise AssertionError("the weights passed add up to all of them")


def loads(
    lanes: Sequence[LaneLoad],
    *,
    workflow: str,
    version: int,
    priority: run.Priority,
    tenant: int,
    weight: int = 1,
    admitted: int = 0,
) -> dict[run.Priority, admission.ClassLoad]:
    """Return what a run stands behind, by class. admitted: runs like it that came in since the lanes were measured.

    In its own class that is the tenant's own wait; in the classes above it the tenant in the middle counts too, since
    lower work gives way to whoever waits there.
    """
    kind, separator, called = workflow.partition(":")
    own = (kind, called, version) if separator else (ACTIVATION, workflow, version)
    resources = {own} | {lane.resource for lane in lanes if workflow in lane.workflows}
    found: dict[run.Priority, admission.ClassLoad] = {}
    for lane in lanes:
        is_above = fairness.CLASSES.index(lane.priority) < fairness.CLASSES.index(priority)
        if lane.resource not in resources or not (is_above or lane.priority is priority):
            continue
        middle = typical(lane) if is_above else None
        came = 0 if is_above else admitted
        judged = [
            load_of(lane, tenant, weight=weight, admitted=came),
            *([] if middle is None else [load_of(lane, middle)]),
        ]
        before = found.get(lane.priority)
        found[lane.priority] = max([*judged, *([] if before is None else [before])], key=admission.predicted_wait_s)
    return found


def house(lanes: Iterable[LaneLoad], *, tenant: int, weight: int = 1) -> admission.House:
    """Return what all lanes hold together, and the tenant's part of it."""
    queued, mine, drained_per_s = 0, 0, 0.0
    weights: dict[int, int] = {tenant: weight}
    others = 0
    for lane in lanes:
        queued += lane.queued
        drained_per_s += lane.drained_per_s
        mine += line_of(lane, tenant).queued
        weights |= {other: line.weight for other, line in lane.tenants.items()}
        others = max(others, 0 if lane.rest is None else lane.rest.weight)
    return admission.House(
        queued=queued,
        mine=min(mine, queued),
        share=weights[tenant] / (sum(weights.values()) + others),
        drained_per_s=drained_per_s,
    )
