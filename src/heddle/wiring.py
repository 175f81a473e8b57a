"""Join the concrete parts: the only place that knows all of them.

A door asks here for its client, a worker process for its worker. Nothing is decided: settings say how, ports say what.
Everything is made when it is first asked for and once per process; importing this module needs no settings. Before it:
doors and service. After it: client and engine with what they were handed.
"""

import asyncio
import dataclasses
import functools
import os
import pathlib
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from heddle import client as client_room
from heddle.client import letters, needs, predictions, tokens
from heddle.client import operating as client_operating
from heddle.config import deployment, settings
from heddle.core import ids
from heddle.core.policy import price, schedule
from heddle.ports import compute as compute_port
from heddle.ports import doors as doors_port
from heddle.ports import provider, store
from heddle.ports import spending as spending_port
from heddle.program import artifacts, direct, registry
from heddle.program import schedules as program_schedules
from heddle.providers import courier, transport
from heddle.providers import prices as price_lists
from heddle.providers import registry as adapters
from heddle.store import blobs as blob_store
from heddle.store import step_artifacts
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

if TYPE_CHECKING:
    from heddle.engine import parts
    from heddle.store import threads

POOL_PRELOAD = "heddle.service.pool_child"
# A route that was just applied is known to every door this soon.
ROUTES_KEPT_S = 5.0


# Settings


@functools.lru_cache(maxsize=1)
def house_settings() -> settings.Settings:
    """Give the settings of this process, with Django's SECRET_KEY where no key is named. Raises SettingRefused."""
    from django import conf

    loaded = settings.load(environ=os.environ, django=getattr(conf.settings, "HEDDLE", None))
    return loaded if loaded.secret_key else dataclasses.replace(loaded, secret_key=conf.settings.SECRET_KEY)


@functools.lru_cache(maxsize=1)
def database_address() -> str:
    """Give the address that workers connect to: the one that is named, else that of Django's default database."""
    named = house_settings().database_url
    if named:
        return named
    from django.db import connections
    from psycopg import conninfo

    known = {"dbname", "user", "password", "host", "port", "options", "service", "passfile", "sslmode", "sslrootcert"}
    parameters = connections["default"].get_connection_params()
    return conninfo.make_conninfo(**{key: value for key, value in parameters.items() if key in known and value})


def read_deployment(limits: settings.Settings) -> deployment.Deployment:
    """Read what runs where; nothing is configured when the default file is not there.

    Raises DeploymentRefused with one sentence, also when a file that was named is missing.
    """
    path = pathlib.Path(limits.config_file)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if limits.config_file == settings.Settings().config_file:
            return deployment.EMPTY
        raise deployment.DeploymentRefused(
            f"HEDDLE_CONFIG_FILE is {limits.config_file}, which does not exist; name a file or leave it out"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise deployment.DeploymentRefused(
            f"HEDDLE_CONFIG_FILE {limits.config_file} cannot be read: {error}"
        ) from error
    return deployment.parse(text, file=limits.config_file)


def schedules(found: deployment.Deployment) -> list[schedule.ScheduleOptions]:
    """Give the schedules of a deployment and of loaded code, by name. Raises DeploymentRefused when both name one."""
    declared = {options.name: options for options in registry.schedules()}
    twice = declared.keys() & found.schedules.keys()
    if twice:
        raise deployment.DeploymentRefused(
            f"the schedule {min(twice)!r} is in the file and declared by code; keep one of the two"
        )
    return [options for _, options in sorted({**declared, **found.schedules}.items())]


def config_problems(found: deployment.Deployment, environ: Mapping[str, str]) -> list[str]:
    """Tell what is wrong with a deployment beyond its form: options of adapters, secrets, models without a route."""
    problems: list[str] = []
    shared = transport.Transport()
    for endpoint in found.endpoints.values():
        try:
            adapters.build(endpoint, environ, shared)
        except adapters.EndpointRefused as error:
            problems.append(str(error))
    routed = {route.model for route in found.routes}
    problems.extend(
        f"the model {model.name!r} is used by code and has no [[routes]] entry; its calls would wait for ever"
        for model in registry.models()
        if model.name not in routed
    )
    for options in found.schedules.values():
        problems.extend(program_schedules.problems(options))
    return problems


# Artifacts


@functools.lru_cache(maxsize=1)
def blobs() -> blob_store.FilesystemBlobs:
    """Give the artifact storage."""
    limits = house_settings()
    directory = pathlib.Path(limits.artifact_dir or pathlib.Path(limits.state_dir) / "artifacts")
    return blob_store.FilesystemBlobs(
        directory=directory.resolve(), bytes_max=limits.artifact_bytes_max, pixels_max=limits.artifact_pixels_max
    )


def install_artifacts() -> None:
    """Let the steps of this process read and write artifacts."""
    artifacts.install(step_artifacts.StepArtifacts(blobs()))


# Doors


@functools.lru_cache(maxsize=1)
def client() -> client_room.Heddle:
    """Give the client of this process, on Django's own connection: inside `atomic()` a submit joins it."""
    from heddle.store import django as django_store

    limits = house_settings()
    made = django_store.DjangoDoors(cleanup_s=limits.cleanup_s, signals_max=limits.signals_max)
    return _client(made, limits, functools.partial(direct.find, is_routed=RoutedModels(made)))


def gateway_client(limits: settings.Settings, *, is_routed: Callable[[str], bool]) -> client_room.Heddle:
    """Give the client of a gateway, which knows the routes itself and takes larger values of a call inline."""
    from heddle.store import django as django_store

    bytes_max = limits.gateway_inline_bytes_max
    return _client(
        django_store.DjangoDoors(cleanup_s=limits.cleanup_s, signals_max=limits.signals_max),
        dataclasses.replace(limits, inline_bytes_max=bytes_max),
        functools.partial(direct.find, is_routed=is_routed, bytes_max=bytes_max),
    )


def _client(
    made: doors_port.Doors, limits: settings.Settings, find: Callable[[str], direct.DirectCall | None]
) -> client_room.Heddle:
    return client_room.Heddle(
        doors=made,
        media=blobs(),
        programs=needs.Programs(
            workflows=registry.workflows, workflow=registry.workflow, models=registry.models, direct=find
        ),
        limits=limits,
        verify_callback=CallbackVerifiers(),
        checks=checks(),
        quotes=_quote,
    )


@functools.lru_cache(maxsize=1)
def operating() -> client_operating.Operating:
    """Give what operators change the installation through; each change is audited."""
    from heddle.store import operators as operators_store

    made = operators_store.DjangoOperators(cleanup_s=house_settings().cleanup_s)
    return client_operating.Operating(
        operators=made, tenants=lambda name: made.known_tenant(name=name), limits=house_settings()
    )


class RoutedModels:
    """Tell whether the deployment has a route for a model; what was read is kept ``ROUTES_KEPT_S``."""

    def __init__(self, doors: doors_port.Doors) -> None:
        self._doors = doors
        self._names: frozenset[str] = frozenset()
        self._read_at_s = float("-inf")

    def __call__(self, model: str) -> bool:
        """Tell it, looking anew at most every ``ROUTES_KEPT_S``."""
        if time.monotonic() - self._read_at_s > ROUTES_KEPT_S:
            self._names = frozenset(name for each in self._doors.endpoints() for name in each.models)
            self._read_at_s = time.monotonic()
        return model in self._names


@functools.lru_cache(maxsize=1)
def spending() -> client_room.Spending:
    """Give what tells where money went and what it will cost."""
    from heddle.store import spending as spending_store

    made = spending_store.DjangoSpending(cleanup_s=house_settings().cleanup_s)
    return client_room.Spending(books=made, doors=made, stated=registry.stated_use)


def _quote(workflow: str) -> spending_port.WorkflowCost | None:
    return spending().quote_workflow(workflow).cost


@functools.lru_cache(maxsize=1)
def webhooks() -> client_room.Webhooks:
    """Give what webhooks are looked after through; each change is audited."""
    from heddle.store import webhooks as webhooks_store

    made = webhooks_store.DjangoWebhooks(cleanup_s=house_settings().cleanup_s)
    return client_room.Webhooks(desk=made, tenants=lambda name: made.known_tenant(name=name), limits=house_settings())


class CallbackVerifiers:
    """Verify callbacks with the adapter of their endpoint, made from the configuration when the first one comes."""

    def __init__(self) -> None:
        self._providers: dict[str, provider.Provider] = {}

    def __call__(
        self, *, endpoint: str, headers: Mapping[str, str], body: bytes, now_s: float
    ) -> provider.CallbackEvent:
        """Verify a raw body. Raises LookupError for an endpoint that is not configured, CallbackRefused."""
        if endpoint not in self._providers:
            # Only configured names are kept, so strangers cannot make this grow.
            configured = read_deployment(house_settings()).endpoints
            self._providers[endpoint] = adapters.build(configured[endpoint], os.environ)
        return self._providers[endpoint].verify_callback(headers=headers, body=body, now_s=now_s)


def checks() -> dict[str, Callable[[], str | None]]:
    """Give what readiness looks at, by name; each tells what is wrong and what to do, or None."""
    from heddle.store import standing

    limits = house_settings()
    return standing.checks(storage=blobs(), state_dir=pathlib.Path(limits.state_dir))


# Workers


def prices(wanted: deployment.Deployment) -> dict[tuple[str, str], price.Expected]:
    """Give what calls are expected to cost by price lists. Raises DeploymentRefused for what no list can price."""
    return price_lists.expected(wanted)


def provider_of(row: store.EndpointRow, connections: transport.Transport) -> provider.Provider:
    """Make the provider of an endpoint as the store holds it. Raises EndpointRefused."""
    endpoint = deployment.Endpoint(
        name=row.name,
        adapter=row.adapter,
        url=row.url,
        scopes=(row.name,),
        secret=row.secret_name,
        callback_secret=row.callback_secret_name,
        timeout_s=row.timeout_s,
        price_nano_usd=row.price_nano_usd,
        options=row.options,
    )
    return adapters.build(endpoint, os.environ, connections)


def public_root(limits: settings.Settings) -> str:
    """Give the address under which others reach us, without a slash at the end."""
    return (limits.public_url or f"http://{limits.web_host}:{limits.web_port}").rstrip("/")


def callback_url(limits: settings.Settings) -> Callable[[str, str], str]:
    """Give the function that makes the address under which a provider calls back about one attempt."""

    def address(endpoint: str, attempt_id: str) -> str:
        token = tokens.callback_token(secret_key=limits.secret_key, attempt_id=ids.AttemptId.parse(attempt_id))
        return f"{public_root(limits)}/callbacks/{endpoint}/{token}"

    return address


class SystemClock:
    """Tell this machine's time, wait in the running loop, draw chance from the system."""

    def __init__(self) -> None:
        self.rng: random.Random = random.SystemRandom()

    def monotonic_s(self) -> float:
        """Give seconds that never go back."""
        return time.monotonic()

    def unix_s(self) -> float:
        """Give seconds since 1970."""
        return time.time()

    async def sleep(self, delay_s: float) -> None:
        """Wait."""
        await asyncio.sleep(delay_s)


def _count_retry(stage: str, error: Exception) -> None:
    """Count a transaction that the database ended and that is made again; the bar for deadlocks is 0."""
    from psycopg import errors as psycopg_errors

    is_deadlock = isinstance(error, psycopg_errors.DeadlockDetected)
    recorder.count(metrics.DEADLOCKS if is_deadlock else metrics.SERIALIZATION_FAILURES, stage=stage)
    event = events.DEADLOCK_RETRIED if is_deadlock else events.SERIALIZATION_RETRIED
    recorder.event(event, stage=stage)


async def run_worker(stop: asyncio.Event, *, name: str) -> None:
    """Run one worker until `stop`, then drain it; everything it holds is closed when this returns."""
    from heddle.compute import pool
    from heddle.engine import worker

    processes = house_settings().compute_processes
    sizes = {"children": processes} if processes else {}
    install_artifacts()
    compute = pool.ProcessPool(pool.PoolOptions(preload=(POOL_PRELOAD,), **sizes))
    await worker.Worker(worker_parts(name=name, compute=compute)).run(stop)


def worker_parts(*, name: str, compute: compute_port.Compute, is_models_only: bool = False) -> "parts.Parts":
    """Give the parts of one worker of this process, nothing opened yet."""
    from heddle.engine import parts
    from heddle.store import postgres, pulse
    from heddle.transports import postgres as doorbell

    limits, address = house_settings(), database_address()
    direct = limits.database_direct_url or address
    clock = SystemClock()
    # Polls are made beside a full house of calls and must not wait for a call's connection.
    connections = transport.Transport(
        connections_max=limits.worker_in_flight_max + limits.worker_batch,
        unrepeatable_idle_s=limits.paid_connection_idle_s,
    )
    return parts.Parts(
        settings=limits,
        store=postgres.PostgresStore(
            dsn=address,
            pool_size=limits.database_pool_size,
            timeout_s=limits.database_timeout_s,
            statement_timeout_s=limits.statement_timeout_s,
            is_prepared=limits.database_prepare != "off",
            is_prepared_pooled=limits.database_prepare == "on",
            send_window_s=limits.send_window_s,
            claim_endpoints=limits.claim_endpoints,
            journal_bytes_max=limits.journal_bytes_max,
            direct_dsn=direct,
            on_retry=_count_retry,
        ),
        pulse=pulse.PostgresPulse(dsn=direct, timeout_s=limits.database_timeout_s),
        doorbell=doorbell.PostgresDoorbell(dsn=direct, debounce_s=limits.doorbell_debounce_s, clock=clock),
        compute=compute,
        blobs=blobs(),
        clock=clock,
        build_provider=lambda row: provider_of(row, connections),
        callback_url=callback_url(limits),
        courier=courier.make(limits, now_s=clock.unix_s),
        compose=letters.composer(
            public_url=public_root(limits),
            predictions=predictions.places(limits, public_url=public_root(limits), now_s=clock.unix_s),
        ),
        name=name,
        is_models_only=is_models_only,
    )


def gateway_parts(*, name: str) -> "parts.Parts":
    """Give the parts of a gateway's worker: model calls only, and one child to measure their results in."""
    from heddle.compute import pool

    compute = pool.ProcessPool(pool.PoolOptions(preload=(POOL_PRELOAD,), children=1))
    return worker_parts(name=name, compute=compute, is_models_only=True)


def door_threads() -> "threads.DoorThreads":
    """Give threads from which a loop asks the client of this process."""
    from heddle.store import threads

    return threads.DoorThreads()
