"""Promises of the store about money: what is reserved, charged and released, and which cap keeps a call from being
sent; see ``store_suite``.
"""

import dataclasses
import uuid

import pytest

from heddle.core.policy import budget, quota
from heddle.core.policy import price as price_policy
from heddle.ports import store
from tests.contract.store_suite import started
from tests.races import scene
from tests.races.scene import House, call, deployment, suspended

PRICE = scene.COST_NANO_USD


def deploy(
    house: House,
    *,
    price: int = PRICE,
    is_list_priced: bool = False,
    route_price: int | None = None,
    tenant: deployment.Tenant | None = None,
    workflow_budget: int | None = None,
) -> None:
    """Give the model ``sent`` a paid endpoint, and those who pay for it their budgets."""
    endpoint = dataclasses.replace(scene.endpoint("one", price_nano_usd=price), is_list_priced=is_list_priced)
    workflow = deployment.Workflow(name=scene.WORKFLOW, budget_nano_usd_per_day=workflow_budget)
    house.deploy(
        [endpoint],
        [deployment.Route(model="sent", endpoint="one")],
        scopes=[deployment.Scope(name="one", concurrency=50)],
        tenants=[tenant or deployment.Tenant(name="default")],
        workflows=[] if workflow_budget is None else [workflow],
        prices={} if route_price is None else {("sent", "one"): price_policy.Expected(nano_usd=route_price)},
    )


async def claimed(house: House, count: int = 1) -> list[store.Claimed]:
    """Start a run of so many paid calls and claim them."""
    calls = [call(ordinal, "model", "sent") for ordinal in range(1, count + 1)]
    _, worker = await started(house, *calls, ending=suspended(*range(1, count + 1)))
    return sorted(await house.claim_models(worker, "sent"), key=lambda item: item.ordinal)


async def marked(house: House, *calls: store.Claimed) -> list[budget.Cap | None]:
    """Ask whether calls may be sent, and give what keeps each from it."""
    answers = await house.store.mark_sending(calls=[(item, "digest") for item in calls])
    return [answers[item.run_id, item.ordinal] for item in calls]


async def sent_by_child(house: House, run_id: uuid.UUID, worker: int) -> store.Claimed:
    """Let the child that a run's first call has become make one paid call, and claim it."""
    child_id = (await house.calls(run_id))[1].child_run
    assert child_id is not None
    await house.begin(child_id, worker, call(1, "model", "sent"), ending=scene.returned(1))
    (item,) = await house.claim_models(worker, "sent")
    assert item.run_id == child_id
    return item


def told(item: store.Claimed, cost_nano_usd: int | None) -> store.Settlement:
    """Settle a call as done, at a cost that the provider told or did not tell."""
    return dataclasses.replace(scene.done(item), cost_nano_usd=cost_nano_usd, is_billed=True)


class MoneySuite:
    """What becomes of money."""

    async def test_mark_sending_when_a_call_may_go_then_its_price_is_reserved(self, house: House) -> None:
        deploy(house)
        (item,) = await claimed(house)

        await marked(house, item)

        assert house.books() == [("reserve", PRICE)]

    @pytest.mark.parametrize(
        ("cost", "books"),
        [
            (PRICE, [("charge", PRICE), ("reserve", PRICE)]),
            (PRICE - 300, [("charge", PRICE - 300), ("release", 300), ("reserve", PRICE)]),
            (PRICE + 300, [("charge", PRICE + 300), ("release", -300), ("reserve", PRICE)]),
            (0, [("charge", 0), ("release", PRICE), ("reserve", PRICE)]),
            (None, [("charge", PRICE), ("reserve", PRICE)]),
        ],
    )
    async def test_settle_when_a_call_is_done_then_its_reservation_is_charged_and_released_to_the_last(
        self, house: House, cost: int | None, books: list[tuple[str, int]]
    ) -> None:
        deploy(house)
        (item,) = await claimed(house)
        await marked(house, item)

        report = await house.settle(told(item, cost))

        charged = PRICE if cost is None else cost
        assert house.books() == books
        assert [each.amount_nano_usd for each in report.charged] == [charged]
        assert (await house.shown(item.run_id)).cost_nano_usd == charged

    async def test_settle_when_a_call_is_refused_then_its_reservation_is_released(self, house: House) -> None:
        deploy(house)
        (item,) = await claimed(house)
        await marked(house, item)

        await house.settle(scene.faulted(item))

        assert house.books() == [("release", PRICE), ("reserve", PRICE)]

    async def test_settle_when_a_failure_was_billed_at_a_cost_nobody_told_then_it_is_charged_as_reserved(
        self, house: House
    ) -> None:
        deploy(house)
        (item,) = await claimed(house)
        await marked(house, item)

        await house.settle(dataclasses.replace(scene.faulted(item), is_billed=True))

        assert house.books() == [("charge", PRICE), ("reserve", PRICE)]

    async def test_settle_when_the_outcome_is_unknown_then_the_reservation_stays_open(self, house: House) -> None:
        deploy(house)
        (item,) = await claimed(house)
        await marked(house, item)

        await house.settle(scene.unsure(item))

        assert house.books() == [("reserve", PRICE)]

    async def test_close_when_the_job_of_a_stopped_call_was_billed_then_its_step_and_run_show_the_cost(
        self, house: House
    ) -> None:
        deploy(house)
        (item,) = await claimed(house)
        await marked(house, item)
        await house.settle(scene.accepted(item))
        await house.cancel(item.run_id)
        (asked,) = await house.claim(await house.worker(), scene.lanes.of_poll("one"), purpose="poll")

        await house.store.close_cancelled(closings=[(scene.ref(asked), "done", PRICE - 100)])

        assert house.books() == [("charge", PRICE - 100), ("release", 100), ("reserve", PRICE)]
        assert (await house.shown(item.run_id)).cost_nano_usd == PRICE - 100
        assert (await house.calls(item.run_id))[1].cost_nano_usd == PRICE - 100

    async def test_settle_when_it_comes_twice_then_it_is_charged_once(self, house: House) -> None:
        deploy(house)
        (item,) = await claimed(house)
        await marked(house, item)

        await house.settle(told(item, PRICE - 1))
        again = await house.settle(told(item, PRICE - 2))

        assert house.books() == [("charge", PRICE - 1), ("release", 1), ("reserve", PRICE)]
        assert again.charged == ()

    async def test_settle_when_the_list_could_not_price_a_call_then_it_is_an_estimate_at_its_reservation(
        self, house: House
    ) -> None:
        deploy(house, price=0, is_list_priced=True, route_price=700)
        (item,) = await claimed(house)
        await marked(house, item)

        report = await house.settle(told(item, None))

        assert house.books() == [("charge", 700), ("reserve", 700)]
        assert (house.estimated(), [each.estimates for each in report.charged]) == (1, [1])

    async def test_reclaim_when_the_endpoint_became_free_after_the_intent_then_the_call_is_not_paid_again(
        self, house: House
    ) -> None:
        deploy(house)
        await started(house, call(1, "model", "sent"), ending=suspended(1))
        dead = await house.worker("dead")
        (item,) = await house.claim_models(dead, "sent")
        await marked(house, item)
        deploy(house, price=0)
        house.silence(dead)

        report = await house.store.reclaim(lease_s=15.0, margin_s=2.0, limit=10)

        assert report.unknown == 1
        assert house.books() == [("reserve", PRICE)]

    async def test_free_call_when_it_is_done_then_the_ledger_is_not_touched(self, house: House) -> None:
        deploy(house, price=0)
        (item,) = await claimed(house)

        await house.settle(told(item, None))

        assert house.books() == []

    @pytest.mark.parametrize(
        ("tenant", "workflow_budget", "cap"),
        [
            (deployment.Tenant(name="default", budget_nano_usd_per_day=2 * PRICE), None, budget.Cap.TENANT_DAY),
            (deployment.Tenant(name="default", budget_nano_usd_per_month=2 * PRICE), None, budget.Cap.TENANT_MONTH),
            (None, 2 * PRICE, budget.Cap.WORKFLOW_DAY),
        ],
    )
    async def test_mark_sending_when_a_budget_has_none_left_then_the_cap_is_named_and_nothing_is_reserved(
        self, house: House, tenant: deployment.Tenant | None, workflow_budget: int | None, cap: budget.Cap
    ) -> None:
        deploy(house, tenant=tenant, workflow_budget=workflow_budget)
        first, second, third = await claimed(house, 3)

        together = await marked(house, first, second)
        await house.settle(told(first, PRICE))

        assert together == [None, None]
        assert await marked(house, third) == [cap]
        assert [kind for kind, _ in house.books()] == ["charge", "reserve", "reserve"]

    @pytest.mark.parametrize(
        ("tenant", "workflow_budget", "cap"),
        [
            (deployment.Tenant(name="default", budget_nano_usd_per_day=2 * PRICE), None, budget.Cap.TENANT_DAY),
            (deployment.Tenant(name="default", budget_nano_usd_per_month=2 * PRICE), None, budget.Cap.TENANT_MONTH),
            (None, 2 * PRICE, budget.Cap.WORKFLOW_DAY),
        ],
    )
    async def test_mark_sending_when_a_budget_is_new_then_what_was_spent_before_it_counts(
        self, house: House, tenant: deployment.Tenant | None, workflow_budget: int | None, cap: budget.Cap
    ) -> None:
        deploy(house)
        over, abroad, third = await claimed(house, 3)
        await marked(house, over, abroad)
        await house.settle(told(over, PRICE))

        deploy(house, tenant=tenant, workflow_budget=workflow_budget)
        deploy(house, tenant=tenant, workflow_budget=workflow_budget)

        assert await marked(house, third) == [cap]

    async def test_tenant_use_when_calls_are_open_and_over_then_the_door_knows_of_day_and_month(
        self, house: House
    ) -> None:
        deploy(house, tenant=deployment.Tenant(name="default", budget_nano_usd_per_month=9 * PRICE))
        first, second = await claimed(house, 2)
        await marked(house, first, second)
        await house.settle(told(first, PRICE - 300))
        tenant = await scene.in_thread(lambda: house.doors().tenant(name="default"))

        use = await scene.in_thread(lambda: house.doors().tenant_use(tenant=tenant))

        assert tenant.quota == quota.Quota(budget_nano_usd_per_month=9 * PRICE)
        assert (use.spent_nano_usd, use.spent_month_nano_usd) == (2 * PRICE - 300, 2 * PRICE - 300)
        assert 0.0 < use.day_left_s <= use.month_left_s <= 31 * 86_400.0

    async def test_mark_sending_when_a_call_cost_less_than_reserved_then_what_is_left_can_be_spent(
        self, house: House
    ) -> None:
        deploy(house, workflow_budget=2 * PRICE)
        first, second, third = await claimed(house, 3)
        await marked(house, first, second)

        await house.settle(told(first, 0))

        assert await marked(house, third) == [None]

    async def test_mark_sending_when_a_batch_would_pass_a_budget_then_as_many_go_as_it_holds(
        self, house: House
    ) -> None:
        deploy(house, workflow_budget=2 * PRICE)

        answers = await marked(house, *await claimed(house, 3))

        assert answers == [None, None, budget.Cap.WORKFLOW_DAY]

    async def test_mark_sending_when_a_call_before_is_refused_by_its_own_cap_then_it_takes_no_room_of_others(
        self, house: House
    ) -> None:
        deploy(house, tenant=deployment.Tenant(name="default", budget_nano_usd_per_day=PRICE), workflow_budget=PRICE)
        worker = await house.worker()
        runs = []
        for cap in (PRICE - 1, None):
            runs.append((await house.admit(max_cost_nano_usd=cap)).run_id)
            await house.begin(runs[-1], worker, call(1, "model", "sent"), ending=suspended(1))
        calls = {item.run_id: item for item in await house.claim_models(worker, "sent")}

        answers = await marked(house, *(calls[run_id] for run_id in runs))

        assert answers == [budget.Cap.RUN, None]

    async def test_mark_sending_when_a_retried_run_has_a_new_child_then_the_child_before_counts_too(
        self, house: House
    ) -> None:
        deploy(house)
        run_id, worker = (await house.admit(max_cost_nano_usd=2 * PRICE - 1)).run_id, await house.worker()
        await house.begin(run_id, worker, call(1, "workflow", scene.WORKFLOW), ending=scene.returned(1))
        first = await sent_by_child(house, run_id, worker)
        granted = await marked(house, first)
        await house.cancel(first.run_id)
        house.due_now()
        await house.pump(worker)
        await house.retry(run_id)
        await house.begin(run_id, worker, ending=scene.returned(1))
        house.due_now()
        await house.pump(worker)

        second = await sent_by_child(house, run_id, worker)

        assert second.run_id != first.run_id
        assert (granted, await marked(house, second)) == ([None], [budget.Cap.RUN])

    async def test_claim_when_a_retry_makes_a_call_where_a_cleanup_was_then_it_is_paid_beside_it(
        self, house: House
    ) -> None:
        deploy(house)
        run_id, worker = (await house.admit(deadline_s=3_600.0)).run_id, await house.worker()
        await house.begin(run_id, worker, call(1, "step", "a"), ending=suspended(1))
        house.due_now()
        await house.pump(worker)
        await house.begin(run_id, worker, call(2, "model", "sent"), ending=suspended(2))
        (cleanup,) = await house.claim_models(worker, "sent")
        await marked(house, cleanup)
        await house.settle(told(cleanup, PRICE))
        await house.begin(run_id, worker, ending=scene.raised())
        await house.retry(run_id)
        (step,) = await house.claim(worker, scene.step_lane("a"))
        await house.settle(scene.done(step))
        await house.begin(run_id, worker, call(2, "model", "sent"), ending=scene.returned(2))

        (again,) = await house.claim_models(worker, "sent")
        granted = await marked(house, again)
        await house.settle(told(again, PRICE - 1))

        assert granted == [None]
        assert house.books() == [
            *(("charge", PRICE), ("reserve", PRICE)),
            *(("charge", PRICE - 1), ("release", 1), ("reserve", PRICE)),
        ]
        assert (await house.shown(run_id)).cost_nano_usd == 2 * PRICE - 1

    async def test_mark_sending_when_a_dear_call_finds_no_room_then_a_cheap_one_behind_it_does(
        self, house: House
    ) -> None:
        house.deploy(
            [scene.endpoint("dear", price_nano_usd=5_000), scene.endpoint("cheap", price_nano_usd=1_000)],
            [deployment.Route(model="dear", endpoint="dear"), deployment.Route(model="cheap", endpoint="cheap")],
            scopes=[deployment.Scope(name="dear", concurrency=9), deployment.Scope(name="cheap", concurrency=9)],
            tenants=[deployment.Tenant(name="default", budget_nano_usd_per_day=7_000)],
        )
        names = ("cheap", "dear", "dear", "cheap", "cheap")
        calls = [call(ordinal, "model", name) for ordinal, name in enumerate(names, start=1)]
        _, worker = await started(house, *calls, ending=suspended(*range(1, len(names) + 1)))
        claims = await house.claim_models(worker, "dear", "cheap")

        answers = await marked(house, *sorted(claims, key=lambda item: item.ordinal))

        assert answers == [None, None, budget.Cap.TENANT_DAY, None, budget.Cap.TENANT_DAY]
        assert sorted(amount for _, amount in house.books()) == [1_000, 1_000, 5_000]

    async def test_mark_sending_when_a_fallback_costs_more_then_its_own_price_is_held_to_the_cap(
        self, house: House
    ) -> None:
        house.deploy(
            [scene.endpoint("one", price_nano_usd=1), scene.endpoint("dear", price_nano_usd=5_000)],
            [
                deployment.Route(model="sent", endpoint="one", tier=0),
                deployment.Route(model="sent", endpoint="dear", tier=1),
            ],
            scopes=[deployment.Scope(name="one", concurrency=1), deployment.Scope(name="dear", concurrency=9)],
            models=[deployment.Model(name="sent", fallback_after_s=0.0)],
            tenants=[deployment.Tenant(name="default", budget_nano_usd_per_day=4_999)],
        )
        calls = [call(ordinal, "model", "sent") for ordinal in (1, 2)]
        _, worker = await started(house, *calls, ending=suspended(1, 2))
        (first,) = await house.claim_models(worker, "sent", want=1)
        (second,) = await house.claim_models(worker, "sent", want=1)

        assert (first.tier, second.tier) == (0, 1)
        assert await marked(house, first, second) == [None, budget.Cap.TENANT_DAY]
