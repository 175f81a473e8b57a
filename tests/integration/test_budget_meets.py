"""A budget beside a fallback that costs more and a call whose outcome nobody knows.

Real workers, PostgreSQL and two simulated sellers of class C; their books say what was sent.
"""

import pathlib
import uuid
from typing import Any

import pytest

from heddle.core.run import RunState
from heddle.ports import operators, records
from heddle.twins.kit import faults
from tests import pg
from tests.integration import town, working

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECOND = town.Seller(price_nano_usd=2 * town.PRICE_NANO_USD)


def config(*, callback_secret: str = "") -> str:
    """Write a model whose fallback costs twice as much, and a tenant who may spend two and a half times the first."""
    return f"""
[tenants.default]
budget_usd_per_day = "0.10"
[models.capped]
unknown_policy = "at_most_once"
[endpoints.first]
adapter = "simulator"
url = "$first"
secret = "env:KEY"
{callback_secret}
price_usd = "0.04"
class = "C"
poll_after_s = 0.1
lookup_bound_s = 60
[endpoints.second]
adapter = "simulator"
url = "$second"
secret = "env:KEY"
price_usd = "0.08"
class = "C"
poll_after_s = 0.1
[[routes]]
model = "capped"
endpoint = "first"
[[routes]]
model = "capped"
endpoint = "second"
tier = 1
"""


def fault_of(view: records.RunView) -> tuple[str, str]:
    """Give how a run ended, and with which fault."""
    assert view.error is not None
    return view.state.value, str(view.error["fault"])


async def bought(there: town.Town) -> records.RunView:
    """Buy one and wait for its end."""
    (view,) = await there.over(*(await there.buy("capped")))
    return view


async def lost(there: town.Town, **more: Any) -> uuid.UUID:
    """Buy one at the first endpoint, whose answer is lost, and let the fallback serve from then on."""
    (run_id,) = await there.buy("capped", **more)
    await there.unknown(run_id)
    await there.ask("pause", kind=operators.Kind.ENDPOINT, name="first")
    return run_id


async def test_fallback_when_an_unknown_call_holds_its_price_then_nothing_is_sent_past_the_cap_until_it_is_settled(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    first = town.Seller(rates=faults.Rates(cut=1.0))
    async with town.opened(database, tmp_path, config(), first=first, second=SECOND) as there:
        async with working.working(there.lean_parts()):
            run_id = await lost(there)
            refused = await bought(there)
            sent_past_the_cap = there.book("second").paid
            await there.settle_unknown(run_id, verdict="failed")
            served = await bought(there)
            await there.ask("resume", kind=operators.Kind.ENDPOINT, name="first")
            refused_again = await bought(there)

        assert fault_of(refused) == fault_of(refused_again) == ("failed", "budget")
        assert sent_past_the_cap == 0
        assert (served.state, served.is_degraded) == (RunState.SUCCEEDED, True)
        assert served.cost_nano_usd == there.charged() == 2 * town.PRICE_NANO_USD
        assert (there.book("first").paid, there.book("second").paid) == (1, 1)
        assert there.broken() == {}


async def test_fallback_when_a_callback_tells_that_the_unknown_call_was_not_billed_then_its_money_is_free_again(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    first = town.Seller(rates=faults.Rates(cut=1.0, failed=1.0), latency_s=1.5)
    told = config(callback_secret='callback_secret = "env:HOOK"')
    async with town.opened(database, tmp_path, told, first=first, second=SECOND) as there:
        async with working.working(there.lean_parts()):
            run_id = await lost(there)
            refused = await bought(there)
            (salvaged,) = await there.over(run_id)

        assert fault_of(refused) == ("failed", "budget")
        assert (salvaged.state, salvaged.is_degraded) == (RunState.SUCCEEDED, True)
        assert [(name, state) for name, state, *_ in there.attempts(run_id)] == [
            ("first", "rejected"),
            ("second", "done"),
        ]
        assert salvaged.cost_nano_usd == there.charged() == 2 * town.PRICE_NANO_USD
        book = there.book("first")
        assert (book.paid, book.refunded, there.book("second").paid) == (1, 1, 1)
        assert there.broken() == {}


async def test_fallback_when_it_costs_more_than_the_cap_of_the_run_leaves_then_nothing_is_sent_to_it(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    first = town.Seller(rates=faults.Rates(cut=1.0, failed=1.0), latency_s=1.0)
    told = config(callback_secret='callback_secret = "env:HOOK"')
    async with town.opened(database, tmp_path, told, first=first, second=SECOND) as there:
        async with working.working(there.lean_parts()):
            (view,) = await there.over(await lost(there, max_cost_nano_usd=2 * town.PRICE_NANO_USD - 1))

        assert (fault_of(view), view.cost_nano_usd) == (("failed", "budget"), 0)
        assert (there.book("first").paid, there.book("second").paid, there.charged()) == (1, 0, 0)
        assert there.broken() == {}
