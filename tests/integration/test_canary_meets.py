"""A canary beside a tenant's regions and an operator's pause: its share is of what may go there, and of nothing else.

Real workers with their leader, PostgreSQL and two simulated sellers; one sells pictures that the model's gate refuses.
"""

import pathlib

import pytest

from heddle.core.run import RunState
from heddle.ports import operators
from tests import pg
from tests.integration import town, working

pytestmark = pytest.mark.asyncio(loop_scope="module")
CANARY = {"model": "trial", "endpoint": "new"}
CONFIG = """
[models.trial]
[models.trial.quality]
decodes = true
width_min = 100
tries_max = 1
[tenants.default]
[tenants.brand-eu]
regions = ["eu"]
[endpoints.old]
adapter = "simulator"
url = "$old"
secret = "env:KEY"
price_usd = "0.04"
regions = ["eu"]
poll_after_s = 0.1
[endpoints.old.shape]
input = { prompt = "{input.prompt}", output_format = "png", width = 128, height = 64 }
[endpoints.new]
adapter = "simulator"
url = "$new"
secret = "env:KEY"
price_usd = "0.04"
regions = ["us"]
poll_after_s = 0.1
[endpoints.new.shape]
input = { prompt = "{input.prompt}", output_format = "png", width = WIDTH, height = 64 }
[[routes]]
model = "trial"
endpoint = "old"
[[routes]]
model = "trial"
endpoint = "new"
canary = true
"""
# Of so many calls at least twenty go to a canary with nearly all of the tier, which is what it is judged by.
CALLS = 24
LEADING = {"route_interval_s": 0.1, "load_interval_s": 0.1}


def config(*, width: int) -> str:
    """Write the file with the width of the new endpoint's pictures; 100 are asked for."""
    return CONFIG.replace("WIDTH", str(width))


def endpoints(there: town.Town, *runs: object) -> set[str]:
    """Name the endpoints that served runs."""
    return {name for name, *_ in there.attempts(*runs)}  # type: ignore[arg-type]


async def start(there: town.Town, *, share: float) -> None:
    """Start the canary and wait until the leader has given it its share."""
    await there.ask("start_canary", **CANARY, share=share, margin=0.05)
    await there.until("select exists (select 1 from heddle_route where weight_now = %s)", share)


async def test_canary_when_a_tenant_may_not_go_there_then_its_share_is_of_the_others_alone(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    seller = town.Seller(idempotency="A")
    async with town.opened(database, tmp_path, config(width=128), old=seller, new=seller) as there:
        async with working.working(there.lean_parts(**LEADING)):
            await start(there, share=0.9)
            european = await there.tenant("brand-eu")
            theirs, others = await there.buy("trial", of=european, count=15), await there.buy("trial", count=15)
            await there.until("select not exists (select 1 from heddle_run where finished_at is null)")

        assert endpoints(there, *theirs) == {"old"}
        assert "new" in endpoints(there, *others)
        assert there.broken() == {}


async def test_canary_when_its_endpoint_is_paused_then_it_gets_nothing_and_the_others_serve(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    seller = town.Seller(idempotency="A")
    async with town.opened(database, tmp_path, config(width=128), old=seller, new=seller) as there:
        async with working.working(there.lean_parts(**LEADING)):
            await start(there, share=0.9)
            await there.ask("pause", kind=operators.Kind.ENDPOINT, name="new")
            runs = await there.buy("trial", count=15)
            views = await there.over(*runs)

        assert {view.state for view in views} == {RunState.SUCCEEDED}
        assert endpoints(there, *runs) == {"old"}
        assert there.book("new").paid == 0
        assert there.broken() == {}


async def test_canary_when_it_is_paused_while_its_results_are_refused_then_it_is_rolled_back_all_the_same(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    old, new = town.Seller(idempotency="A"), town.Seller(idempotency="A", latency_s=0.8)
    async with town.opened(database, tmp_path, config(width=64), old=old, new=new) as there:
        async with working.working(there.parts(**LEADING)):
            await start(there, share=0.99)
            runs = await there.buy("trial", count=CALLS)
            await there.until(
                "select count(*) = %s from heddle_attempt where state not in ('reserved', 'sending')", CALLS
            )
            await there.ask("pause", kind=operators.Kind.ENDPOINT, name="new")
            was_running = there.house.value("select state from heddle_canary") == "running"
            views = await there.over(*runs)
            await there.until("select state = 'rolled_back' from heddle_canary")
            await there.ask("resume", kind=operators.Kind.ENDPOINT, name="new")
            later = await there.buy("trial", count=5)
            after = await there.over(*later)

        assert was_running
        refused = [each for each in there.attempts(*runs) if each[0] == "new"]
        assert set(refused) == {("new", "rejected", "quality", town.PRICE_NANO_USD)}
        assert [view.state for view in views].count(RunState.FAILED) == len(refused) >= 20
        assert {view.state for view in after} == {RunState.SUCCEEDED}
        assert endpoints(there, *later) == {"old"}
        assert there.book("new").paid == len(refused)
        assert there.charged() == (there.book("new").paid + there.book("old").paid) * town.PRICE_NANO_USD
        assert there.broken() == {}
