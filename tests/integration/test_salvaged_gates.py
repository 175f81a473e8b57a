"""Results that are salvaged after an unknown outcome meet the gates of their model as any other does.

Real workers, PostgreSQL and simulated sellers that take the money and lose the answer: class C is found by its signed
callback, in time or when the call has been left to a person, class B by a look-up. The sellers' books are the referee.
"""

import pathlib

import pytest

from heddle.core.run import RunState
from heddle.twins.kit import faults
from tests import pg
from tests.integration import town, working

pytestmark = pytest.mark.asyncio(loop_scope="module")
# As many sends in a row that nobody answers open the breaker of the first endpoint, so that the next tier serves.
CALLS = 5
LOST = faults.Rates(cut=1.0)
LATE = faults.Rates(cut=1.0, callback_late=1.0)


def config(*, width: int, idempotency: str = "C", bound_s: float = 60.0) -> str:
    """Write a model whose first endpoint gives pictures of this width and whose second gives large ones."""
    return f"""
[models.salvaged]
[models.salvaged.quality]
decodes = true
width_min = 100
tries_max = 2
[endpoints.first]
adapter = "simulator"
url = "$first"
secret = "env:KEY"
callback_secret = "env:HOOK"
price_usd = "0.04"
class = "{idempotency}"
poll_after_s = 0.1
lookup_bound_s = {bound_s}
[endpoints.first.shape]
input = {{ prompt = "{{input.prompt}}", output_format = "png", width = {width}, height = 64 }}
[endpoints.second]
adapter = "simulator"
url = "$second"
secret = "env:KEY"
callback_secret = "env:HOOK"
price_usd = "0.08"
class = "C"
poll_after_s = 0.1
[endpoints.second.shape]
input = {{ prompt = "{{input.prompt}}", output_format = "png", width = 128, height = 64 }}
[[routes]]
model = "salvaged"
endpoint = "first"
[[routes]]
model = "salvaged"
endpoint = "second"
tier = 1
"""


SECOND = town.Seller(price_nano_usd=2 * town.PRICE_NANO_USD)


@pytest.mark.parametrize(
    ("idempotency", "rates", "bound_s"),
    [("C", LOST, 60.0), ("C", LATE, 0.3), ("B", LOST, 60.0)],
    ids=["called back", "called back after it was left to a person", "looked up"],
)
async def test_result_when_it_is_salvaged_and_refused_then_the_next_tier_is_paid_once_and_the_run_is_degraded(
    database: pg.Database, tmp_path: pathlib.Path, idempotency: str, rates: faults.Rates, bound_s: float
) -> None:
    first = town.Seller(idempotency=idempotency, rates=rates, latency_s=0.6, late_s=1.0)
    wanted = config(width=64, idempotency=idempotency, bound_s=bound_s)
    async with town.opened(database, tmp_path, wanted, first=first, second=SECOND) as there:
        async with working.working(there.parts()):
            runs = await there.buy("salvaged", count=CALLS)
            await there.unknown(*runs)
            views = await there.over(*runs)

        assert {(view.state, view.is_degraded) for view in views} == {(RunState.SUCCEEDED, True)}
        assert {view.cost_nano_usd for view in views} == {3 * town.PRICE_NANO_USD}
        assert there.attempts(*runs) == CALLS * [
            ("first", "rejected", "quality", town.PRICE_NANO_USD),
            ("second", "done", None, 2 * town.PRICE_NANO_USD),
        ]
        assert (there.book("first").paid, there.book("second").paid) == (CALLS, CALLS)
        assert there.charged() == CALLS * 3 * town.PRICE_NANO_USD
        assert there.broken() == {}


async def test_result_when_it_is_salvaged_and_good_then_it_is_taken_and_nothing_is_bought_again(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    first = town.Seller(rates=LOST, latency_s=0.3)
    async with town.opened(database, tmp_path, config(width=128), first=first, second=SECOND) as there:
        async with working.working(there.parts()):
            (run_id,) = await there.buy("salvaged")
            await there.unknown(run_id)
            (view,) = await there.over(run_id)

        assert (view.state, view.is_degraded, view.cost_nano_usd) == (RunState.SUCCEEDED, False, town.PRICE_NANO_USD)
        assert there.attempts(run_id) == [("first", "done", None, town.PRICE_NANO_USD)]
        assert (there.book("first").paid, there.book("second").paid) == (1, 0)
        assert there.broken() == {}
