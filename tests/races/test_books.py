"""The books balance after any history: calls that end well, badly, late, twice or never, workers that die in between
intent and settlement, calls that an operator has made again, runs that are cancelled, charges that are corrected.
"""

import dataclasses
import random
import uuid

import hypothesis
import pytest
from hypothesis import strategies as st

from heddle.core.policy import budget
from heddle.ports import doors, operators, spending, store
from heddle.store import spending as spending_store
from tests.contract import store_money_suite
from tests.races import fixtures, invariants, scene

open_house = fixtures.open_house
house = fixtures.house
pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICE = scene.COST_NANO_USD
CALLS = 4
BALANCE = "a reservation is open with its attempt, and else charged and released to the last"
OFTEN = ("claim", "mark", "done", "done", "late", "correct", "correct")
KINDS = (*OFTEN, "refused", "unsure", "accepted", "die", "again", "called", "cancel", "close", "count")
SENT = [("claim", 0), ("mark", 1)]
UNKNOWN = [*SENT, ("die", 2), ("claim", 3), *[("unsure", seed) for seed in range(4, 8)]]
GIVEN_UP = [*UNKNOWN, *[("again", seed) for seed in range(8, 12)]]
MOVES = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2**16)), min_size=12, max_size=40)


@dataclasses.dataclass(slots=True)
class Life:
    """Hold one history: what its workers hold, and what they once held."""

    house: scene.House
    run_id: uuid.UUID
    worker: int
    held: list[store.Claimed] = dataclasses.field(default_factory=list)
    marked: set[tuple[int, int]] = dataclasses.field(default_factory=set)
    before: list[store.Claimed] = dataclasses.field(default_factory=list)

    def take(self, rng: random.Random, *, is_marked: bool) -> store.Claimed | None:
        """Let go of one call that is held."""
        fitting = [item for item in self.held if not is_marked or (item.ordinal, item.number) in self.marked]
        if not fitting:
            return None
        item = rng.choice(fitting)
        self.held.remove(item)
        self.before.append(item)
        return item


async def move(life: Life, kind: str, rng: random.Random) -> None:
    """Make one move; one that does not fit makes none."""
    house = life.house
    match kind:
        case "claim":
            house.due_now()
            await house.pump(life.worker)
            life.held += await house.claim_models(life.worker, "sent")
            life.held += await house.claim(life.worker, scene.lanes.of_poll("one"), purpose="poll")
        case "mark":
            fresh = [item for item in life.held if item.purpose == "send" and rng.random() < 0.8]
            sent = await house.store.mark_sending(calls=[(item, "digest") for item in fresh])
            life.marked |= {
                (item.ordinal, item.number) for item in fresh if sent.get((item.run_id, item.ordinal), 1) is None
            }
        case "done" | "refused" | "unsure" | "accepted":
            await end(life, kind, rng)
        case "die":
            house.silence(life.worker)
            await house.store.reclaim(lease_s=15.0, margin_s=0.0, limit=50)
            life.before += life.held
            life.held, life.worker = [], await house.worker()
        case "late" | "called":
            await hear(life, kind, rng)
        case "again":
            await make_again(life, rng)
        case "correct":
            await correct(life, rng)
        case "cancel":
            await house.cancel(life.run_id)
        case "close":
            await close(life, rng)
        case "count":
            await house.store.count_spend(limit=rng.choice([1, 3, 1_000]))


async def hear(life: Life, kind: str, rng: random.Random) -> None:
    """Hear something late of a call that was sent: by its worker, or by a callback."""
    sent_before = [item for item in life.before if (item.ordinal, item.number) in life.marked]
    if not sent_before:
        return
    if kind == "called":
        handle = rng.choice([None, "job-9"])
        await life.house.callback(rng.choice(sent_before), str(rng.random()), handle=handle)
        return
    word = rng.choice([done, scene.faulted, scene.unsure, scene.accepted])
    item = rng.choice(sent_before)
    await life.house.settle(done(item, rng) if word is done else word(item))  # type: ignore[operator]


async def close(life: Life, rng: random.Random) -> None:
    """Close what stopped calls left behind."""
    over = [item for item in life.held if item.state == "cancelled"]
    ends = [(scene.ref(item), rng.choice(["done", "rejected"]), rng.choice([None, 1, 3 * PRICE])) for item in over]
    await life.house.store.close_cancelled(closings=ends)
    life.held = [item for item in life.held if item not in over]


def done(item: store.Claimed, rng: random.Random) -> store.Settlement:
    return store_money_suite.told(item, rng.choice([None, 0, 1, PRICE, PRICE + 7, 3 * PRICE]))


async def end(life: Life, kind: str, rng: random.Random) -> None:
    item = life.take(rng, is_marked=kind != "refused")
    if item is None or item.state == "cancelled":
        return
    match kind:
        case "done":
            written = done(item, rng)
        case "refused":
            written = scene.faulted(item, verdict=rng.choice(["fail", "retry"]))
            if (item.ordinal, item.number) in life.marked:
                written = dataclasses.replace(
                    written, cost_nano_usd=rng.choice([None, 5]), is_billed=rng.random() < 0.3
                )
        case "unsure":
            written = scene.unsure(item, verdict=rng.choice(["reconcile", "bury"]))
        case _:
            written = scene.accepted(item, delay_s=0.0)
    await life.house.settle(written)


async def make_again(life: Life, rng: random.Random) -> None:
    """Have an operator say that a call of unknown outcome is made again."""
    unknown = life.house.rows("select ordinal from heddle_step where state = 'unknown' order by ordinal")
    (ordinal,) = rng.choice(unknown or [(1,)])
    cost_nano_usd = rng.choice([None, None, PRICE])

    def work() -> None:
        try:
            spending_store.DjangoSpending().settle_unknown(
                run_id=life.run_id,
                ordinal=ordinal,
                verdict="retry",
                output=None,
                cost_nano_usd=cost_nano_usd,
                actor="test",
            )
        except operators.ChangeRefused:
            return

    await scene.in_thread(work)


async def correct(life: Life, rng: random.Random) -> None:
    book = spending_store.DjangoSpending()
    correction = rng.choice(list(spending.Correction))
    amount = rng.choice([1, 400, PRICE, 9 * PRICE]) * (-1 if correction == "adjustment" and rng.random() < 0.5 else 1)

    charged = life.house.rows("select ordinal, number from heddle_ledger where kind = 'charge' order by id")
    ordinal, number = rng.choice(charged or [(1, 1)])

    def work() -> None:
        try:
            book.correct(
                run_id=life.run_id,
                ordinal=ordinal,
                number=number,
                correction=correction,
                amount_nano_usd=amount,
                actor="test",
            )
        except (spending.CorrectionRefused, doors.RunMissing):
            return

    await scene.in_thread(work)


async def begin(house: scene.House) -> Life:
    house.wipe()
    owner = scene.deployment.Tenant(
        name="default", budget_nano_usd_per_day=6 * PRICE, budget_nano_usd_per_month=99 * PRICE
    )
    store_money_suite.deploy(house, tenant=owner, workflow_budget=5 * PRICE)
    run_id, worker = (await house.admit(max_cost_nano_usd=4 * PRICE)).run_id, await house.worker()
    calls = [scene.call(ordinal, "model", "sent") for ordinal in range(1, CALLS + 1)]
    await house.begin(run_id, worker, *calls, ending=scene.suspended(*range(1, CALLS + 1)))
    return Life(house=house, run_id=run_id, worker=worker)


def entries(house: scene.House) -> list[budget.Entry]:
    query = "select run_id || '.' || ordinal || '.' || number, kind, amount_nano_usd from heddle_ledger order by id"
    return [
        budget.Entry(key=key, kind=budget.EntryKind(kind), amount_nano_usd=amount)
        for key, kind, amount in house.rows(query)
    ]


@pytest.mark.parametrize("before", [SENT, GIVEN_UP], ids=["calls were sent", "calls were given up"])
@hypothesis.settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(moves=MOVES)
async def test_books_when_anything_has_happened_then_attempts_balance_and_every_sum_is_the_same(
    house: scene.House, before: list[tuple[str, int]], moves: list[tuple[str, int]]
) -> None:
    life = await begin(house)

    for kind, seed in [*before, *moves]:
        await move(life, kind, random.Random(seed))

    await house.store.count_spend(limit=10_000)
    ledger = entries(house)
    account = budget.balance(ledger, cap_nano_usd=None)
    own, workflow = await scene.in_thread(
        lambda: spending_store.DjangoSpending().budgets(tenant=house.tenant, has_workflows=True)
    )
    assert invariants.broken(house.connection) == {}
    assert (own.spent_today_nano_usd, own.reserved_today_nano_usd) == (
        account.spent_nano_usd,
        account.reserved_nano_usd,
    )
    assert (workflow.spent_today_nano_usd, workflow.reserved_today_nano_usd) == (
        account.spent_nano_usd,
        account.reserved_nano_usd,
    )
    assert house.rows("select cost_nano_usd from heddle_run") == [(account.spent_nano_usd,)]
    assert house.value("select sum(cost_nano_usd)::bigint from heddle_step") == account.spent_nano_usd
    sums = dict(house.rows("select kind, sum(amount_nano_usd)::bigint from heddle_ledger group by kind"))
    counted = house.rows(
        "select coalesce(sum(reserved_nano_usd), 0)::bigint, coalesce(sum(released_nano_usd), 0)::bigint, "
        "coalesce(sum(charged_nano_usd), 0)::bigint, coalesce(sum(refunded_nano_usd), 0)::bigint, "
        "coalesce(sum(adjusted_nano_usd), 0)::bigint from heddle_spend_day"
    )[0]
    assert counted == tuple(sums.get(kind, 0) for kind in ("reserve", "release", "charge", "refund", "adjustment"))
