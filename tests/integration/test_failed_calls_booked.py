"""A call that fails after it was sent costs what its provider took for it, and the ledger balances.

Real workers, PostgreSQL and twins that go by their adapters' price lists; the twins' books are the referee. What was
delivered is paid for, also where it is no use: at what was told, else as reserved, which is then an estimate.
"""

import contextlib
import pathlib
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import pydantic
import pytest

import heddle
from heddle.config import deployment
from heddle.core import attempt, settle
from heddle.core import faults as step_faults
from heddle.core.run import RunState
from heddle.ports import blobs, provider
from heddle.program import registry
from heddle.twins.kit import faults, ledger
from tests import pg
from tests.integration import town, working
from tests.races import invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
LISTED = """
[models.listed]
[endpoints.there]
adapter = "simulator"
url = "$there"
secret = "env:KEY"
price = "list"
poll_after_s = 0.1
[[routes]]
model = "listed"
endpoint = "there"
"""
SHAPED = """
[endpoints.there.shape]
output = { image = "{output.nothing}" }
"""
MESSAGES: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Describe espresso on marble."}]}
TOKENS_NANO_USD = {"anthropic": 50 * 4_000 + 50 * 20_000, "openai": 50 * 150 + 50 * 600}


async def test_job_when_it_fails_then_it_is_given_back_as_its_seller_does(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    there = town.Seller(idempotency="A", rates=faults.Rates(failed=1.0), latency_s=0.05)
    async with town.opened(database, tmp_path, LISTED, there=there) as site:
        async with working.working(site.lean_parts()):
            (view,) = await site.over(*(await site.buy("listed")))

        book = site.book("there")
        assert (view.state, view.cost_nano_usd) == (RunState.FAILED, 0)
        assert book.paid == book.refunded == 3
        assert site.house.books() == 3 * [("release", town.PRICE_NANO_USD), ("reserve", town.PRICE_NANO_USD)]
        assert site.broken() == {}


async def test_job_when_its_seller_was_told_to_cancel_it_then_its_price_stays_paid(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    there = town.Seller(idempotency="A", rates=faults.Rates(stuck=1.0))
    async with town.opened(database, tmp_path, LISTED, there=there) as site:
        async with working.working(site.lean_parts()):
            (run_id,) = await site.buy("listed")
            await site.until("select state = 'pending' from heddle_step where run_id = %s", run_id)
            (paid,) = ledger.read(tmp_path / "there.jsonl").paid
            await site.sellers["there"].twin.jobs.cancel(paid.id)
            (view,) = await site.over(run_id)

        assert view.error is not None
        assert (view.error["fault"], view.cost_nano_usd) == ("cancelled", town.PRICE_NANO_USD)
        assert site.book("there").paid_nano_usd == site.charged() == town.PRICE_NANO_USD
        assert (site.house.estimated(), site.broken()) == (0, {})


async def test_job_when_its_result_does_not_fit_the_shape_then_what_its_seller_told_is_charged(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    async with town.opened(database, tmp_path, LISTED + SHAPED, there=town.Seller(idempotency="A")) as site:
        async with working.working(site.lean_parts()):
            (view,) = await site.over(*(await site.buy("listed")))

        assert view.error is not None
        assert (view.error["fault"], view.cost_nano_usd) == ("bad_output", town.PRICE_NANO_USD)
        assert site.book("there").paid_nano_usd == site.charged() == town.PRICE_NANO_USD
        assert (site.house.estimated(), site.broken()) == (0, {})


@pytest.mark.parametrize("fault", ["wrong_type", "huge"])
@pytest.mark.parametrize(
    ("vendor", "path", "options", "given"),
    [
        ("anthropic", "", 'model_name = "claude-opus-5-5"', {"max_tokens": 50, **MESSAGES}),
        ("openai", "/v1", 'operation = "chat"\nmodel_name = "gpt-4o-mini"\nlist_prices = true', MESSAGES),
    ],
    ids=["anthropic", "openai"],
)
async def test_answer_when_it_is_no_use_and_tells_no_usage_then_it_is_charged_as_reserved_and_is_an_estimate(
    database: pg.Database,
    tmp_path: pathlib.Path,
    fault: str,
    vendor: str,
    path: str,
    options: str,
    given: Mapping[str, Any],
) -> None:
    config = f"""
[models.listed]
tokens = 100
output_tokens = 50
[endpoints.there]
adapter = "{vendor}"
url = "$there{path}"
secret = "env:KEY"
price = "list"
{options}
[[routes]]
model = "listed"
endpoint = "there"
"""
    there = town.Vendor(vendor=vendor, rates=faults.Rates(**{fault: 1.0}))
    async with town.opened(database, tmp_path, config, there=there) as site:
        async with working.working(site.lean_parts()):
            (view,) = await site.over(*(await site.buy("listed", given)))

        reserved = TOKENS_NANO_USD[vendor]
        assert (view.state, view.cost_nano_usd) == (RunState.FAILED, reserved)
        assert site.house.books() == [("charge", reserved), ("reserve", reserved)]
        assert (site.book("there").paid, site.house.estimated(), site.broken()) == (1, 1, {})


class Press:
    """Take jobs, and give what is no use when they are over; what it costs nobody is told."""

    capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.A, is_paid=True, has_poll=True)

    def __init__(self) -> None:
        self.is_over = False

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        return settle.Accepted(handle="job-1", poll_after_s=0.2)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        if not self.is_over:
            return settle.StillRunning(poll_after_s=0.2)
        fault = step_faults.StepFault(fault=step_faults.Fault.BAD_OUTPUT, message="a page came instead of a picture")
        return settle.Faulted(fault=fault, billed_nano_usd=None)

    async def close(self) -> None:
        """Hold nothing."""


class Scrawler(Press):
    """Answer at once with what the artifact storage refuses."""

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        raise blobs.BlobRefused("media_type_refused", "the picture is none")


class Binder(Press):
    """Take an order whose answer is lost, answer the next send as told, and the third with what was made."""

    def __init__(self, second: settle.Outcome) -> None:
        super().__init__()
        self._answers = [settle.Unknown(message="the connection broke"), second, settle.Completed(output={"pages": 9})]
        self.keys: list[str] = []

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        self.keys.append(request.idempotency_key)
        return self._answers[min(len(self.keys), len(self._answers)) - 1]


@contextlib.asynccontextmanager
async def printing(
    database: pg.Database, folder: pathlib.Path, made: Press
) -> AsyncIterator[tuple[scene.House, uuid.UUID]]:
    """Run a worker whose one endpoint is this one, and order one call of it."""
    with database.connect() as connection:
        house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        house.wipe()
        house.deploy([scene.endpoint("press")], [deployment.Route(model="pressed", endpoint="press")])
        wanted = scene.new_run(house.tenant, workflow="model:pressed", call=town.direct("pressed", {}))
        async with working.working(working.parts_of(database, folder, cast("provider.Provider", made))):
            run_id = (await scene.in_thread(lambda: house.doors().submit(wanted))).run_id
            yield house, run_id
            await working.until(lambda: house.count("slot") == 0)
        assert invariants.broken(connection, drained=True) == {}


async def test_job_when_its_run_was_cancelled_and_it_ends_without_use_then_it_is_charged_as_reserved(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    press = Press()
    async with printing(database, tmp_path, press) as (house, run_id):
        await working.until(lambda: house.states(run_id) == {1: "pending"})
        await house.cancel(run_id)
        press.is_over = True
        await working.until(lambda: house.count("slot") == 0)

        assert house.state(run_id) == "cancelled"
        assert house.books() == [("charge", scene.COST_NANO_USD), ("reserve", scene.COST_NANO_USD)]


async def test_answer_when_the_storage_refuses_what_came_then_it_is_charged_as_reserved(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    async with printing(database, tmp_path, Scrawler()) as (house, run_id):
        await working.until(lambda: house.state(run_id) == "failed")

        assert (await house.shown(run_id)).cost_nano_usd == scene.COST_NANO_USD
        assert house.books() == [("charge", scene.COST_NANO_USD), ("reserve", scene.COST_NANO_USD)]


@pytest.mark.parametrize(
    ("kind", "message"),
    [("rejected_permanent", "answered 404"), ("deadline", "nothing was sent: no time was left")],
)
async def test_resend_when_its_door_is_shut_then_the_first_send_is_not_taken_for_refused(
    database: pg.Database, tmp_path: pathlib.Path, kind: str, message: str
) -> None:
    fault = step_faults.StepFault(fault=step_faults.Fault(kind), message=message)
    binder = Binder(settle.Faulted(fault=fault, is_of_this_send=True))
    async with printing(database, tmp_path, binder) as (house, run_id):
        await working.until(lambda: house.state(run_id) not in ("queued", "running"))

        view = await house.shown(run_id)
        assert (view.state, view.output, view.cost_nano_usd) == (
            RunState.SUCCEEDED,
            {"pages": 9},
            scene.COST_NANO_USD,
        )
        assert (len(binder.keys), len(set(binder.keys))) == (3, 1)


async def test_resend_when_its_request_is_refused_then_the_call_has_failed_and_costs_nothing(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    fault = step_faults.StepFault(fault=step_faults.Fault.REJECTED_PERMANENT, message="answered 422")
    async with printing(database, tmp_path, Binder(settle.Faulted(fault=fault))) as (house, run_id):
        await working.until(lambda: house.state(run_id) == "failed")

        assert (await house.shown(run_id)).cost_nano_usd == 0


class Grumpy(pydantic.BaseModel):
    """An input whose author's check breaks."""

    pages: int = 0

    @pydantic.model_validator(mode="after")
    def look_up(self) -> "Grumpy":
        raise KeyError(self.pages)


async def test_call_when_the_check_of_its_input_breaks_then_it_has_failed_unsent_and_is_not_unknown(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    press = Press()
    with registry.isolated():
        heddle.model("pressed", input=Grumpy)
        async with printing(database, tmp_path, press) as (house, run_id):
            await working.until(lambda: house.state(run_id) == "failed")

            view = await house.shown(run_id)
            assert (view.error or {})["fault"] == "unclassified"
            assert view.cost_nano_usd == 0
