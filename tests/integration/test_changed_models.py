"""A job that was taken is asked after, and stopped, whatever has become of its model's declaration meanwhile.

Real workers, PostgreSQL and a simulated seller; the model gets a field more while its job is at work, as a deployment
of new code does.
"""

import dataclasses
import pathlib

import pytest

import heddle
from heddle.core.run import RunState
from heddle.program import registry
from heddle.twins.kit import faults
from tests import pg
from tests.integration import town, working

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONFIG = """
[models.changing]
[endpoints.there]
adapter = "simulator"
url = "$there"
secret = "env:KEY"
price = "list"
poll_after_s = 0.1
[[routes]]
model = "changing"
endpoint = "there"
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stricter:
    """Ask for more than the calls on their way have."""

    prompt: str
    output_format: str
    style: str


async def test_job_when_its_model_asks_for_more_meanwhile_then_its_result_is_fetched_and_paid_once(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    there = town.Seller(latency_s=1.0, late_s=0.0)
    async with town.opened(database, tmp_path, CONFIG, there=there) as site:
        with registry.isolated():
            async with working.working(site.lean_parts()):
                (run_id,) = await site.buy("changing")
                await site.until("select state = 'pending' from heddle_step where run_id = %s", run_id)
                heddle.model("changing", input=Stricter)
                (view,) = await site.over(run_id)

        assert (view.state, view.cost_nano_usd) == (RunState.SUCCEEDED, town.PRICE_NANO_USD)
        assert site.book("there").paid_nano_usd == site.charged() == town.PRICE_NANO_USD
        assert site.broken() == {}


async def test_job_when_its_run_is_stopped_and_its_model_asks_for_more_then_it_is_stopped_too(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    there = town.Seller(rates=faults.Rates(stuck=1.0))
    async with town.opened(database, tmp_path, CONFIG, there=there) as site:
        with registry.isolated():
            async with working.working(site.lean_parts()):
                (run_id,) = await site.buy("changing")
                await site.until("select state = 'pending' from heddle_step where run_id = %s", run_id)
                heddle.model("changing", input=Stricter)
                await site.house.cancel(run_id)
                await site.until("select not exists (select 1 from heddle_slot where run_id = %s)", run_id)

        book = site.book("there")
        assert (book.cancelled, book.paid_nano_usd) == (1, site.charged())
