"""A worker in this process runs a small workflow on PostgreSQL: what the catalogue promises is then in the metrics."""

import asyncio
import contextlib
import pathlib
import types
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import django.test
import prometheus_client.parser
import pytest

from heddle import wiring
from heddle.client import letters
from heddle.compute import pool
from heddle.config import deployment, settings
from heddle.core import attempt, faults, settle
from heddle.engine import parts as parts_module
from heddle.engine import worker
from heddle.ports import provider, store
from heddle.store import pulse
from heddle.telemetry import recorder
from heddle.telemetry.catalog import metrics
from heddle.testing import couriers
from heddle.transports import postgres as doorbell
from tests import pg
from tests.integration import metrics_workflows
from tests.races import scene

PATIENCE_S = 60.0
LOOK_S = 0.02
PRICE_NANO_USD = 40_000_000
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Studio:
    """Refuse each first try for a moment, and do the second."""

    capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.A, is_paid=True)

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        self.sent += 1
        if self.sent == 1:
            fault = faults.StepFault(fault=faults.Fault.REJECTED_TRANSIENT, message="not now")
            return settle.Faulted(fault=fault)
        return settle.Completed(output=request.input, cost_nano_usd=PRICE_NANO_USD)

    async def close(self) -> None:
        """Hold nothing."""


def samples() -> Samples:
    """Read every sample as Prometheus would."""
    families = prometheus_client.parser.text_string_to_metric_families(recorder.render()[1].decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value for each in families for sample in each.samples
    }


class Growth:
    """Tell how far a series has grown since this was made; other tests of the process write to the same ones."""

    def __init__(self) -> None:
        self._before = samples()

    def __call__(self, name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return samples().get(key, 0.0) - self._before.get(key, 0.0)


def parts_of(database: pg.Database, folder: pathlib.Path, studio: Studio) -> parts_module.Parts:
    """Name the parts of a worker: all real but its one endpoint."""
    clock = wiring.SystemClock()
    limits = settings.Settings(
        state_dir=str(folder / "not" / "made" / "yet"), sweep_interval_s=0.1, poll_interval_s=0.1, drain_s=5.0
    )
    return parts_module.Parts(
        settings=limits,
        store=scene.engine_store(database),
        pulse=pulse.PostgresPulse(dsn=database.dsn, timeout_s=5.0),
        doorbell=doorbell.PostgresDoorbell(dsn=database.dsn, debounce_s=0.01, clock=clock),
        compute=pool.ProcessPool(pool.PoolOptions(children=1, preload=(metrics_workflows.__name__,))),
        blobs=cast("Any", types.SimpleNamespace()),
        clock=clock,
        build_provider=lambda _row: cast("provider.Provider", studio),
        callback_url=lambda _endpoint, _attempt_id: None,
        courier=couriers.ScriptedCourier(),
        compose=letters.composer(public_url="", predictions=None),
        name="metrics",
    )


@contextlib.asynccontextmanager
async def working(made: parts_module.Parts) -> AsyncIterator[None]:
    """Run a worker for the block, and drain it."""
    stop = asyncio.Event()
    task = asyncio.create_task(worker.Worker(made).run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE_S)


async def until(question: Callable[[], bool], *, what: str) -> None:
    """Look again and again, for a bounded time."""
    for _ in range(int(PATIENCE_S / LOOK_S)):
        if question():
            return
        await asyncio.sleep(LOOK_S)
    raise AssertionError(f"not within {PATIENCE_S:g} s: {what}")


@pytest.fixture
def deployed(database: pg.Database) -> pg.Database:
    """Give a database where the model has an endpoint."""
    with database.connect() as connection:
        house = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        house.deploy(
            [scene.endpoint("metrics_studio", price_nano_usd=PRICE_NANO_USD)],
            [deployment.Route(model="metrics_shade", endpoint="metrics_studio")],
        )
    return database


async def run_one(database: pg.Database) -> uuid.UUID:
    """Submit one run through the client's door and wait for its end."""
    submitted = await scene.in_thread(
        lambda: wiring.client().submit("metrics.shoot", {"number": 4}, tenant="default", priority="interactive")
    )
    run_id: uuid.UUID = submitted.run.id

    def is_over() -> bool:
        with database.connect() as connection:
            found = connection.execute("select state, error from heddle_run where id = %s", (run_id,)).fetchone()
        assert found is not None
        assert found[0] in ("queued", "running", "succeeded"), found
        return bool(found[0] == "succeeded")

    await until(is_over, what="the run succeeds")
    return run_id


async def test_metrics_when_a_run_has_ended_then_what_it_did_is_counted(
    deployed: pg.Database, tmp_path: pathlib.Path
) -> None:
    grown = Growth()

    async with working(parts_of(deployed, tmp_path, Studio())):
        await run_one(deployed)

    studio = {"endpoint": "metrics_studio"}
    assert grown("heddle_runs_admitted_total", workflow="metrics.shoot") == 1
    assert grown("heddle_runs_finished_total", workflow="metrics.shoot", state="succeeded") == 1
    assert grown("heddle_run_duration_seconds_count", priority="interactive") == 1
    assert grown("heddle_start_latency_seconds_count", priority="interactive") >= 4
    assert grown("heddle_timer_lateness_seconds_count") >= 2
    assert grown("heddle_endpoint_attempts_total", outcome="rejected", **studio) == 1
    assert grown("heddle_endpoint_attempts_total", outcome="done", **studio) == 1
    assert grown("heddle_endpoint_faults_total", fault="rejected_transient", **studio) == 1
    assert grown("heddle_endpoint_first_tries_total", outcome="failed", **studio) == 1
    assert grown("heddle_endpoint_first_tries_total", outcome="succeeded", **studio) == 0
    assert grown("heddle_money_charged_usd_total", **studio) == pytest.approx(PRICE_NANO_USD / 1e9)
    assert grown("heddle_compute_duration_seconds_count") == 1
    assert grown("heddle_slo_valid_total", slo="time_to_result") == 1
    assert grown("heddle_slo_bad_total", slo="time_to_result") == 0
    assert grown("heddle_slo_valid_total", slo="start_freshness") >= 3


async def test_metrics_when_the_leader_has_looked_then_every_gauge_is_shown(
    deployed: pg.Database, tmp_path: pathlib.Path
) -> None:
    # What a worker of another file counted in this process before says nothing about this one.
    recorder.set(metrics.WORKERS_ALIVE, 0)

    async with working(parts_of(deployed, tmp_path, Studio())):
        await until(lambda: samples().get(("heddle_workers_alive", frozenset())) == 1, what="the worker is counted")
        shown = {name: value for (name, labels), value in samples().items() if not labels}
        by_label = samples()

    assert shown["heddle_attempts_unknown"] == 0
    assert shown["heddle_database_up"] == 1
    assert 0 <= shown["heddle_database_oldest_transaction_age_seconds"] < PATIENCE_S
    assert 0 < shown["heddle_disk_free_ratio"] <= 1
    assert shown["heddle_partitions_ahead_seconds"] > 21 * 86_400
    assert 0 <= shown["heddle_compute_busy_ratio"] <= 1
    assert by_label["heddle_breaker_state", frozenset({("endpoint", "metrics_studio")})] == 0
    assert by_label["heddle_endpoint_in_flight_steps", frozenset({("endpoint", "metrics_studio")})] == 0
    assert {"interactive", "standard", "batch"} == {
        dict(labels)["priority"] for name, labels in by_label if name == "heddle_ready_steps"
    }
    assert [value for (name, _), value in by_label.items() if name == "heddle_build_info"] == [1]


async def test_gauges_when_the_house_is_in_trouble_then_they_say_so(deployed: pg.Database) -> None:
    engine = scene.engine_store(deployed)
    await engine.open()
    with deployed.connect() as connection, deployed.connect() as holder:
        house = scene.House(database=deployed, connection=connection, store=engine)
        house.wipe()
        house.deploy([scene.endpoint("one")], [deployment.Route(model="m", endpoint="one")])
        workers = [await house.worker(name) for name in ("alive", "silent")]
        house.silence(workers[1])
        (run_id,) = house.submit()
        await house.begin(run_id, workers[0], scene.call(1, "model", "m"), ending=scene.returned(1))
        (claimed,) = await house.claim_models(workers[0], "m")
        await house.settle(scene.unsure(claimed))
        connection.execute("update heddle_limit_state set breaker = 'open'")
        with holder.transaction():
            holder.execute("select 1")
            before: store.Gauges = await engine.gauges(lease_s=15.0)
        await house.cancel(run_id)
        after: store.Gauges = await engine.gauges(lease_s=15.0)
    await engine.close()

    assert (before.workers_alive, before.unknown_attempts, before.breakers) == (1, 1, {"one": "open"})
    assert before.oldest_transaction_s > 0
    assert after.unknown_attempts == 0


async def test_endpoints_when_one_is_disabled_with_a_slot_taken_then_it_is_still_loaded(deployed: pg.Database) -> None:
    engine = scene.engine_store(deployed)
    await engine.open()
    with deployed.connect() as connection:
        house = scene.House(database=deployed, connection=connection, store=engine)
        house.wipe()
        house.deploy([scene.endpoint("one")], [deployment.Route(model="m", endpoint="one")])
        worker_id = await house.worker()
        (run_id,) = house.submit()
        await house.begin(run_id, worker_id, scene.call(1, "model", "m"), ending=scene.returned(1))
        (claimed,) = await house.claim_models(worker_id, "m")
        await house.settle(scene.accepted(claimed))
        connection.execute("update heddle_endpoint set is_enabled = false where name = 'one'")
        with_a_job = [row.name for row in await engine.endpoints()]
        connection.execute("delete from heddle_slot")
        without = [row.name for row in await engine.endpoints()]
    await engine.close()

    assert (with_a_job, without) == (["one"], [])


@pytest.fixture
def web(database: pg.Database) -> django.test.Client:
    """Give a door without a key; 401 is the caller's own mistake."""
    return django.test.Client(raise_request_exception=False)


def test_admission_when_the_caller_is_at_fault_then_the_promise_says_nothing(web: django.test.Client) -> None:
    grown = Growth()

    answer = web.post("/v1/runs", data={}, content_type="application/json")

    assert answer.status_code == 401
    assert grown("heddle_slo_valid_total", slo="admission_availability") == 0
