"""Run the product for a measurement: its PostgreSQL in a folder of its own, its workers as `heddle up` starts them.

The environment is completed as the service completes it, then Django is set up once in this process, which submits.
Between two measurements the tables are emptied, so that none pays for the rows of another. Nothing is measured here.
"""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import psycopg

from bench import instant, model_server
from heddle.service import database, postgres, setup

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORKFLOWS = "bench.workloads"
DEPLOYMENT_FILE = "heddle.toml"
WORKERS = 2
START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 40.0
LOOK_S = 0.02
DURABLE = ("run", "step", "attempt", "event", "idempotency", "signal", "inbox", "ledger")
QUEUES = ("ready", "lease", "slot", "timer", "limit_delta", "lane_tenant", "worker", "load", "load_delta")
DEPLOYMENT = """
[endpoints.bench]
adapter = "http"
url = "{url}"
timeout_s = 10.0
scopes = ["bench"]

[scopes.bench]
concurrency = {concurrency}

[[routes]]
model = "bench-model"
endpoint = "bench"

[endpoints.bench-slow]
adapter = "http"
url = "{url}"
path = "/slow"
timeout_s = 60.0
scopes = ["bench-slow"]

[scopes.bench-slow]
concurrency = {concurrency}

[[routes]]
model = "bench-slow-model"
endpoint = "bench-slow"
"""
# One of many endpoints that a fan-in's calls are spread over, each with a scope of its own.
ENDPOINT = """
[endpoints.{name}]
adapter = "instant"
url = "instant:"
scopes = ["{name}"]

[scopes.{name}]
concurrency = {concurrency}

[[routes]]
model = "bench-instant-model"
endpoint = "{name}"
"""
CONCURRENCY = 1_000
Connection = psycopg.Connection[Any]


class WorkersFailed(RuntimeError):
    """Say that a worker did not start, or ended, with the end of its log."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """One running house. ``dsn`` is the address as workers get it; ``postgres_pid`` is the postmaster."""

    dsn: str
    postgres_pid: int
    folder: pathlib.Path
    server_log: pathlib.Path
    model_url: str
    on_workers: list[Callable[[Sequence[int]], None]] = dataclasses.field(default_factory=list)

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection that commits each statement."""
        return psycopg.connect(self.dsn, autocommit=True, application_name="heddle-bench")

    def empty(self) -> None:
        """Remove every run and everything of it, so that each measurement begins alike: as a house after a quiet night.

        Its durable partitions are new, so that the planner knows nothing of them; its queues have been vacuumed while
        they were empty, so that the planner takes them for empty for ever. That is when a burst finds the worst plans.
        """
        with self.connect() as connection:
            connection.execute(f"truncate {_listed(DURABLE + QUEUES)}")
            connection.execute("update heddle_limit_state set in_flight = 0")
            connection.execute(f"vacuum (analyze) {_listed(QUEUES)}")
            connection.execute("checkpoint")

    @contextlib.contextmanager
    def endpoints(self, count: int) -> Iterator[None]:
        """Deploy so many endpoints for `bench-instant-model` besides what is deployed; none of them afterwards."""
        text = "".join(
            ENDPOINT.format(name=f"instant-{number}", concurrency=CONCURRENCY) for number in range(1, count + 1)
        )
        with self.deployed(text):
            yield

    @contextlib.contextmanager
    def deployed(self, text: str = "", *, concurrency: int = CONCURRENCY) -> Iterator[None]:
        """Deploy what a text of a heddle.toml says besides what is deployed, or other scopes; none of it afterwards."""
        self._deploy(text, concurrency=concurrency)
        try:
            yield
        finally:
            self._deploy("")

    def _deploy(self, more: str, *, concurrency: int = CONCURRENCY) -> None:
        (self.folder / DEPLOYMENT_FILE).write_text(
            DEPLOYMENT.format(url=self.model_url, concurrency=concurrency) + more
        )
        _migrate()

    @contextlib.contextmanager
    def workers(self, count: int = WORKERS) -> Iterator[list[int]]:
        """Run workers and give their process ids once each is registered; drain them afterwards.

        Raises WorkersFailed when one does not come up in 300 s or ends in between.
        """
        logs = [self.folder / f"worker-{number}.log" for number in range(1, count + 1)]
        processes = [_start(f"bench-{number}", log) for number, log in enumerate(logs, start=1)]
        try:
            self._wait_registered(processes, logs)
            pids = [process.pid for process in processes]
            for told in self.on_workers:
                told(pids)
            yield pids
            for process, log in zip(processes, logs, strict=True):
                refuse_dead(process, log)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=STOP_TIMEOUT_S)
                process.kill()
                process.wait()

    def _wait_registered(self, processes: list[subprocess.Popen[bytes]], logs: list[pathlib.Path]) -> None:
        until_s = time.monotonic() + START_TIMEOUT_S
        with self.connect() as connection:
            while time.monotonic() < until_s:
                for process, log in zip(processes, logs, strict=True):
                    refuse_dead(process, log)
                found = connection.execute("select count(*) from heddle_worker where state = 'alive'").fetchone()
                if found is not None and found[0] >= len(processes):
                    return
                time.sleep(LOOK_S)
        raise WorkersFailed(f"{len(processes)} workers did not register within {START_TIMEOUT_S:g} s; see {logs[0]}")


@contextlib.contextmanager
def running(
    folder: pathlib.Path,
    *,
    server_settings: Mapping[str, str] = types.MappingProxyType({}),
    workflows: str = WORKFLOWS,
) -> Iterator[House]:
    """Start PostgreSQL and the model server in a folder, migrate, and give the house; stop both afterwards.

    ``server_settings`` are set besides the product's own, by name; measurements set none. ``workflows`` are the modules
    that workers load. Changes this process's environment and sets Django up: one house in a process.
    """
    options = postgres.PostgresSettings(more=server_settings)
    server = postgres.EmbeddedPostgres(directory=folder / database.DIRECTORY, settings=options)
    try:
        found = server.ensure()
        with model_server.running() as url:
            _write_environment(folder, address=found.dsn, model_server_url=url, workflows=workflows)
            setup.logs(setup.read_settings())
            setup.django()
            instant.make_known()
            _migrate()
            try:
                yield House(
                    dsn=found.dsn,
                    postgres_pid=found.pid,
                    folder=folder,
                    server_log=server.log_path,
                    model_url=url,
                )
            finally:
                _close_connections()
    finally:
        server.release()


def _write_environment(folder: pathlib.Path, *, address: str, model_server_url: str, workflows: str) -> None:
    """Complete the environment that this process and the workers share, as `heddle up` does."""
    from heddle.telemetry import multiprocess

    deployment = folder / DEPLOYMENT_FILE
    deployment.write_text(DEPLOYMENT.format(url=model_server_url, concurrency=CONCURRENCY))
    os.environ["HEDDLE_CONFIG_FILE"] = str(deployment)
    os.environ["HEDDLE_WORKFLOWS"] = workflows
    os.environ["HEDDLE_STATE_DIR"] = str(folder)
    os.environ["HEDDLE_LOG_LEVEL"] = "warning"
    os.environ["HEDDLE_COMPUTE_PROCESSES"] = "1"
    os.environ["PYTHONUNBUFFERED"] = "1"
    paths = [str(ROOT), str(ROOT / "src"), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    multiprocess.prepare(directory=folder / "metrics", environment=os.environ)
    setup.complete(os.environ, limits=setup.read_settings(), database_url=address)


def _migrate() -> None:
    from heddle import wiring
    from heddle.service import migrate

    migrate.migrate(wiring.read_deployment(wiring.house_settings()))


def _close_connections() -> None:
    from django.db import connections

    connections.close_all()
    for connection in connections.all(initialized_only=True):
        close_pool = getattr(connection, "close_pool", None)
        if close_pool is not None:
            close_pool()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"heddle_{name}" for name in names)


def _start(name: str, log: pathlib.Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "bench.worker", "worker", "--name", name],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def refuse_dead(process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
    """Raise WorkersFailed with the end of its log when a process has ended."""
    if process.poll() is not None:
        tail = log.read_text(errors="replace")[-2_000:]
        raise WorkersFailed(f"a worker ended with status {process.returncode}; {log} ends: {tail}")
