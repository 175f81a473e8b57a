"""Where money went, on PostgreSQL: sums of the ledger, budgets, quotes, what providers report, corrections."""

import datetime
import uuid
from typing import Any

import pytest

from heddle.client import needs
from heddle.client import spending as client_spending
from heddle.core import plan
from heddle.core.policy import budget, invoice
from heddle.ports import spending, store
from heddle.store import spending as spending_store
from tests.contract import store_chain_suite, store_listed_suite, store_money_suite
from tests.contract.store_money_suite import PRICE, claimed, marked, told
from tests.races import fixtures, scene

open_house = fixtures.open_house
house = fixtures.house
pytestmark = pytest.mark.asyncio(loop_scope="module")

TODAY = datetime.datetime.now(datetime.UTC).date()
BY_ALL = tuple(part.value for part in spending.Part)


def purse(stated: needs.StatedUse = lambda _model: (None, None)) -> client_spending.Spending:
    books = spending_store.DjangoSpending()
    return client_spending.Spending(books=books, doors=books, stated=stated)


async def asked(work: Any, **more: Any) -> Any:
    return await scene.in_thread(lambda: work(purse(**more)))


async def paid(house: scene.House, *costs: int | None) -> list[store.Claimed]:
    """Make one paid call for each cost, and count the books."""
    calls = await claimed(house, len(costs))
    await marked(house, *calls)
    for item, cost in zip(calls, costs, strict=True):
        await house.settle(told(item, cost))
    await counted(house)
    return calls


async def counted(house: scene.House) -> int:
    return await house.store.count_spend(limit=1_000)


async def test_usage_when_calls_were_paid_then_it_is_told_by_every_part(house: scene.House) -> None:
    store_money_suite.deploy(house)
    await paid(house, PRICE, PRICE - 400)

    (row,) = await asked(lambda desk: desk.usage(tenant=house.tenant, parts=BY_ALL))

    assert (row.day, row.workflow, row.model, row.endpoint) == (TODAY, scene.WORKFLOW, "sent", "one")
    assert (row.calls, row.cost_nano_usd, row.open_nano_usd) == (2, 2 * PRICE - 400, 0)


async def test_usage_when_asked_page_by_page_then_every_row_comes_once(house: scene.House) -> None:
    store_money_suite.deploy(house)
    house.connection.execute(
        "insert into heddle_spend_day (tenant_id, day, workflow, model, endpoint_id, calls, charged_nano_usd) "
        "select 1, current_date - n, 'w' || mod(n, 3), 'm', 1, 1, n from generate_series(1, 25) n"
    )
    seen, after = [], None
    while True:
        page = await asked(
            lambda desk, after=after: desk.usage(tenant=house.tenant, parts=("day", "workflow"), after=after, limit=7)
        )
        seen += [(row.day, row.workflow, row.charged_nano_usd) for row in page]
        if len(page) < 7:
            break
        after = page[-1].mark

    assert sorted(amount for _, _, amount in seen) == list(range(1, 26))
    assert seen == sorted(seen)


async def test_count_when_called_again_then_each_entry_counts_once(house: scene.House) -> None:
    store_money_suite.deploy(house)
    await paid(house, PRICE)

    assert await counted(house) == 0
    assert house.value("select sum(charged_nano_usd) from heddle_spend_day") == PRICE


async def test_count_when_an_older_release_wrote_the_entry_then_its_run_says_whose_it_is(house: scene.House) -> None:
    store_money_suite.deploy(house)
    await paid(house, PRICE)
    house.connection.execute("delete from heddle_spend_day")
    house.connection.execute(
        "update heddle_ledger set day = null, workflow = null, model = null, is_counted = false where kind = 'charge'"
    )

    await counted(house)

    assert house.rows("select workflow, model, calls from heddle_spend_day") == [(scene.WORKFLOW, "sent", 1)]


async def test_budgets_when_calls_are_over_and_in_flight_then_both_and_what_is_left_are_told(
    house: scene.House,
) -> None:
    owner = scene.deployment.Tenant(
        name="default", budget_nano_usd_per_day=5 * PRICE, budget_nano_usd_per_month=9 * PRICE
    )
    store_money_suite.deploy(house, tenant=owner, workflow_budget=7 * PRICE)
    first, second = await claimed(house, 2)
    await marked(house, first, second)
    await house.settle(told(first, PRICE - 100))

    own, workflow = await asked(lambda desk: desk.budgets(tenant=house.tenant, has_workflows=True))

    assert (own.day_cap_nano_usd, own.month_cap_nano_usd) == (5 * PRICE, 9 * PRICE)
    assert (own.spent_today_nano_usd, own.reserved_today_nano_usd) == (PRICE - 100, PRICE)
    assert (own.spent_month_nano_usd, own.reserved_month_nano_usd) == (PRICE - 100, PRICE)
    assert (workflow.workflow, workflow.day_cap_nano_usd) == (scene.WORKFLOW, 7 * PRICE)
    assert (workflow.spent_today_nano_usd, workflow.reserved_today_nano_usd) == (PRICE - 100, PRICE)


async def test_budgets_when_they_are_new_then_they_tell_what_the_ledger_tells_and_count_it_once(
    house: scene.House,
) -> None:
    store_money_suite.deploy(house)
    first, second = await claimed(house, 2)
    await marked(house, first, second)
    await house.settle(told(first, PRICE - 100))
    await counted(house)
    named = {"number": 1, "correction": "refund", "amount_usd": "0.00000005", "actor": "test"}
    await asked(lambda desk: desk.correct(first.run_id, first.ordinal, **named))

    owner = scene.deployment.Tenant(name="default", budget_nano_usd_per_month=9 * PRICE)
    store_money_suite.deploy(house, tenant=owner, workflow_budget=7 * PRICE)
    begun = await asked(lambda desk: desk.budgets(tenant=house.tenant, has_workflows=True))
    await house.settle(told(second, PRICE - 1))
    ended = await asked(lambda desk: desk.budgets(tenant=house.tenant, has_workflows=True))

    assert [(each.spent_today_nano_usd, each.reserved_today_nano_usd) for each in begun] == [(PRICE - 150, PRICE)] * 2
    assert [(each.spent_today_nano_usd, each.reserved_today_nano_usd) for each in ended] == [(2 * PRICE - 151, 0)] * 2


async def test_month_when_earlier_days_have_spent_it_then_the_next_call_is_kept_back(house: scene.House) -> None:
    owner = scene.deployment.Tenant(name="default", budget_nano_usd_per_month=3 * PRICE)
    store_money_suite.deploy(house, tenant=owner)
    house.connection.execute(
        "insert into heddle_budget_day (tenant_id, day, spent_nano_usd) "
        "values (1, date_trunc('month', now() at time zone 'UTC')::date, %s) "
        "on conflict (tenant_id, day) do update set spent_nano_usd = excluded.spent_nano_usd",
        (3 * PRICE,),
    )
    (item,) = await claimed(house)

    assert await marked(house, item) == [budget.Cap.TENANT_MONTH]


async def test_month_when_midnight_came_before_a_call_was_sent_then_its_day_is_counted_all_the_same(
    house: scene.House,
) -> None:
    owner = scene.deployment.Tenant(name="default", budget_nano_usd_per_month=2 * PRICE - 1)
    store_money_suite.deploy(house, tenant=owner)
    first, second, third = await claimed(house, 3)
    await marked(house, first)
    await house.settle(told(first, PRICE))
    # The account was locked on the day before that of the call, which has no row then.
    house.connection.execute("update heddle_budget_call set day = day + 1")

    answers = [*(await marked(house, second)), *(await marked(house, third))]

    assert answers == [budget.Cap.TENANT_MONTH, budget.Cap.TENANT_MONTH]
    assert house.rows("select spent_nano_usd from heddle_budget_day order by day") == [(0,), (PRICE,)]


async def test_quote_when_runs_have_succeeded_then_it_is_what_they_cost_with_everything_under_them(
    house: scene.House,
) -> None:
    run_ids = house.submit(count=20)
    children = house.submit(count=1)
    for place, run_id in enumerate(run_ids, start=1):
        house.connection.execute(
            "update heddle_run set state = 'succeeded', cost_nano_usd = %s where id = %s", (place * 100, run_id)
        )
    house.connection.execute(
        "update heddle_run set state = 'succeeded', cost_nano_usd = 5000, parent_run = %s, parent_ordinal = 1 "
        "where id = %s",
        (run_ids[-1], children[0]),
    )

    await house.store.measure_costs(runs_max=200, looked_at_max=5_000)
    found = await asked(lambda desk: desk.quote_workflow(scene.WORKFLOW))
    other = await asked(lambda desk: desk.quote_workflow("never_ran"))

    assert (found.cost.runs, found.cost.median_nano_usd) == (20, 1_000)
    assert (found.cost.p95_nano_usd, found.cost.highest_nano_usd) == (1_900, 7_000)
    assert other.cost is None


async def chained(house: scene.House, *, ending: plan.Ending | None) -> None:
    """Let a run that cost 100 go on as one of 200 with a child of 1,000 under it, and that as one of 400."""
    links, worker = house.submit(), await house.worker()
    cost = "update heddle_run set cost_nano_usd = %s where id = %s"
    for link_cost in (100, 200):
        await house.begin(links[-1], worker, ending=store_chain_suite.ON)
        house.connection.execute(cost, (link_cost, links[-1]))
        links.append(house.value("select continued_as from heddle_run where id = %s", links[-1]))
    house.connection.execute(cost, (400, links[-1]))
    if ending is not None:
        await house.begin(links[-1], worker, ending=ending)
    (child,) = house.submit(parent_run=links[1], parent_ordinal=1)
    house.connection.execute("update heddle_run set state = 'succeeded', cost_nano_usd = 1000 where id = %s", (child,))


async def test_quote_when_a_run_went_on_as_others_then_it_is_what_the_chain_cost(house: scene.House) -> None:
    await chained(house, ending=scene.returned())

    await house.store.measure_costs(runs_max=200, looked_at_max=5_000)
    found = await asked(lambda desk: desk.quote_workflow(scene.WORKFLOW))

    assert (found.cost.runs, found.cost.median_nano_usd, found.cost.highest_nano_usd) == (1, 1_700, 1_700)


@pytest.mark.parametrize("ending", [None, scene.raised()], ids=["goes on", "failed"])
async def test_quote_when_a_chain_goes_on_or_failed_then_nobody_can_tell_yet(
    house: scene.House, ending: plan.Ending | None
) -> None:
    await chained(house, ending=ending)

    assert await house.store.measure_costs(runs_max=200, looked_at_max=5_000) == 0


async def test_quote_when_a_chain_began_before_the_runs_looked_at_then_no_part_of_it_is_taken_for_it(
    house: scene.House,
) -> None:
    await chained(house, ending=scene.returned())

    assert await house.store.measure_costs(runs_max=200, looked_at_max=2) == 0


async def test_quote_when_a_model_has_routes_then_their_prices_and_no_wait_are_told(house: scene.House) -> None:
    store_money_suite.deploy(house, price=3, is_list_priced=True, route_price=7)

    found = await asked(lambda desk: desk.quote_model("sent", tenant=house.tenant))

    assert (found.low_nano_usd, found.high_nano_usd, found.wait_s) == (7, 7, 0.0)
    assert house.count("attempt") == 0


@pytest.mark.parametrize(("tokens", "images"), [(None, None), (None, 9), (500, None), (123_456_789, 1)])
async def test_quote_when_a_call_says_what_it_uses_then_it_is_what_that_call_will_reserve(
    house: scene.House, tokens: int | None, images: int | None
) -> None:
    store_listed_suite.deploy_listed(house)

    found = await asked(lambda desk: desk.quote_model("sent", tenant=house.tenant, tokens=tokens, images=images))

    price = store_listed_suite.own_price(plan.CallOptions(tokens=tokens, images=images))
    assert (found.low_nano_usd, found.high_nano_usd) == (price, price)


async def test_quote_when_the_declaration_says_what_a_call_uses_then_that_is_priced(house: scene.House) -> None:
    store_listed_suite.deploy_listed(house)

    found = await asked(lambda desk: desk.quote_model("sent", tenant=house.tenant), stated=lambda _model: (None, 5))

    assert found.low_nano_usd == store_listed_suite.own_price(plan.CallOptions(images=5))


REPORT = """time,amount,account
{day}T03:00:00Z,0.0000006,key-1
{day}T04:00:00Z,0.0000004,key-1
{day},2.5,stolen
"""


async def test_report_when_an_account_is_not_ours_then_it_is_unknown_and_the_rest_is_compared(
    house: scene.House,
) -> None:
    store_money_suite.deploy(house)
    house.connection.execute("update heddle_endpoint set spend_accounts = '{key-1}'")
    await paid(house, PRICE)

    count = await asked(
        lambda desk: desk.import_report(REPORT.format(day=TODAY), endpoint="one", source="a.csv", actor="test")
    )
    again = await asked(
        lambda desk: desk.import_report(REPORT.format(day=TODAY), endpoint="one", source="a.csv", actor="test")
    )
    (day,) = (await house.store.endpoint_spend(days=31))["one"]

    assert (count, again) == (2, 2)
    assert (day.metered_nano_usd, day.reported_nano_usd, day.unknown_nano_usd) == (PRICE, 2_500_001_000, 2_500_000_000)
    assert invoice.alarms(invoice.InvoiceOptions(), [day]) == {invoice.Alarm.DIVERGING, invoice.Alarm.UNKNOWN_KEY}
    assert (await asked(lambda desk: desk.compare(days=31))) == {"one": [day]}
    assert house.value("select count(*) from heddle_audit where action = 'spend.import'") >= 2


async def test_meter_when_paid_calls_cost_nothing_then_it_is_silent(house: scene.House) -> None:
    store_money_suite.deploy(house)
    await paid(house, 0, 0, 0)

    (day,) = (await house.store.endpoint_spend(days=31))["one"]

    assert invoice.alarms(invoice.InvoiceOptions(silent_calls_min=3), [day]) == {invoice.Alarm.SILENT}


@pytest.mark.parametrize("is_summed", [False, True])
@pytest.mark.parametrize(
    ("correction", "amount", "left"),
    [
        (spending.Correction.REFUND, "0.0000004", PRICE - 400),
        (spending.Correction.ADJUSTMENT, "0.0000005", PRICE + 500),
        (spending.Correction.ADJUSTMENT, "-0.0000005", PRICE - 500),
    ],
)
async def test_correct_when_a_charge_is_mended_then_run_step_budget_and_sums_follow(
    house: scene.House, correction: spending.Correction, amount: str, left: int, is_summed: bool
) -> None:
    store_money_suite.deploy(
        house,
        tenant=scene.deployment.Tenant(name="default", budget_nano_usd_per_day=99 * PRICE),
        workflow_budget=99 * PRICE,
    )
    first, second = await claimed(house, 2)
    await marked(house, first)
    await house.settle(told(first, PRICE))
    if is_summed:
        await marked(house, second)
        await house.settle(scene.faulted(second))

    await asked(
        lambda desk: desk.correct(
            first.run_id, 1, number=1, correction=correction.value, amount_usd=amount, actor="test"
        )
    )
    await counted(house)

    accounts = await asked(lambda desk: desk.budgets(tenant=house.tenant, has_workflows=True))
    (row,) = await asked(lambda desk: desk.usage(tenant=house.tenant))
    assert (await house.shown(first.run_id)).cost_nano_usd == left
    assert (await house.calls(first.run_id))[1].cost_nano_usd == left
    assert [each.spent_today_nano_usd for each in accounts] == [left, left]
    assert row.cost_nano_usd == left


async def test_correct_when_it_comes_twice_or_takes_back_too_much_then_it_is_refused(house: scene.House) -> None:
    store_money_suite.deploy(house)
    (item,) = await paid(house, PRICE)
    book = spending_store.DjangoSpending()

    def correct(amount: int) -> None:
        named = {"run_id": item.run_id, "ordinal": 1, "number": 1, "actor": "test"}
        book.correct(**named, correction=spending.Correction.REFUND, amount_nano_usd=amount)  # type: ignore[arg-type]

    with pytest.raises(spending.CorrectionRefused):
        await scene.in_thread(lambda: correct(PRICE + 1))
    await scene.in_thread(lambda: correct(1))
    with pytest.raises(spending.CorrectionRefused):
        await scene.in_thread(lambda: correct(1))

    assert (await house.shown(item.run_id)).cost_nano_usd == PRICE - 1


async def test_correct_when_there_is_no_such_attempt_then_it_is_refused(house: scene.House) -> None:
    with pytest.raises(spending.CorrectionRefused, match="has no charge"):
        await asked(
            lambda desk: desk.correct(uuid.uuid4(), 1, number=1, correction="refund", amount_usd="1", actor="test")
        )


async def test_report_when_the_endpoint_is_not_there_then_it_is_named(house: scene.House) -> None:
    with pytest.raises(client_spending.InvalidInput, match="there is no endpoint 'nowhere'"):
        await asked(
            lambda desk: desk.import_report(
                f"time,amount\n{TODAY},1\n", endpoint="nowhere", source="a.csv", actor="test"
            )
        )
