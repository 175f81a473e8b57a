"""Calls that are leased in the commit that admits them: taken where nothing stands in their way, and only there."""

import asyncio
import dataclasses
from typing import Any

import pytest

from heddle.config import deployment
from heddle.core import plan
from heddle.engine import calls as calls_stage
from heddle.engine import settle as settle_stage
from heddle.store import calling
from tests import pg
from tests.contract import store_listed_suite, store_waited_suite
from tests.integration import at_once
from tests.integration.at_once import BURST, MODEL, TOLD, admit, deploy, offer, one, take
from tests.races import scene

house = at_once.house


class TestTaken:
    """What a call that goes at once has when its admission is committed."""

    async def test_submit_when_nothing_stands_in_the_way_then_the_call_is_leased_and_its_intent_is_durable(
        self, house: scene.House
    ) -> None:
        deploy(house)
        worker = await house.worker()

        (asked,), admitted = await admit(house, offered=offer(house, worker))

        (lease,) = admitted.taken
        assert (lease.run_id, lease.is_sending) == (asked.run_id, True)
        assert (house.count("ready"), house.count("lease"), house.count("slot")) == (0, 1, 1)
        attempt = "state, worker_id, price_nano_usd, sent_at is not null, request_digest is not null"
        assert one(house, f"select {attempt} from heddle_attempt") == (
            "sending",
            worker,
            scene.COST_NANO_USD,
            True,
            True,
        )
        assert one(house, "select kind, amount_nano_usd from heddle_ledger") == ("reserve", scene.COST_NANO_USD)
        assert one(house, "select in_flight, first_tries from heddle_limit_state") == (1, 1)
        assert await house.claim_models(worker, MODEL) == []

    @pytest.mark.parametrize(("tokens", "images"), [(None, None), (None, 9), (500, None), (123_456_789, 1)])
    async def test_submit_when_the_call_says_what_it_uses_then_that_is_reserved(
        self, house: scene.House, tokens: int | None, images: int | None
    ) -> None:
        store_listed_suite.deploy_listed(house)
        options = plan.CallOptions(tokens=tokens, images=images)

        _, admitted = await admit(house, options=options)

        assert len(admitted.taken) == 1
        reserved = ("reserve", store_listed_suite.own_price(options))
        assert one(house, "select kind, amount_nano_usd from heddle_ledger") == reserved

    async def test_submit_when_the_endpoint_costs_nothing_then_its_call_is_reserved_and_nothing_is_booked(
        self, house: scene.House
    ) -> None:
        deploy(house)

        _, admitted = await admit(house, offered=offer(house, await house.worker(), is_paid=False))

        assert [lease.is_sending for lease in admitted.taken] == [False]
        assert one(house, "select state, sent_at from heddle_attempt") == ("reserved", None)
        assert house.count("ledger") == 0

    async def test_submit_when_it_was_taken_and_answered_then_the_run_is_over_and_the_books_balance(
        self, house: scene.House
    ) -> None:
        deploy(house)
        claimed = await take(house)

        report = await house.settle(scene.done(claimed, output={"text": "hello"}))

        assert [(each.run_id, each.state) for each in report.ended] == [(claimed.run_id, "succeeded")]
        view = await house.shown(claimed.run_id)
        assert (view.output, view.cost_nano_usd) == ({"text": "hello"}, scene.COST_NANO_USD)
        assert (house.count("lease"), house.count("slot"), house.count("ready")) == (0, 0, 0)
        await house.store.fold_idle()
        assert await house.store.recount() == []

    async def test_submit_when_its_worker_dies_then_a_paid_call_is_unknown_and_is_looked_after(
        self, house: scene.House
    ) -> None:
        deploy(house)
        house.connection.execute("update heddle_endpoint set is_paid = true")
        worker = await house.worker()
        await admit(house, offered=offer(house, worker))

        house.silence(worker)
        await house.store.reclaim(lease_s=15.0, margin_s=1.0, limit=10)

        assert one(house, "select state from heddle_attempt") == ("unknown",)
        assert one(house, "select kind from heddle_timer") == ("reconcile",)

    async def test_submit_when_its_commit_was_not_told_then_the_call_is_let_go_unsent_and_due_again(
        self, house: scene.House
    ) -> None:
        deploy(house)
        offered = offer(house, await house.worker())
        await admit(house, offered=offered)

        (ref,) = await house.store.readback(worker=offered.worker, claim_ids=[offered.claim_id])
        await house.settle(settle_stage.never_sent(ref))

        assert one(house, "select state from heddle_attempt") == ("rejected",)
        assert one(
            house, "select sum(case kind when 'reserve' then 1 else -1 end * amount_nano_usd) from heddle_ledger"
        ) == (0,)
        (again,) = await house.claim_models(offered.worker, MODEL)
        assert (again.number, again.attempts_before) == (2, 1)

    async def test_submit_when_more_come_than_the_rate_lets_through_then_the_last_of_it_is_left_to_the_claim(
        self, house: scene.House
    ) -> None:
        deploy(house)

        counts = [len((await admit(house))[1].taken) for _ in range(BURST + 2)]

        assert (sum(counts), house.count("ready")) == (BURST - 1, 3)
        assert len(await house.claim_models(await house.worker(), MODEL)) == 1

    async def test_submit_when_slots_were_let_go_then_a_claim_finds_them_and_calls_go_at_once_again(
        self, house: scene.House
    ) -> None:
        deploy(house, scope={"concurrency": 2, "requests_per_min": None, "requests_burst": 1})
        await house.settle(scene.done(await take(house)))
        worker = await house.worker()

        _, second = await admit(house)
        (claimed,) = await house.claim_models(worker, MODEL)
        await house.settle(scene.done(claimed))
        house.connection.execute("update heddle_limit_delta set at = now() - interval '2 seconds'")
        await house.store.fold_idle()
        _, third = await admit(house)

        assert (len(second.taken), len(third.taken)) == (0, 1)

    async def test_submit_when_a_key_is_another_runs_then_it_leases_nothing(self, house: scene.House) -> None:
        deploy(house)
        await admit(house, idempotency_key="k", fingerprint="f")

        _, again = await admit(house, idempotency_key="k", fingerprint="f")

        assert again.taken == []
        assert house.count("lease") == 1

    async def test_submit_when_tokens_are_limited_then_the_estimate_is_taken_and_the_truth_is_told_later(
        self, house: scene.House
    ) -> None:
        deploy(
            house,
            scope={"tokens_per_min": 6_000, "tokens_burst": 1_000},
            models=[deployment.Model(name=MODEL, tokens=400)],
        )

        counts = [len((await admit(house))[1].taken) for _ in range(3)]

        assert counts == [1, 1, 0]
        assert house.connection.execute("select tokens from heddle_slot").fetchall() == [(400,), (400,)]


async def test_submit_when_four_workers_admit_beside_claims_then_no_slot_is_given_twice(database: pg.Database) -> None:
    slots, seen = 10, []
    with database.connect() as connection:
        house = scene.House(database=database, connection=connection, store=scene.engine_store(database, size=8))
        house.wipe()
        deploy(house, scope={"concurrency": slots, "requests_per_min": None, "requests_burst": None})
        await house.store.open()

        async def door() -> None:
            worker = await house.worker()
            for _ in range(30):
                asked, admitted = await admit(house, count=3, offered=offer(house, worker))
                runs = {call.run_id: call.run for call in asked}
                held = [calls_stage._claimed(lease, runs[lease.run_id]) for lease in admitted.taken]
                held += await house.claim_models(worker, MODEL)
                seen.append(house.count("slot"))
                if held:
                    await house.settle(*map(scene.done, held))

        await asyncio.gather(*(door() for _ in range(4)))
        while left := await house.claim_models(await house.worker(), MODEL):
            await house.settle(*map(scene.done, left))
        states = connection.execute("select state, count(*) from heddle_run group by state").fetchall()
        await house.store.close()

    assert max(seen) <= slots
    assert states == [("succeeded", 4 * 30 * 3)]


def run_in_line(house: scene.House) -> None:
    house.fill(lane=scene.model_lane(MODEL), name=MODEL, count=1, kind="model")


SCOPE = "update heddle_limit_state set "
NEWS = (
    "insert into heddle_limit_delta (scope_id, released, ok, failed, epoch, frozen_until, dimension, remaining) "
    "select s.id, 0, %s from heddle_limit_state s, generate_series(1, %s)"
)
MODEL_BUDGET = "insert into heddle_workflow (name, budget_nano_usd_per_day) values ('model:sent', 1000000000000)"
SENDING_PAUSED = "insert into heddle_lineage (system_identifier, timeline, sending_paused_at) values (1, 1, now())"
STANDS_IN_THE_WAY = {
    "a call in line": run_in_line,
    "the model is paused": "insert into heddle_model (name, paused_at) values ('sent', now())",
    "the tenant is paused": "update heddle_tenant set paused_at = now()",
    "the endpoint is paused": "update heddle_endpoint set paused_at = now()",
    "the endpoint is switched off": "update heddle_endpoint set is_enabled = false",
    "all sending is paused": SENDING_PAUSED,
    "the tenant has a budget": "update heddle_tenant set budget_nano_usd_per_day = 1000000000000",
    "the tenant has a month's budget": "update heddle_tenant set budget_nano_usd_per_month = 1000000000000",
    "the model's day has a budget": MODEL_BUDGET,
    "the tenant's region": "update heddle_tenant set rule = 7",
    "the breaker is open": SCOPE + "breaker = 'open', open_until = now() + interval '1 minute'",
    "the breaker closed just now": SCOPE + "closed_at = now()",
    "failures in a row": SCOPE + "failures_in_row = 1",
    "the scope is full": SCOPE + "full_since = now()",
    "the scope is paused": SCOPE + "paused_until = now() + interval '1 minute'",
    "the scope is frozen": SCOPE + "frozen_until = now() + interval '1 minute'",
    "slots are used up": SCOPE + "in_flight = 99",
    "the rate is used up": SCOPE + "tat = now() + interval '1 hour'",
    "a lower limit was told": SCOPE
    + "requests_per_min = 600, requests_told = 30, requests_told_until = now() + interval '1 minute'",
    "news of a failure": NEWS % ("0, 1, 0, null::timestamptz, null::int, null::int", 1),
    "news of a freeze": NEWS % ("0, 0, 0, now() + interval '9 s', null::int, null::int", 1),
    "news of too little left": NEWS % ("0, 0, -1, null::timestamptz, 1, 2", 1),
    "more news than are read": NEWS % ("1, 0, 0, null::timestamptz, null::int, null::int", calling.DELTAS_MAX + 1),
}


@pytest.mark.parametrize("what", STANDS_IN_THE_WAY)
async def test_submit_when_something_stands_in_the_way_then_the_call_is_put_in_line(
    house: scene.House, what: str
) -> None:
    deploy(house)
    stands = STANDS_IN_THE_WAY[what]
    if isinstance(stands, str):
        house.connection.execute(stands)  # type: ignore[arg-type]
    else:
        stands(house)
    before = house.count("ready")

    _, admitted = await admit(house)

    assert admitted.taken == []
    assert (house.count("ready"), house.count("lease"), house.count("attempt")) == (before + 1, 0, 0)


@pytest.mark.parametrize("more", [{"max_cost_nano_usd": 10**12}, {"offered": {}}, {"offered": None}])
async def test_submit_when_the_worker_cannot_or_must_not_send_at_once_then_the_call_is_put_in_line(
    house: scene.House, more: dict[str, Any]
) -> None:
    deploy(house)
    asked = store_waited_suite.asked(house, **{name: value for name, value in more.items() if name != "offered"})
    offered = offer(house, await house.worker())
    if "offered" in more:
        offered = None if more["offered"] is None else dataclasses.replace(offered, endpoints=more["offered"])  # type: ignore[assignment]

    admitted = await house.store.submit_calls(calls=[asked], offer=offered)

    assert list(admitted.taken) == []
    assert house.count("ready") == 1


async def test_submit_when_what_was_told_is_no_less_than_ours_then_calls_go_at_once(house: scene.House) -> None:
    deploy(house)
    first = await take(house)
    await house.settle(dataclasses.replace(scene.done(first), told=TOLD % (6_000, 5_000)))

    _, admitted = await admit(house)

    assert len(admitted.taken) == 1


LOCK_SCOPE = "select 1 from heddle_limit_state for no key update"


@pytest.mark.parametrize(
    ("held", "taken"), [("in_flight = 5", 1), ("in_flight = 99", 0), ("paused_until = now() + interval '1 h'", 0)]
)
async def test_submit_when_its_scope_is_locked_for_a_moment_then_it_waits_and_counts_what_was_written(
    house: scene.House, monkeypatch: pytest.MonkeyPatch, held: str, taken: int
) -> None:
    monkeypatch.setattr(calling, "LOCK_TIMEOUT_MS", 10_000)
    deploy(house)
    offered = offer(house, await house.worker())
    with house.database.connect() as holder, holder.transaction():
        holder.execute(SCOPE + held)  # type: ignore[arg-type]
        admission = asyncio.create_task(admit(house, offered=offered))
        await until_blocked(house)
    _, admitted = await admission

    assert (len(admitted.taken), house.count("ready")) == (taken, 1 - taken)


async def test_submit_when_its_scope_stays_locked_then_the_call_is_put_in_line(house: scene.House) -> None:
    deploy(house)
    offered = offer(house, await house.worker())
    with house.database.connect() as holder, holder.transaction():
        holder.execute(LOCK_SCOPE)
        _, admitted = await admit(house, offered=offered)

    assert list(admitted.taken) == []
    assert (house.count("ready"), house.count("lease"), house.count("attempt")) == (1, 0, 0)


async def until_blocked(house: scene.House) -> None:
    async with asyncio.timeout(10):
        while one(house, "select count(*) from pg_stat_activity where wait_event_type = 'Lock'") == (0,):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
