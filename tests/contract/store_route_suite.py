"""Promises of the store about routes: weights, regions and scorecards; see ``store_suite``."""

import collections
import dataclasses
import uuid
from collections.abc import Sequence

import pytest

from heddle.config import deployment
from heddle.core import ids
from heddle.core.policy import scorecard
from heddle.core.policy.scorecard import Count
from heddle.ports import records, routing, store
from tests.contract.store_call_suite import one_call
from tests.races import scene
from tests.races.scene import House

HALF_LIFE_S = 3_600.0


def endpoint(name: str, *regions: str) -> deployment.Endpoint:
    """Name an endpoint in regions."""
    return dataclasses.replace(scene.endpoint(name), regions=regions)


def deploy(
    house: House,
    endpoints: Sequence[deployment.Endpoint],
    *,
    tiers: Sequence[int] = (),
    tenants: Sequence[deployment.Tenant] = (),
) -> None:
    """Route the model ``sent`` to endpoints with room for everything."""
    house.deploy(
        endpoints,
        [
            deployment.Route(model="sent", endpoint=each.name, tier=tier)
            for each, tier in zip(endpoints, tiers or [0] * len(endpoints), strict=True)
        ],
        scopes=[deployment.Scope(name=each.name, concurrency=100) for each in endpoints],
        tenants=tenants,
    )


async def numbers(house: House) -> dict[str, int]:
    """Give the ids of endpoints by name."""
    return {row.name: row.id for row in await house.store.endpoints()}


async def tenant(house: House, name: str) -> records.Tenant:
    """Give a tenant that was deployed."""
    found: records.Tenant = await scene.in_thread(lambda: house.doors().tenant(name=name))
    return found


async def admit(house: House, count: int, *, of: records.Tenant | None = None) -> list[uuid.UUID]:
    """Start so many calls of the model ``sent``."""
    made = []
    for _ in range(count):
        wanted = one_call(house, "model", "sent")
        asked = wanted if of is None else dataclasses.replace(wanted, tenant=of)
        found: records.Submission = await scene.in_thread(lambda asked=asked: house.doors().submit(asked))
        made.append(found.run_id)
    return made


async def claimed(house: House, *, claims: int = 6) -> list[store.Claimed]:
    """Claim until nothing comes for a while: an endpoint that is drawn first leaves the others to the next claim."""
    worker = await house.worker()
    return [item for _ in range(claims) for item in await house.claim_models(worker, "sent")]


async def weigh(house: House, weights: dict[str, float | None], *, seen: None = None) -> int:
    """Write weights as the leader does."""
    ids = await numbers(house)
    return await house.store.weigh(
        orders=[
            routing.RouteOrder(model="sent", endpoint_id=ids[name], weight=weight, seen=seen)
            for name, weight in weights.items()
        ]
    )


async def names_of(house: House, items: Sequence[store.Claimed]) -> collections.Counter[str]:
    """Count claimed calls by the name of their endpoint."""
    ids = await numbers(house)
    by_id = {number: name for name, number in ids.items()}
    return collections.Counter(by_id[item.endpoint_id or 0] for item in items)


class RouteSuite:
    """Weights, regions and scorecards."""

    async def test_claim_when_a_route_has_no_weight_then_it_is_as_if_it_were_not_there(self, house: House) -> None:
        deploy(house, [endpoint("one"), endpoint("two")])
        await weigh(house, {"one": 0.0})
        await admit(house, 12)

        taken = await claimed(house)

        assert await names_of(house, taken) == {"two": 12}

    async def test_claim_when_the_first_tier_has_no_weight_then_the_next_serves_at_once(self, house: House) -> None:
        deploy(house, [endpoint("one"), endpoint("two")], tiers=[0, 1])
        await weigh(house, {"one": 0.0})
        await admit(house, 3)

        taken = await claimed(house)

        assert await names_of(house, taken) == {"two": 3}

    async def test_claim_when_weights_are_unequal_then_calls_follow_them(self, house: House) -> None:
        deploy(house, [endpoint("one"), endpoint("two")])
        await weigh(house, {"one": 0.95, "two": 0.05})
        await admit(house, 60)
        worker = await house.worker()

        taken = [item for _ in range(60) for item in await house.claim_models(worker, "sent", want=1)]

        assert (await names_of(house, taken))["one"] > 45

    async def test_weigh_when_nothing_differs_or_a_canary_was_changed_then_nothing_is_written(
        self, house: House
    ) -> None:
        deploy(house, [endpoint("one"), endpoint("two")])

        written = [await weigh(house, {"one": 0.5, "two": None}), await weigh(house, {"one": 0.5, "two": None})]

        assert written == [1, 0]

    async def test_apply_when_a_route_is_named_again_then_the_weight_that_was_found_stays(self, house: House) -> None:
        deploy(house, [endpoint("one"), endpoint("two")])
        await weigh(house, {"one": 0.25})

        deploy(house, [endpoint("one"), endpoint("two")])

        assert {each.endpoint: each.weight_now for each in await house.store.route_facts()} == {
            "one": 0.25,
            "two": None,
        }

    async def test_apply_when_an_endpoint_joins_a_scope_while_calls_are_in_flight_then_they_count_there(
        self, house: House
    ) -> None:
        deploy(house, [scene.endpoint("one")])
        await admit(house, 3)
        held = await claimed(house)

        scopes = [deployment.Scope(name="account", concurrency=2), deployment.Scope(name="one", concurrency=100)]
        routes = [deployment.Route(model="sent", endpoint="one")]
        house.deploy([scene.endpoint("one", "account", "one")], routes, scopes=scopes)
        before = {each.name: each.in_flight for each in await house.store.scope_counters()}
        await house.settle(*[scene.done(item) for item in held])
        await admit(house, 5)

        assert before == {"account": 3, "one": 3}
        assert len(await claimed(house)) == 2

    async def test_claim_when_a_tenant_names_regions_then_its_calls_never_go_elsewhere(self, house: House) -> None:
        deploy(
            house,
            [endpoint("one", "us"), endpoint("two", "eu", "ch")],
            tiers=[0, 1],
            tenants=[deployment.Tenant(name="brand-eu", regions=("eu",))],
        )
        european = await tenant(house, "brand-eu")
        await admit(house, 8, of=european)
        await admit(house, 8)

        taken = await claimed(house)

        at = {
            (item.tenant_id == european.id): await names_of(
                house, [each for each in taken if each.tenant_id == item.tenant_id]
            )
            for item in taken
        }
        assert at == {True: {"two": 8}, False: {"one": 8}}
        # What is its first choice is no fallback, though others have one before it.
        assert {item.tier for item in taken} == {0}

    async def test_models_when_a_tenant_names_regions_then_those_that_only_others_may_have_are_left_out(
        self, house: House
    ) -> None:
        house.deploy(
            [endpoint("east", "us"), endpoint("west", "eu")],
            [
                deployment.Route(model="everywhere", endpoint="east"),
                deployment.Route(model="everywhere", endpoint="west"),
                deployment.Route(model="abroad", endpoint="east"),
            ],
            tenants=[deployment.Tenant(name="brand-eu", regions=("eu",))],
        )
        brand = await tenant(house, "brand-eu")

        found = await scene.in_thread(lambda: house.doors().servable_models(tenant=brand))
        of_all = await scene.in_thread(lambda: house.doors().servable_models(tenant=house.tenant))

        assert (found, of_all) == (["everywhere"], ["abroad", "everywhere"])

    async def test_claim_when_no_endpoint_lies_in_a_tenants_regions_then_it_waits_and_why_says_so(
        self, house: House
    ) -> None:
        deploy(
            house,
            [endpoint("one"), endpoint("two", "us")],
            tenants=[deployment.Tenant(name="brand-eu", regions=("ch", "eu"))],
        )
        european = await tenant(house, "brand-eu")
        (run_id,) = await admit(house, 1, of=european)
        await admit(house, 2)

        taken = await claimed(house)
        found = await scene.in_thread(lambda: house.doors().why(tenant=european, run_id=run_id))

        assert sum((await names_of(house, taken)).values()) == 2
        assert found.sentence == (
            "No endpoint that serves the model 'sent' lies in the regions of its tenant (ch, eu); name them with "
            "`regions` in heddle.toml and run `heddle migrate`."
        )

    @pytest.mark.parametrize(
        ("kind", "said"),
        [
            ("endpoint", "endpoint 'halted-endpoint' is paused; `heddle resume endpoint` lets it go on"),
            ("model", "its model is paused; `heddle resume model` lets it go on"),
            ("tenant", "its tenant is paused; `heddle resume tenant` lets it go on"),
        ],
    )
    async def test_claim_when_an_operator_has_paused_something_then_it_waits_and_why_says_what(
        self, house: House, kind: str, said: str
    ) -> None:
        place = model = owner = f"halted-{kind}"
        house.deploy(
            [endpoint(place)],
            [deployment.Route(model=model, endpoint=place)],
            tenants=[deployment.Tenant(name=owner)],
        )
        asked = dataclasses.replace(one_call(house, "model", model), tenant=await tenant(house, owner))
        run_id = (await scene.in_thread(lambda: house.doors().submit(asked))).run_id
        worker = await house.worker()
        house.pause(kind, place)

        taken = await house.claim_models(worker, model)
        found = await scene.in_thread(lambda: house.doors().why(tenant=asked.tenant, run_id=run_id))

        assert taken == []
        assert found.sentence == f"Model '{model}' (call 1) waits, because {said}."
        assert found.eta is None

    async def test_claim_when_two_rules_share_an_endpoint_then_it_gets_no_more_than_its_room(
        self, house: House
    ) -> None:
        house.deploy(
            [endpoint("one", "eu")],
            [deployment.Route(model="sent", endpoint="one")],
            scopes=[deployment.Scope(name="one", concurrency=5)],
            tenants=[deployment.Tenant(name="brand-eu", regions=("eu",))],
        )
        await admit(house, 6, of=await tenant(house, "brand-eu"))
        await admit(house, 6)

        taken = await claimed(house, claims=3)

        assert len(taken) == 5
        assert len({item.tenant_id for item in taken}) == 2

    async def test_scores_when_workers_posted_then_they_are_added_up_and_shown_with_their_route(
        self, house: House
    ) -> None:
        deploy(house, [endpoint("one"), endpoint("two")])
        one = (await numbers(house))["one"]
        card = scorecard.Card()
        card.add(Count.TRIED, 3)
        card.add(Count.OK, 2)
        card.add_latency(1.0)

        await house.store.post_scores(cards={(one, "sent"): card})
        await house.store.post_scores(cards={(one, "sent"): card})
        folded = [await house.store.fold_scores(half_life_s=HALF_LIFE_S) for _ in range(2)]
        await house.store.post_scores(cards={(one, "sent"): card, (999_999, "sent"): card})
        folded.append(await house.store.fold_scores(half_life_s=HALF_LIFE_S))
        shown = {each.endpoint: each for each in await house.store.route_facts()}

        assert folded == [1, 0, 1]
        assert [round(value, 1) for value in shown["one"].card.counts[:2]] == [9.0, 6.0]
        assert round(sum(shown["one"].card.latency), 1) == 3.0
        assert sum(shown["two"].card.counts) == 0
        views = {each.name: each for each in await scene.in_thread(lambda: house.doors().endpoints())}
        assert [route.model for route in views["one"].routes] == ["sent"]

    async def test_poll_when_the_provider_called_back_then_the_claim_tells(self, house: House) -> None:
        deploy(house, [endpoint("one")])
        await admit(house, 2)
        worker, taken = await house.worker(), await claimed(house)
        await house.settle(*(scene.accepted(item) for item in taken))
        await house.callback(taken[0], "event")
        house.due_now()
        await house.pump(worker)

        polled = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")

        assert {item.run_id: item.is_called_back for item in polled} == {
            taken[0].run_id: True,
            taken[1].run_id: False,
        }
        assert all(item.sent_for_s is not None and item.sent_for_s >= 0 for item in polled)

    async def test_called_back_when_it_came_late_to_an_account_s_address_then_it_is_told_by_its_job(
        self, house: House
    ) -> None:
        deploy(house, [endpoint("one"), endpoint("two")], tiers=[0, 1])
        await admit(house, 2)
        worker, taken = await house.worker(), await claimed(house)
        await house.settle(*(scene.accepted(item, handle=f"job-{place}") for place, item in enumerate(taken)))
        house.due_now()
        await house.pump(worker)
        polled = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")
        await house.settle(*(scene.done(item) for item in polled))
        attempts = [ids.AttemptId(run_id=item.run_id, ordinal=item.ordinal, number=item.number) for item in taken]

        for name, job in (
            ("one", "job-0"),
            ("one", "job-0"),
            ("two", "job-1"),
            ("none", "job-1"),
            ("one", "x" * 2_000),
        ):
            await scene.in_thread(lambda name=name, job=job: house.doors().note_stray(endpoint=name, handle=job))

        assert await house.store.called_back(attempts=attempts) == {attempts[0]}
        assert await house.store.prune(idempotency_hours=1, limit=10) == 0
        assert await house.store.prune(idempotency_hours=0, limit=10) >= 2
        assert await house.store.called_back(attempts=attempts) == frozenset()

    async def test_called_back_when_the_callback_came_after_the_end_then_it_is_told_all_the_same(
        self, house: House
    ) -> None:
        deploy(house, [endpoint("one")])
        await admit(house, 3)
        worker, taken = await house.worker(), await claimed(house)
        await house.settle(*(scene.accepted(item) for item in taken))
        await house.callback(taken[0], "first")
        house.due_now()
        await house.pump(worker)
        polled = await house.claim(worker, scene.lanes.of_poll("one"), purpose="poll")
        await house.settle(*(scene.done(item) for item in polled))
        attempts = [ids.AttemptId(run_id=item.run_id, ordinal=item.ordinal, number=item.number) for item in taken]
        before = await house.store.called_back(attempts=attempts)

        await house.callback(taken[1], "second")

        assert before == {attempts[0]}
        assert await house.store.called_back(attempts=attempts) == set(attempts[:2])
        assert await house.store.called_back(attempts=[]) == frozenset()
