"""Run a contender: its servers emptied, its door in a process, its workers in others, all ended afterwards.

The house gives PostgreSQL and the model server; Redis and RabbitMQ run when somebody needs them. Nothing is measured
here. Before it: the command. After it: the measurements.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from psycopg import conninfo, sql

from bench import processes
from bench.house import House
from bench.peers import servers, setting, tally
from bench.peers.contenders import ROOT, Contender, Workload

# What this process's environment says about Heddle is nothing to a peer.
OURS = ("HEDDLE_", "DJANGO_", "DATABASE_", "PROMETHEUS_", "PYTHONPATH", "VIRTUAL_ENV")
ANSWER_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 10.0
LOOK_S = 0.02


class ContenderFailed(RuntimeError):
    """Say which contender's process ended or did not answer, with the end of its log."""


@dataclasses.dataclass(slots=True)
class Workers:
    """Worker processes of one measurement; ``log`` has what all of them wrote."""

    running: list[subprocess.Popen[bytes]]
    log: pathlib.Path

    @property
    def pids(self) -> list[int]:
        """Give the roots of their trees."""
        return [process.pid for process in self.running]

    def refuse_dead(self) -> None:
        """Raise ContenderFailed when all of them have ended."""
        if all(process.poll() is not None for process in self.running):
            tail = self.log.read_text(errors="replace")[-1_500:]
            raise ContenderFailed(f"every worker has ended; {self.log.name} ends: {tail}")


class Door:
    """The process that submits for a contender."""

    def __init__(self, process: subprocess.Popen[str], log: pathlib.Path) -> None:
        self._process = process
        self._log = log

    def ask(self, **order: object) -> float:
        """Give an order and wait until it is done: the seconds it took there. Raises ContenderFailed after 180 s."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        answer = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            if select.select([self._process.stdout], [], [], ANSWER_TIMEOUT_S)[0]:
                answer = self._process.stdout.readline()
        if not answer:
            tail = self._log.read_text(errors="replace")[-1_500:]
            raise ContenderFailed(f"the door gave no answer to {order}; {self._log.name} ends: {tail}")
        return float(json.loads(answer)["seconds"])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """Everything that runs besides the contender."""

    house: House
    folder: pathlib.Path
    model_url: str
    redis: servers.Server | None
    rabbitmq: servers.Server | None

    def server_pid(self, contender: Contender) -> int:
        """Give the process of the server that keeps the contender's jobs."""
        if contender.needs == "postgres":
            return self.house.postgres_pid
        server = self.redis if contender.needs == "redis" else self.rabbitmq
        assert server is not None, "the command refuses a contender whose server is missing"
        return server.pid

    def given(self, contender: Contender, workload: Workload, *, is_careful: bool, slot: int) -> setting.Setting:
        """Say to a process what it takes part in."""
        return setting.Setting(
            workload=workload,
            is_careful=is_careful,
            poll_s=contender.poll_s,
            slot=slot,
            broker=contender.broker,
            redis_port=self.redis.port if self.redis else 0,
            amqp_port=self.rabbitmq.port if self.rabbitmq else 0,
            postgres_url=self._url(contender) if contender.needs == "postgres" else "",
            model_url=self.model_url,
        )

    @contextlib.contextmanager
    def door(self, contender: Contender, workload: Workload, *, is_careful: bool = False) -> Iterator[Door]:
        """Empty the contender's server and the tally, and run the process that submits. Raises ContenderFailed."""
        self._empty(contender)
        tally.empty()
        log = self.folder / f"{contender.name}-door.log"
        environment = self._environment(contender, self.given(contender, workload, is_careful=is_careful, slot=0))
        with log.open("ab") as output:
            process = subprocess.Popen(
                [contender.python, "-m", "bench.peers.submitter", contender.module],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        try:
            door = Door(process, log)
            door.ask(do="reset")
            yield door
        finally:
            end_trees([process])

    @contextlib.contextmanager
    def workers(self, contender: Contender, workload: Workload, *, is_careful: bool = False) -> Iterator[Workers]:
        """Run the contender's workers; end them, and whatever they started, afterwards."""
        running = Workers(running=[], log=self.folder / f"{contender.name}-{workload}.log")
        try:
            for slot, words in enumerate(contender.commands[workload]):
                self.start(running, contender, workload, words=words, slot=slot, is_careful=is_careful)
            yield running
        finally:
            end_trees(running.running)

    def start(
        self,
        workers: Workers,
        contender: Contender,
        workload: Workload,
        *,
        words: Sequence[str],
        slot: int,
        is_careful: bool,
    ) -> None:
        """Start one more worker."""
        environment = self._environment(contender, self.given(contender, workload, is_careful=is_careful, slot=slot))
        with workers.log.open("ab") as output:
            workers.running.append(
                subprocess.Popen(
                    contender.command(words),
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _environment(self, contender: Contender, given: setting.Setting) -> dict[str, str]:
        common: Mapping[str, str] = os.environ
        if contender.environment:
            kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
            common = {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "RQ_REDIS_URL": given.redis_url}
        return {**common, **given.environment(), **contender.variables}

    def _empty(self, contender: Contender) -> None:
        if contender.needs == "redis":
            assert self.redis is not None
            servers.empty_redis(self.redis)
        if not contender.environment:
            self.house.empty()
        elif contender.needs == "postgres":
            name = sql.Identifier(_database(contender))
            with self.house.connect() as connection:
                connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))
                connection.execute(sql.SQL("create database {}").format(name))
                connection.execute("checkpoint")

    def _url(self, contender: Contender) -> str:
        if not contender.environment:
            return self.house.dsn
        parts = conninfo.conninfo_to_dict(self.house.dsn)
        account = f"{parts['user']}:{parts.get('password', '')}@{parts['host']}:{parts['port']}"
        return f"postgresql://{account}/{_database(contender)}"


def _database(contender: Contender) -> str:
    return "bench_" + contender.name.replace("-", "_")


def end_trees(running: Sequence[subprocess.Popen[bytes] | subprocess.Popen[str]]) -> None:
    """Ask processes to end, then kill what is left of the sessions they began."""
    for process in running:
        process.terminate()
    until_s = time.monotonic() + STOP_TIMEOUT_S
    for process in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(0.1, until_s - time.monotonic()))
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def kill_tree(process: subprocess.Popen[bytes]) -> list[int]:
    """Kill a process and everything it started, at once, and give their ids."""
    pids = processes.tree([process.pid])
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    return pids


def wait_for(condition: Callable[[], bool], *, timeout_s: float, look_s: float = LOOK_S) -> bool:
    """Look again and again until something holds; False when it does not in time."""
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        if condition():
            return True
        time.sleep(look_s)
    return False
