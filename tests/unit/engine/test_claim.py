"""What a worker asks for: the lanes of what it has loaded, and no more than it has places for."""

import asyncio
import random
import types
import uuid
from collections.abc import Iterator
from typing import Any, cast

import pytest

import heddle
from heddle.config import settings
from heddle.core import lanes, plan, run, step
from heddle.engine import claim, hold
from heddle.engine import parts as parts_module
from heddle.ports import store
from heddle.program import registry
from tests.unit.engine import claims

SHARES = {"interactive": 16.0, "standard": 4.0, "batch": 1.0}


@pytest.fixture(autouse=True)
def _own_names() -> Iterator[None]:
    with registry.isolated():
        for kept in (registry._names.workflows, registry._names.steps, registry._names.models):
            kept.clear()
        yield


def _claimer(**limits: Any) -> tuple[claim.Claimer, hold.Hold]:
    held = hold.Hold()
    parts = types.SimpleNamespace(
        settings=settings.Settings(**limits),
        hold=held,
        compute=types.SimpleNamespace(size=2),
        clock=types.SimpleNamespace(monotonic_s=lambda: 1_000.0, rng=random.Random(7)),
        is_draining=False,
        is_alive=types.SimpleNamespace(is_set=lambda: True),
        worker=5,
        endpoints={},
    )
    claimer = claim.Claimer(cast("parts_module.Parts", parts), hand_over=lambda _claimed, _asked_at_s: None)
    claimer._steps_per_activation = 1.0
    return claimer, held


def test_wishes_when_nothing_is_loaded_then_nothing_is_asked_for() -> None:
    assert claim.wishes([]) == claim.Wishes(local=(), models=())


def test_wishes_when_a_workflow_is_loaded_then_each_class_of_its_version_has_a_lane_with_its_share() -> None:
    @heddle.workflow(name="shoot", version=2)
    async def shoot() -> int:
        return 1

    asked = claim.wishes([])

    assert asked.local == tuple(
        store.LaneWish(
            lane=lanes.of_activation(name, version, priority.value),
            group=claim.ACTIVATIONS,
            purpose="activate",
            share=SHARES[priority.value],
        )
        for priority in run.Priority
        for name, version in (("heddle.map", 1), ("shoot", 2))
    )


def test_wishes_when_steps_are_loaded_then_sync_and_async_ones_are_of_different_groups() -> None:
    @heddle.step(name="fetch")
    async def fetch() -> int:
        return 1

    @heddle.step(name="score")
    def score() -> int:
        return 1

    groups = {wish.lane: (wish.group, wish.purpose) for wish in claim.wishes([]).local}

    assert groups[lanes.number("step", "fetch", 1, "standard")] == (claim.ASYNC_STEPS, "execute")
    assert groups[lanes.number("step", "score", 1, "standard")] == (claim.SYNC_STEPS, "execute")
    assert len(groups) == 6


def test_wishes_when_endpoints_share_a_model_then_it_is_asked_for_once_and_each_endpoint_is_polled() -> None:
    both = [claims.endpoint(), claims.endpoint(id=8, name="other", models=("segment", "relight"))]

    asked = claim.wishes(both)

    assert [(wish.model, wish.share) for wish in asked.models] == [
        (model, share) for share in SHARES.values() for model in ("relight", "segment")
    ]
    assert asked.local == tuple(
        store.LaneWish(lane=lanes.of_poll(name), group=claim.POLLS, purpose="poll", share=1.0)
        for name in ("studio", "other")
    )


def test_wishes_when_a_worker_takes_models_only_then_no_step_is_asked_for() -> None:
    @heddle.step(name="relight")
    def relight() -> int:
        return 1

    known = heddle.model("known", reuse=heddle.Reuse(hours=1))
    asked = claim.wishes([claims.endpoint()], is_models_only=True)

    looks = [wish.lane for wish in asked.local if wish.purpose != "poll"]
    assert looks == [lanes.number(plan.LOOK, known.name, known.version, each.value) for each in run.CLASS_SHARE]
    assert asked.models == claim.wishes([claims.endpoint()]).models


def test_wishes_then_no_lane_is_asked_for_twice() -> None:
    @heddle.step(name="relight")
    def relight() -> int:
        return 1

    asked = claim.wishes([claims.endpoint()])

    numbers = [wish.lane for wish in asked.local] + [wish.lane for wish in asked.models]
    assert len(set(numbers)) == len(numbers) == 7


def test_places_when_nothing_is_held_then_a_batch_of_each_and_one_more_than_the_pool_runs() -> None:
    claimer, _ = _claimer(worker_batch=100)

    assert claimer._places() == ([100, 100, 3, 100], 100)


@pytest.mark.parametrize(
    ("kind", "count", "places"),
    [
        ("activate", 15, ([5, 10, 3, 10], 10)),
        ("activate", 25, ([0, 10, 3, 10], 10)),
        ("async", 18, ([10, 2, 3, 10], 10)),
        ("sync", 2, ([10, 10, 1, 10], 10)),
        ("sync", 4, ([10, 10, 0, 10], 10)),
        ("poll", 7, ([10, 10, 3, 3], 10)),
        ("send", 28, ([10, 10, 3, 10], 2)),
        ("send", 40, ([10, 10, 3, 10], 0)),
    ],
)
def test_places_when_some_are_held_then_what_is_left_and_never_less_than_none(
    kind: str, count: int, places: tuple[list[int], int]
) -> None:
    claimer, held = _claimer(worker_batch=10, worker_steps_max=20, worker_in_flight_max=30)
    for ordinal in range(count):
        held.add(claims.claimed(ordinal=ordinal), kind=kind, now_s=0.0)

    assert claimer._places() == places


def _planned(steps: int, *, runs: int = 1) -> list[store.PlanWrite]:
    calls = tuple(
        plan.PlannedCall(
            ordinal=ordinal,
            kind=step.StepKind.STEP,
            name="score",
            version=1,
            digest="d",
            arguments={},
            parents=(),
            options=plan.CallOptions(),
        )
        for ordinal in range(1, steps + 1)
    )
    ending = plan.Returned(shape=None, refs=())
    made = plan.Plan(run_id=claims.RUN, calls=calls, ending=ending)
    return [store.PlanWrite(plan=made, fence=1, wake_seq=0) for _ in range(runs)]


def test_places_when_runs_plan_many_steps_then_only_as_many_begin_as_there_are_places_for() -> None:
    claimer, held = _claimer(worker_batch=100)
    claimer._activated_at_s = 1_000.0
    claimer.note_planned(_planned(50, runs=3))

    assert claimer._places()[0][claim.ACTIVATIONS - 1] == 5  # 203 places for steps, 50 steps a run

    held.add(claims.claimed(ordinal=0), kind="activate", now_s=0.0)
    held.add(claims.claimed(ordinal=1), kind="activate", now_s=0.0)
    assert claimer._places()[0][claim.ACTIVATIONS - 1] == 3  # two runs that are being planned will want 100 of them


def test_places_when_steps_are_left_waiting_then_runs_begin_only_every_tenth_of_a_second() -> None:
    claimer, _ = _claimer(worker_batch=100)
    claimer._note_claimed([claims.claimed(purpose="activate", ordinal=0), claims.claimed()])

    assert claimer._places()[0][claim.ACTIVATIONS - 1] == 0

    claimer._activated_at_s -= claim._ACTIVATE_EVERY_S
    assert claimer._places()[0][claim.ACTIVATIONS - 1] == 100


def test_note_planned_then_up_at_once_and_down_by_half() -> None:
    claimer, _ = _claimer()

    claimer.note_planned(_planned(40))
    assert claimer._steps_per_activation == 40

    claimer.note_planned(_planned(10))
    assert claimer._steps_per_activation == 25


def test_direct_then_free_places_are_offered_and_a_doubted_offer_is_read_back() -> None:
    claimer, held = _claimer(worker_batch=10, worker_steps_max=20)
    held.add(claims.claimed(), kind="async", now_s=0.0)

    offer = claimer.direct()

    assert offer is not None
    assert (offer.worker, offer.places) == (5, {claim.ASYNC_STEPS: 19, claim.SYNC_STEPS: 3})
    claimer.doubt(offer)
    assert claimer._unknown == {offer.claim_id}


@pytest.mark.parametrize("is_told", [True, False])
def test_offer_calls_when_an_admission_has_the_places_then_nobody_else_until_it_has_answered(is_told: bool) -> None:
    claimer, held = _claimer(worker_batch=10, worker_in_flight_max=3)
    held.add(claims.claimed(), kind="send", now_s=0.0)

    first, second, third = (claimer.offer_calls(wanted=1) for _ in range(3))
    meanwhile = claimer._places()[1]
    assert first is not None
    claimer.take_calls(first, [], asked_at_s=0.0) if is_told else claimer.doubt_calls(first)

    assert (first.places, third, meanwhile) == (1, None, 0)
    assert second is not None
    assert claimer._places()[1] == 1


async def test_offer_calls_when_a_claim_under_way_has_the_places_then_nothing_is_offered_until_it_is_answered() -> None:
    claimer, held = _claimer(worker_batch=10, worker_in_flight_max=1)
    gate, asked = asyncio.Event(), asyncio.Event()

    class Slow:
        async def claim_models(self, **_asked: Any) -> list[store.Claimed]:
            asked.set()
            await gate.wait()
            return []

    parts = cast("Any", claimer._parts)
    endpoint = types.SimpleNamespace(row=claims.endpoint(), is_paid=True)
    parts.store, parts.endpoints, parts.is_models_only = Slow(), {7: endpoint}, True
    claimer.refresh()
    claimer._asked_for_polls_at_s = 1_000.0  # nothing but models is asked for
    claiming = asyncio.create_task(claimer._claim_and_hand_over())
    await asked.wait()

    meanwhile = claimer.offer_calls(wanted=1)
    gate.set()
    await claiming

    assert (meanwhile, held.count("send")) == (None, 0)
    assert claimer.offer_calls(wanted=1) is not None


class _LosingStore:
    """Lose the answer to every claim of model calls, and remember what was read back and given back."""

    def __init__(self, *, found: list[store.LeaseRef]) -> None:
        self.found = found
        self.claims: list[uuid.UUID] = []
        self.read_back: list[uuid.UUID] = []
        self.given_back: list[store.LeaseRef] = []

    async def claim_local(self, **asked: Any) -> list[store.Claimed]:
        self.claims.append(asked["claim_id"])
        return [claims.claimed(ordinal=1, fence=10)]

    async def claim_models(self, **asked: Any) -> list[store.Claimed]:
        self.claims.append(asked["claim_id"])
        raise store.StoreLost("the connection was cut")

    async def readback(self, *, worker: int, claim_ids: list[uuid.UUID]) -> list[store.LeaseRef]:
        self.read_back = list(claim_ids)
        return self.found

    async def give_back(self, *, leases: list[store.LeaseRef]) -> None:
        self.given_back = list(leases)


async def test_claim_when_its_outcome_is_unknown_then_the_next_pass_reads_it_back_and_gives_back_strangers() -> None:
    ours, stranger = (store.LeaseRef(run_id=claims.RUN, ordinal=ordinal, fence=10) for ordinal in (1, 2))
    losing, held = _LosingStore(found=[ours, stranger]), hold.Hold()
    alive = asyncio.Event()
    alive.set()
    parts = types.SimpleNamespace(
        settings=settings.Settings(),
        hold=held,
        compute=types.SimpleNamespace(size=2),
        store=losing,
        worker=5,
        is_alive=alive,
        is_draining=False,
        clock=types.SimpleNamespace(rng=random.Random(7), monotonic_s=lambda: 1.0),
        endpoints={7: types.SimpleNamespace(row=claims.endpoint())},
        is_models_only=False,
    )

    def hand_over(taken: list[store.Claimed], asked_at_s: float) -> None:
        for item in taken:
            held.add(item, kind="async", now_s=1.0)

    claimer = claim.Claimer(cast("parts_module.Parts", parts), hand_over=hand_over)
    claimer.refresh()

    with pytest.raises(store.StoreLost):
        await claimer.one_pass()
    first = list(losing.claims)
    with pytest.raises(store.StoreLost):
        await claimer.one_pass()

    assert (losing.read_back, losing.given_back) == (first, [stranger])


class _FullStore:
    """Give what a test says of model calls, and remember whether each claim expected one."""

    def __init__(self, answer: list[store.Claimed] | None) -> None:
        self.answer = answer
        self.expected: list[bool] = []

    async def claim_local(self, **_asked: Any) -> list[store.Claimed]:
        return []

    async def claim_models(self, *, is_expected: bool, **_asked: Any) -> list[store.Claimed] | None:
        self.expected.append(is_expected)
        return self.answer


class _Bell:
    """Count the times that the process was woken; nobody is waited for."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1

    async def wait(self, *, timeout_s: float) -> bool:
        return timeout_s < 0


@pytest.mark.parametrize(("answer", "woken"), [([], 1), (None, 0)], ids=["calls wait for a place", "none is ready"])
async def test_freed_when_a_call_was_settled_then_the_next_is_claimed_at_once_where_calls_wait(
    answer: list[store.Claimed] | None, woken: int
) -> None:
    full, bell, alive = _FullStore(answer), _Bell(), asyncio.Event()
    alive.set()
    parts = types.SimpleNamespace(
        settings=settings.Settings(),
        hold=hold.Hold(),
        compute=types.SimpleNamespace(size=2),
        store=full,
        doorbell=bell,
        worker=5,
        is_alive=alive,
        is_draining=False,
        clock=types.SimpleNamespace(rng=random.Random(7), monotonic_s=lambda: 1.0),
        endpoints={7: types.SimpleNamespace(row=claims.endpoint())},
        is_models_only=False,
    )
    claimer = claim.Claimer(cast("parts_module.Parts", parts), hand_over=lambda _claimed, _asked_at_s: None)
    claimer.refresh()
    await claimer.one_pass()

    claimer.freed()
    await claimer.one_pass()

    assert bell.woken == woken
    assert full.expected == [False, bool(woken)]
