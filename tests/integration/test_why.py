"""Real runs and a real worker, each brought to wait for one thing: what `why` says is what then happens."""

import importlib
import pathlib
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from heddle.config import deployment
from heddle.core import faults, reasons, settle
from heddle.program import registry
from heddle.store import django as django_store
from tests import pg
from tests.integration import why_workflows
from tests.integration.site import Site
from tests.races import scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
Cause, Confidence = reasons.Cause, reasons.Confidence


@pytest.fixture(scope="module", autouse=True)
def workflows() -> Iterator[None]:
    """Register the workflows for this file only."""
    with registry.isolated():
        importlib.reload(why_workflows)
        yield


@pytest_asyncio.fixture(loop_scope="module")
async def site(database: pg.Database, tmp_path: pathlib.Path) -> AsyncIterator[Site]:
    with database.connect() as connection:
        house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        house.wipe()
        house.deploy(
            [scene.endpoint("studio", price_nano_usd=1)],
            [deployment.Route(model="why_model", endpoint="studio")],
            scopes=[deployment.Scope(name="studio", concurrency=1)],
        )
        tenant = await scene.in_thread(lambda: django_store.DjangoDoors().tenant(name="default"))
        yield Site(database=database, connection=connection, folder=tmp_path, tenant=tenant)


async def came(site: Site, found: reasons.Explanation, query: str, *parameters: Any) -> None:
    """Wait for what an estimate is of, and hold it to its range, with a second for a busy machine."""
    assert found.eta is not None, found
    asked_s = time.monotonic()
    await site.until(query, *parameters)
    took_s = time.monotonic() - asked_s
    assert found.eta.low_s - 1.0 <= took_s <= found.eta.high_s + 1.0, (took_s, found)


async def test_why_when_no_worker_is_alive_then_it_says_so_and_how_to_start_one(site: Site) -> None:
    run_id = await site.submit("why.sleeps", sleep_s=0.0)

    found = await site.why(run_id)

    assert str(found) == "No worker is alive; start one with `heddle worker` (or `heddle up`)."
    assert found.eta is None
    async with site.working():
        await site.ended(run_id)


async def test_why_when_no_worker_has_loaded_the_version_then_it_names_it(site: Site) -> None:
    async with site.working():
        run_id = await site.submit("why.sleeps", version=77, sleep_s=0.0)

        found = await site.why(run_id)

    assert str(found) == (
        "No living worker has loaded version 77 of 'why.sleeps'; start one that has, or cancel the run."
    )


async def test_why_when_no_worker_has_loaded_a_step_then_it_names_the_step(site: Site) -> None:
    async with site.working():
        house = scene.House(database=site.database, connection=site.connection, store=scene.engine_store(site.database))
        house.fill(lane=scene.step_lane("nobody"), name="nobody", count=1)
        run_id = site.connection.execute("select run_id from heddle_step where name = 'nobody'").fetchone()

        found = await site.why((run_id or (uuid.UUID(int=0),))[0])

    assert str(found) == "No living worker has loaded step 'nobody' (call 1); start one that has."


async def test_why_when_the_run_is_to_start_later_then_when_and_it_does(site: Site) -> None:
    async with site.working():
        run_id = await site.submit("why.sleeps", start_in_s=3.0, sleep_s=0.0)

        found = await site.why(run_id)

        assert found.chain[0].cause is Cause.START_TIME
        assert str(found).startswith("The run is to start in ")
        await came(site, found, "select started_at is not null from heddle_run where id = %s", run_id)


async def test_why_when_it_waits_for_a_signal_then_which_and_how_long(site: Site) -> None:
    async with site.working():
        run_id = await site.submit("why.asks", name="art_director", timeout_s=600.0)

        found = await site.until_why(run_id, Cause.SIGNAL)

        assert str(found) == "It waits for the signal 'art_director' for 10 min more at most."
        assert found.eta is None


async def test_why_when_it_sleeps_then_until_when_and_it_wakes(site: Site) -> None:
    async with site.working():
        run_id = await site.submit("why.sleeps", sleep_s=2.0)

        found = await site.until_why(run_id, Cause.SLEEPING)

        assert found.eta is not None
        assert (found.eta.until, found.eta.confidence) == ("wakes", Confidence.HIGH)
        await came(site, found, "select state = 'succeeded' from heddle_run where id = %s", run_id)


async def test_why_when_a_step_is_to_be_tried_again_then_when_and_it_is(site: Site) -> None:
    async with site.working():
        run_id = await site.submit("why.stumbles", number=1)

        found = await site.until_why(run_id, Cause.RETRY_TIME)

        assert "before it is tried again after code_raised" in str(found)
        await came(site, found, "select state = 'succeeded' from heddle_run where id = %s", run_id)


async def test_why_when_a_worker_holds_a_step_then_when_it_ends_by_those_before_it(site: Site) -> None:
    async with site.working():
        before = await site.submit("why.step", number=0, take_s=1.0, count=12)
        await site.ended(before)
        await site.until("select held_count >= 12 from heddle_load where name = 'why.busy'")
        run_id = await site.submit("why.step", number=100, take_s=1.0, count=1)

        found = await site.until_why(run_id, Cause.HELD)

        assert str(found).startswith("A worker has been on step 'why.busy' (call 1) for 0.")
        await came(site, found, "select state = 'succeeded' from heddle_run where id = %s", run_id)


async def test_why_when_steps_are_in_line_then_the_place_and_when_its_turn_comes(site: Site) -> None:
    async with site.working():
        await site.submit("why.step", number=0, take_s=0.4, count=300)
        await site.until("select busy_s > 2.0 and queued > 100 from heddle_load where name = 'why.busy'")
        run_id = await site.submit("why.step", number=1_000, take_s=0.01, count=1)
        await site.until("select count(*) from heddle_step where run_id = %s", run_id)

        found = await site.why(run_id)

        assert found.chain[0].cause is Cause.IN_LINE, found
        assert "is in line for a worker, behind" in str(found)
        await came(site, found, "select state = 'succeeded' from heddle_run where id = %s", run_id)


async def test_why_when_every_slot_is_taken_then_which_scope_and_how_many(site: Site) -> None:
    site.studio.gate.clear()
    async with site.working():
        await site.submit("why.calls", number=1)
        await site.until("select count(*) from heddle_slot")
        run_id = await site.submit("why.calls", number=2)

        found = await site.until_why(run_id, Cause.SLOTS_FULL)

        assert str(found).startswith(
            "Model 'why_model' (call 1) waits for the one slot of scope 'studio' (endpoint 'studio'), where 1 are in "
            "flight: model 'why_model' (call 1) is in line for a worker, first of its tenant's"
        )
        site.studio.gate.set()
        await site.ended(run_id)


async def test_why_when_the_rate_is_used_up_then_until_when_and_it_is_sent_then(site: Site) -> None:
    site.connection.execute(
        "update heddle_limit_state set concurrency = null, requests_per_min = 20, requests_burst = 1, tat = '-infinity'"
    )
    async with site.working():
        first = await site.submit("why.calls", number=1)
        await site.ended(first)
        run_id = await site.submit("why.calls", number=2)

        found = await site.until_why(run_id, Cause.RATE_LIMITED)

        assert "scope 'studio' (endpoint 'studio') may send 20 requests a minute and the next in" in str(found)
        await came(site, found, "select state = 'succeeded' from heddle_run where id = %s", run_id)


async def test_why_when_the_breaker_is_open_then_until_when_and_the_probe_follows(site: Site) -> None:
    site.connection.execute(
        "update heddle_limit_state set breaker = 'open', open_until = now() + interval '2 seconds', breaker_epoch = 1"
    )
    async with site.working():
        run_id = await site.submit("why.calls", number=1)

        found = await site.until_why(run_id, Cause.BREAKER_OPEN)

        assert "waits, because the breaker of endpoint 'studio' is open for" in str(found)
        await came(site, found, "select state = 'succeeded' from heddle_run where id = %s", run_id)


async def test_why_when_the_endpoint_is_paused_then_until_when_and_it_goes_on(site: Site) -> None:
    site.connection.execute("update heddle_limit_state set paused_until = now() + interval '2 seconds'")
    async with site.working():
        run_id = await site.submit("why.calls", number=1)

        found = await site.until_why(run_id, Cause.PAUSED)

        assert "waits, because endpoint 'studio' is paused for" in str(found)
        await came(site, found, "select state = 'succeeded' from heddle_run where id = %s", run_id)


async def test_why_when_the_provider_has_asked_for_a_pause_then_until_when_and_the_endpoint_shows_it(
    site: Site,
) -> None:
    throttled = faults.StepFault(fault=faults.Fault.THROTTLED, message="429")
    site.studio.answer = settle.Faulted(fault=throttled, retry_after_s=3.0)
    async with site.working():
        first = await site.submit("why.calls", number=1)
        await site.until("select state = 'waiting' from heddle_step where run_id = %s", first)
        site.studio.answer = None
        run_id = await site.submit("why.calls", number=2)

        found = await site.until_why(run_id, Cause.RATE_LIMITED)
        (shown,) = await scene.in_thread(lambda: django_store.DjangoDoors().endpoints())

        assert "waits, because endpoint 'studio' has asked to be sent nothing for 2." in str(found)
        assert shown.paused_until is not None
        await came(site, found, "select state = 'succeeded' from heddle_run where id = %s", run_id)
    (shown,) = await scene.in_thread(lambda: django_store.DjangoDoors().endpoints())
    assert shown.paused_until is None


async def test_why_when_the_provider_works_on_it_then_since_when_and_when_it_is_asked_again(site: Site) -> None:
    site.studio.answer = settle.Accepted(handle="job-1", poll_after_s=0.05)
    async with site.working():
        run_id = await site.submit("why.calls", number=1)

        await site.until("select note <> '' and state = 'pending' from heddle_step where run_id = %s", run_id)
        found = await site.until_why(run_id, Cause.AT_PROVIDER)

        assert str(found).startswith("Endpoint 'studio' has worked on model 'why_model' (call 1) for 0.")
        assert "fourth in the provider's queue" in str(found)
        assert "and again in" in str(found)


async def test_why_when_nobody_knows_what_became_of_a_call_then_it_says_that_it_is_looked_up(site: Site) -> None:
    site.studio.answer = settle.Unknown(message="the answer was lost")
    async with site.working():
        run_id = await site.submit("why.calls", number=1)

        found = await site.until_why(run_id, Cause.OUTCOME_UNKNOWN)

        assert str(found).startswith("Whether endpoint 'studio' took model 'why_model' (call 1) has not been known")
        assert "not sent again blindly" in str(found)


async def test_why_when_no_endpoint_serves_the_model_then_what_to_do(site: Site) -> None:
    async with site.working():
        run_id = await site.submit("why.lost", number=1)

        found = await site.until_why(run_id, Cause.NO_ROUTE)

    assert "no endpoint serves the model 'why_unrouted'" in str(found).lower()


async def test_why_when_a_child_run_waits_then_down_to_its_cause(site: Site) -> None:
    async with site.working():
        run_id = await site.submit("why.parent", name="go")

        found = await site.until_why(run_id, Cause.SIGNAL)

    assert [reason.cause for reason in found.chain] == [Cause.CHILD, Cause.SIGNAL]
    assert str(found).startswith("It waits for workflow 'why.asks' (call 1) to end, run ")
    assert "it waits for the signal 'go'" in str(found)


async def test_why_when_the_run_is_stopping_then_what_its_cleanup_waits_for(site: Site) -> None:
    async with site.working():
        run_id = await site.submit("why.tidies", number=7)
        await site.until_why(run_id, Cause.SIGNAL)
        await scene.in_thread(lambda: django_store.DjangoDoors().cancel(tenant=site.tenant, run_id=run_id))

        found = await site.until_why(run_id, Cause.HELD)

        assert str(found).startswith("The run is stopping (cancelled): a worker has been on step 'why.gated' (call 2)")
        why_workflows.GATES[7].set()
        await site.ended(run_id)
        assert str(await site.why(run_id)).startswith("The run has cancelled")
