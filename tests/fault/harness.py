"""Run the product as real processes and do to them what machines do: workers, the simulated provider, signals, waiting.

A `Site` is one installation: a migrated database, a folder, an environment, worker processes. It is the referee's
helper, not the referee: what is right is read from the database and from the provider's own ledger. Nothing here waits
without a deadline, and a deadline that passes tells the state of the runs and the end of every worker's log.
"""

import collections
import contextlib
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import django.db
import psycopg
from django.db import transaction

from heddle.config import deployment
from heddle.ports import doors, records
from heddle.store import apply
from heddle.store import django as django_store
from heddle.twins.kit import ledger, options
from tests import pg
from tests.fault.programs import (
    API_KEY,
    PRICE_USD,
    PYTHONPATH,
    SETTINGS,
    WAIT_S,
    WEBHOOK_SECRET,
    Nursery,
    Program,
    until,
)

# An installation of the crash matrix has buried hundreds of workers; the last ones tell enough.
TAILS_OF_GONE_MAX = 10


class Simulator:
    """The simulated provider as a process; its ledger is the referee."""

    def __init__(self, *, folder: pathlib.Path, **arguments: object) -> None:
        self.ledger = folder / "paid.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        port_file = folder / "port"
        command = [sys.executable, "-m", "heddle.cli", "twin", "simulator", "--ledger", str(self.ledger)]
        command += ["--port-file", str(port_file), "--price-usd", PRICE_USD, "--concurrency", "1000"]
        for name, value in arguments.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        environment = {
            **os.environ,
            "PYTHONPATH": PYTHONPATH,
            options.API_KEY_VARIABLE: API_KEY,
            options.WEBHOOK_SECRET_VARIABLE: WEBHOOK_SECRET,
        }
        log = folder / "simulator.log"
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        until(port_file.exists, what="the simulator listens")
        self.url = f"http://127.0.0.1:{port_file.read_text().strip()}"

    def paid(self) -> tuple[ledger.Paid, ...]:
        """Give every payment the provider took."""
        return ledger.read(self.ledger).paid

    def payments_by_seed(self) -> collections.Counter[int]:
        """Count payments by the seed of their request, which names the logical step in these tests."""
        return collections.Counter(paid.data["seed"] for paid in self.paid())

    def cancelled(self) -> int:
        return len(ledger.read(self.ledger).cancelled_at_s)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(timeout=WAIT_S)


# What a wait that failed is told with: who holds up whom, and who lives.
SESSIONS = """
select 'session', pid, application_name, state, wait_event_type, wait_event, pg_blocking_pids(pid)::text,
  clock_timestamp() - xact_start as since, left(regexp_replace(query, '\\s+', ' ', 'g'), 120)
from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() order by pid limit 30
"""
WORKERS = """
select 'worker', id, name, state, clock_timestamp() - seen_at as silent, detail->>'held', detail->>'session'
from heddle_worker order by id desc limit 8
"""


class Site:
    """One installation of the product on a database of its own."""

    def __init__(self, *, database: pg.Database, folder: pathlib.Path, nursery: Nursery) -> None:
        self.database = database
        self._nursery = nursery
        self.folder = folder
        self.trace = folder / "trace"
        self.programs: list[Program] = []
        self.doors = django_store.DjangoDoors()
        folder.mkdir(parents=True, exist_ok=True)

    @functools.cached_property
    def tenant(self) -> records.Tenant:
        """Give the tenant of every run; read when first needed, since the schema may be older until then."""
        return self.doors.tenant(name="default")

    # What runs where

    def configure(self, text: str) -> None:
        """Apply a heddle.toml."""
        with transaction.atomic(), django.db.connection.cursor() as cursor:
            apply.apply(cursor, deployment.parse(text, file="heddle.toml"))

    def start_worker(self, name: str, **environment: str) -> Program:
        """Start a worker process and wait until it has started to claim."""
        worker = self.launch_worker(name, **environment)
        self.until_started(worker)
        return worker

    def launch_worker(self, name: str, **environment: str) -> Program:
        """Start a worker process."""
        log = self.folder / f"{name}-{len(self.programs)}.log"
        log.touch()
        program = self._nursery.bear(name=name, log=log, folder=self.folder, environment=self.environment(environment))
        self.programs.append(program)
        return program

    def until_started(self, worker: Program) -> None:
        """Wait until a worker claims."""
        with self._explained():
            until(lambda: worker.said("worker.started") or not worker.is_up(), what=f"{worker.name} starts")
            assert worker.is_up(), f"{worker.name} ended by itself:\n{worker.tail()}"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give the environment of this installation's processes."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEDDLE_")}
        return {
            **kept,
            **SETTINGS,
            "DATABASE_URL": self.database.dsn,
            "HEDDLE_STATE_DIR": str(self.folder / "state"),
            "PYTHONPATH": PYTHONPATH,
            "SIM_KEY": API_KEY,
            "SIM_HOOK": WEBHOOK_SECRET,
            "FAULT_TRACE": str(self.trace),
            **(more or {}),
        }

    def stop(self) -> None:
        """End every process that is left."""
        for program in self.programs:
            program.kill()

    def finish_under_kills(self, *run_ids: uuid.UUID, point: str, kills: int) -> int:
        """Keep one worker alive that dies at a crash point until the kills are spent and the runs are over.

        Gives how many times it died.
        """
        armed = self.armed(point, kills=kills)
        worker = self.launch_worker(point.lower(), **armed)

        def are_over() -> bool:
            nonlocal worker
            if not worker.is_up():
                assert worker.status() == -signal.SIGKILL, f"{worker.name} ended by itself:\n{worker.tail()}"
                worker = self.launch_worker(point.lower(), **armed)
            return not self.open_of(list(run_ids))

        with self._explained():
            until(are_over, what=f"{len(run_ids)} runs end with kills at {point}")
        worker.kill()
        return len(list(pathlib.Path(armed["FAULT_MARKS"]).iterdir()))

    def armed(self, point: str, *, kills: int) -> dict[str, str]:
        """Give the environment of workers that die at a crash point, so many times between them."""
        marks = self.folder / f"marks-{uuid.uuid4().hex[:8]}"
        marks.mkdir()
        return {"FAULT_POINT": point, "FAULT_MARKS": str(marks), "FAULT_KILLS": str(kills), "FAULT_COMPUTE": "none"}

    # Runs

    def submit(self, workflow: str, *, version: int = 1, deadline_s: float | None = None, **values: Any) -> uuid.UUID:
        """Submit a run."""
        new = records.NewRun(
            tenant=self.tenant, workflow=workflow, version=version, input=values, deadline_s=deadline_s
        )
        return self.doors.submit(new).run_id

    def run(self, run_id: uuid.UUID) -> records.RunView:
        return self.doors.run(tenant=self.tenant, run_id=run_id)

    def steps(self, run_id: uuid.UUID) -> list[records.StepView]:
        return self.doors.steps(tenant=self.tenant, run_id=run_id, after=0, limit=10_000)

    def why(self, run_id: uuid.UUID) -> str:
        return self.doors.why(tenant=self.tenant, run_id=run_id).sentence

    def ended(self, *run_ids: uuid.UUID, timeout_s: float = WAIT_S) -> list[records.RunView]:
        """Wait until all runs are over and show them."""
        open_ids = list(run_ids)

        def are_over() -> bool:
            open_ids[:] = self.open_of(open_ids)
            return not open_ids

        with self._explained():
            until(are_over, what=f"{len(run_ids)} runs end", timeout_s=timeout_s)
        return [self.run(run_id) for run_id in run_ids]

    def open_of(self, run_ids: list[uuid.UUID]) -> list[uuid.UUID]:
        """Tell which runs are not over."""
        found = self.rows("select id from heddle_run where id = any(%s) and state in ('queued', 'running')", [run_ids])
        return [row[0] for row in found]

    def until_row(
        self, query: str, parameters: list[Any] | None = None, *, what: str, timeout_s: float = WAIT_S
    ) -> Any:
        """Wait until a query gives a row whose first value is true, and give that value."""

        def ask() -> Any:
            found = self.rows(query, parameters)
            return found[0][0] if found and found[0][0] else None

        with self._explained():
            return until(ask, what=what, timeout_s=timeout_s)

    def rows(self, query: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.dsn, autocommit=True) as connection:
            return connection.execute(query, parameters).fetchall()

    def value(self, query: str, parameters: list[Any] | None = None) -> Any:
        return self.rows(query, parameters)[0][0]

    def until_traced(self, word: str, *, times: int = 1) -> int:
        """Wait until a step has written its word, and give the process that wrote it last."""

        def ask() -> int | None:
            found = self.traced(word)
            return found[-1] if len(found) >= times else None

        with self._explained():
            return until(ask, what=f"{word} is traced {times} times")

    def traced(self, word: str) -> list[int]:
        """Give the processes that wrote a word."""
        if not self.trace.exists():
            return []
        lines = [line.split() for line in self.trace.read_text().splitlines()]
        return [int(pid) for found, pid in lines if found == word]

    def until_quiet(self) -> None:
        """Wait until nothing is held any more: no lease, no slot, and every scope's count at zero."""
        self.until_row(
            "select not exists (select from heddle_lease) and not exists (select from heddle_slot)"
            " and not exists (select from heddle_limit_delta)"
            " and not exists (select from heddle_limit_state where in_flight <> 0)",
            what="leases and slots come back",
        )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Add what is known to a failed wait."""
        try:
            yield
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.explanation()}") from error

    def explanation(self) -> str:
        """Tell how everything stands."""
        try:
            open_runs = self.rows("select id, workflow from heddle_run where state in ('queued', 'running') limit 5")
            lines = [f"{workflow} {run_id}: {self._why(run_id)}" for run_id, workflow in open_runs]
            lines += [" ".join(str(each) for each in row) for row in self.rows(SESSIONS)]
            for table in ("leader", "lease", "timer", "slot", "ready", "limit_state"):
                found = self.rows(f"select to_jsonb(t) from heddle_{table} t limit 6")
                lines += [f"{table}: {json.dumps(row[0], default=str)[:600]}" for row in found]
            lines += [" ".join(str(each) for each in row) for row in self.rows(WORKERS)]
        except psycopg.Error as error:
            lines = [f"the database cannot tell: {error}"]
        gone = [program for program in self.programs if not program.is_up()]
        lines += [
            f"{program.name} ({'up' if program.is_up() else program.status()}):\n{program.tail()}"
            for program in (*(each for each in self.programs if each.is_up()), *gone[-TAILS_OF_GONE_MAX:])
        ]
        return "\n".join(lines)

    def _why(self, run_id: uuid.UUID) -> str:
        with contextlib.suppress(doors.RunMissing, django.db.Error):
            return self.why(run_id)
        return "unknown"


@contextlib.contextmanager
def site_on(database: pg.Database, folder: pathlib.Path, nursery: Nursery) -> Iterator[Site]:
    """Give an installation and end its processes afterwards."""
    made = Site(database=database, folder=folder, nursery=nursery)
    try:
        yield made
    finally:
        made.stop()


@contextlib.contextmanager
def simulator(folder: pathlib.Path, **arguments: object) -> Iterator[Simulator]:
    """Give a running provider."""
    made = Simulator(folder=folder, **arguments)
    try:
        yield made
    finally:
        made.stop()


def simulated_endpoint(
    name: str,
    url: str,
    *,
    model: str,
    idempotency: str = "A",
    poll_after_s: float = 0.1,
    unknown_policy: str = "at_most_once",
) -> str:
    """Write the part of a heddle.toml that routes a model to a simulated account."""
    return f"""
[models.{model}]
unknown_policy = "{unknown_policy}"
[endpoints.{name}]
adapter = "simulator"
url = "{url}"
secret = "env:SIM_KEY"
callback_secret = "env:SIM_HOOK"
price_usd = "{PRICE_USD}"
timeout_s = 20
class = "{idempotency}"
poll_after_s = {poll_after_s}
lookup_bound_s = 1
[scopes.{name}]
concurrency = 50
[[routes]]
model = "{model}"
endpoint = "{name}"
"""
