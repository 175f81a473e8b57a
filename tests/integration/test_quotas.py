"""What a tenant may take: counted for the door, held to at the intake and before each payment."""

import dataclasses
import uuid
from typing import Any

import pytest

from heddle.core.policy import quota
from heddle.ports import doors, records
from heddle.store import django as django_store
from tests.races import fixtures, scene

open_house = fixtures.open_house
house = fixtures.house
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def bounded(house: scene.House, **bounds: Any) -> records.Tenant:
    """Give the default tenant bounds, as heddle.toml would."""
    house.deploy([], [], tenants=[scene.deployment.Tenant(name="default", **bounds)])
    found: records.Tenant = await scene.in_thread(lambda: django_store.DjangoDoors().tenant(name="default"))
    return found


async def submit(tenant: records.Tenant, **more: Any) -> uuid.UUID:
    new = records.NewRun(tenant=tenant, workflow=scene.WORKFLOW, version=1, input={}, **more)
    submission: records.Submission = await scene.in_thread(lambda: django_store.DjangoDoors().submit(new))
    return submission.run_id


async def use(tenant: records.Tenant) -> quota.Use:
    found: quota.Use = await scene.in_thread(lambda: django_store.DjangoDoors().tenant_use(tenant=tenant))
    return found


async def activate_all(house: scene.House, worker: int) -> None:
    """Let every run make its first activation, together, as a worker does."""
    claimed = await house.claim(worker, scene.ACTIVATIONS, purpose="activate")
    plans = []
    for item in claimed:
        journal = (await house.store.journals(run_ids=[item.run_id], outputs_of={}))[item.run_id]
        made = scene.plan.Plan(run_id=item.run_id, calls=(scene.call(1, "step", "mask"),), ending=scene.returned(1))
        plans.append(scene.store.PlanWrite(plan=made, fence=item.fence, wake_seq=journal.wake_seq, first=item))
    await house.store.write_plans(plans=plans, cleanup_s=scene.CLEANUP_S)


async def test_use_when_runs_were_admitted_then_they_are_counted_and_when_the_minute_frees(house: scene.House) -> None:
    tenant = await bounded(house, runs_per_min=3, open_runs_max=10)
    for _ in range(5):
        await submit(tenant)

    found = await use(tenant)

    assert (found.runs_in_window, found.open_runs) == (3, 5)
    assert 50.0 < found.window_frees_in_s <= 60.0


@pytest.mark.parametrize("bounds", [{"runs_per_min": 3}, {"open_runs_max": 3}])
async def test_intake_when_runs_raced_past_the_door_then_the_first_stand_and_the_others_are_throttled(
    house: scene.House, bounds: dict[str, int]
) -> None:
    tenant = await bounded(house, **bounds)
    run_ids = sorted([await submit(tenant) for _ in range(5)])
    worker = await house.worker()

    await activate_all(house, worker)

    assert [house.state(run_id) for run_id in run_ids] == ["running"] * 3 + ["failed"] * 2
    (fault, message) = house.rows(
        "select error ->> 'fault', error ->> 'message' from heddle_run where id = %s", run_ids[4]
    )[0]
    assert fault == "throttled"
    assert next(iter(bounds)) in message
    assert house.value("select count(*) from heddle_step") == 3


async def test_intake_when_a_run_has_ended_then_its_place_is_free(house: scene.House) -> None:
    tenant = await bounded(house, open_runs_max=1)
    first = await submit(tenant)
    house.connection.execute("update heddle_run set state = 'succeeded' where id = %s", (first,))
    house.connection.execute("delete from heddle_ready")
    second = await submit(tenant)
    worker = await house.worker()

    await activate_all(house, worker)

    assert (house.state(second), (await use(tenant)).open_runs) == ("running", 1)


async def test_throttled_run_takes_nothing_of_the_minute(house: scene.House) -> None:
    tenant = await bounded(house, runs_per_min=3)
    for _ in range(5):
        await submit(tenant)
    await activate_all(house, await house.worker())

    house.connection.execute("update heddle_run set tenant_id = 2 where state = 'running'")

    assert (await use(tenant)).runs_in_window == 0


async def test_prune_when_runs_are_over_then_they_are_no_longer_listed(house: scene.House) -> None:
    tenant = await bounded(house, open_runs_max=9)
    run_ids = [await submit(tenant) for _ in range(4)]
    house.connection.execute("update heddle_run set state = 'failed' where id = any(%s)", (run_ids[:3],))

    await house.store.prune_quotas(limit=100)

    assert house.rows("select run_id from heddle_open_run") == [(run_ids[3],)]


async def test_submit_when_a_key_comes_twice_in_one_batch_then_one_run(house: scene.House) -> None:
    tenant = await bounded(house)
    new = records.NewRun(
        tenant=tenant, workflow=scene.WORKFLOW, version=1, input={}, idempotency_key="k", fingerprint="f"
    )
    other = dataclasses.replace(new, fingerprint="g")

    first, again, conflict = await scene.in_thread(lambda: django_store.DjangoDoors().submit_many([new, new, other]))

    assert (first.is_replay, again.is_replay, again.run_id) == (False, True, first.run_id)
    assert isinstance(conflict, doors.IdempotencyConflict)
    assert house.value("select count(*) from heddle_run") == 1


async def sent(house: scene.House, worker: int, count: int) -> list[bool]:
    """Claim so many paid calls and ask whether each may be sent."""
    claimed = await house.claim_models(worker, "m", want=count)
    answers = await house.store.mark_sending(calls=[(item, "digest") for item in claimed])
    return [answers[item.run_id, item.ordinal] is None for item in claimed]


async def paid_house(house: scene.House, *, budget: int, calls: int) -> int:
    house.deploy(
        [scene.endpoint("one", price_nano_usd=100)],
        [scene.deployment.Route(model="m", endpoint="one")],
        tenants=[scene.deployment.Tenant(name="default", budget_nano_usd_per_day=budget)],
    )
    house.fill(lane=scene.model_lane("m"), name="m", kind="model", count=calls)
    return await house.worker()


async def test_budget_when_the_day_has_none_left_then_the_next_paid_call_is_not_sent(house: scene.House) -> None:
    worker = await paid_house(house, budget=350, calls=5)

    answers = [await sent(house, worker, 1) for _ in range(5)]

    assert answers == [[True], [True], [True], [False], [False]]
    tenant = await scene.in_thread(lambda: django_store.DjangoDoors().tenant(name="default"))
    assert (await use(tenant)).spent_nano_usd == 300


async def test_budget_when_a_batch_goes_together_then_only_as_many_as_it_holds(house: scene.House) -> None:
    worker = await paid_house(house, budget=250, calls=5)

    assert sorted(await sent(house, worker, 5)) == [False, False, False, True, True]


async def test_budget_when_a_call_cost_less_than_its_price_then_what_is_left_can_be_spent(house: scene.House) -> None:
    worker = await paid_house(house, budget=250, calls=4)
    await sent(house, worker, 2)
    house.connection.execute("update heddle_attempt set state = 'done', cost_nano_usd = 10")

    answers = await sent(house, worker, 2)

    assert answers == [True, True]
    assert house.value("select spent_nano_usd from heddle_budget_day") == 20
    assert house.value("select count(*) from heddle_budget_call") == 2


async def test_budget_when_the_outcome_is_unknown_then_its_price_stays_taken(house: scene.House) -> None:
    worker = await paid_house(house, budget=150, calls=2)
    await sent(house, worker, 1)
    house.connection.execute("update heddle_attempt set state = 'unknown'")

    assert await sent(house, worker, 1) == [False]


@pytest.mark.parametrize("bound", ["budget_nano_usd_per_day", "budget_nano_usd_per_month"])
async def test_use_when_money_was_spent_then_day_and_month_are_told_with_their_ends(
    house: scene.House, bound: str
) -> None:
    tenant = await bounded(house, **{bound: 500})
    at, month = "now() at time zone 'UTC'", "date_trunc('month', now() at time zone 'UTC')"
    house.connection.execute(
        "insert into heddle_budget_day (tenant_id, day, spent_nano_usd) select distinct %s, d, 100 "
        f"from unnest(array[({at})::date, {month}::date, {month}::date - 1]) d",
        (tenant.id,),
    )
    days, left_s = house.rows(
        f"select count(*) filter (where day >= {month}), extract(epoch from {month} + interval '1 month' - {at}) "
        "from heddle_budget_day"
    )[0]

    found = await use(tenant)

    assert getattr(tenant.quota, bound) == 500
    assert (found.spent_nano_usd, found.spent_month_nano_usd) == (100, 100 * days)
    assert 0.0 <= float(left_s) - found.month_left_s < 60.0
    assert 0.0 < found.day_left_s <= 86_400.0
