"""Say who is measured and how each is set up: its processes, its counts, its settings, in its own favour.

Everything here was chosen for the contender's best figure on two cores; README.md gives the reasons. Nothing is run or
measured here. Before it: the command. After it: the measurements.
"""

import dataclasses
import enum
import pathlib
import sys
from collections.abc import Mapping, Sequence

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".bench-peers"
QUICK_DIVISOR = 20
QUICK_KILL_DIVISOR = 5
PYTHON = "python"


class Workload(enum.StrEnum):
    """What is measured: no-op jobs, jobs that post once, three-step chains, the way to an idle worker, a killed one."""

    NOOP = "noop"
    HTTP = "http"
    CHAIN = "chain"
    IDLE = "idle"
    KILL = "kill"


# The kind of job of each workload, as the doors know it.
KINDS = {
    Workload.NOOP: "noop",
    Workload.HTTP: "http",
    Workload.CHAIN: "chain",
    Workload.IDLE: "stamp",
    Workload.KILL: "logged",
}
JOBS_OF = {Workload.CHAIN: 3}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """``counts``: jobs (chains) of each workload it takes part in. ``commands``: what each of its workers runs.

    ``environment`` is a folder under `.bench-peers`, empty for Heddle itself. ``needs`` names redis, rabbitmq or
    postgres. ``poll_s`` is what a polling contender is set to. ``stall_s`` is how long a killed worker's jobs are
    waited for while nothing else happens, with the settings as they come and with careful ones (None: it has none).
    """

    name: str
    module: str
    environment: str
    needs: str
    counts: Mapping[Workload, int]
    commands: Mapping[Workload, Sequence[Sequence[str]]]
    broker: str = ""
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    poll_s: float = 0.02
    stall_s: float = 12.0
    careful_stall_s: float | None = None

    @property
    def python(self) -> str:
        """Give the interpreter of its environment."""
        return str(ENVIRONMENTS / self.environment / "bin" / PYTHON) if self.environment else sys.executable

    def command(self, words: Sequence[str]) -> list[str]:
        """Complete a worker's words: the first is a program of its environment."""
        folder = ENVIRONMENTS / self.environment / "bin" if self.environment else pathlib.Path(sys.executable).parent
        return [str(folder / words[0]), *words[1:]]

    def count(self, workload: Workload, *, is_quick: bool) -> int:
        """Give how many jobs, or a twentieth and at least twenty; of a kill a fifth, or it comes too late."""
        full = self.counts[workload]
        divisor = QUICK_KILL_DIVISOR if workload is Workload.KILL else QUICK_DIVISOR
        return max(min(full, 20), full // divisor) if is_quick else full


def everyone() -> dict[str, Contender]:
    """Give every contender by name, in the order in which a round takes them."""
    found = [
        _heddle(),
        *(_celery(broker) for broker in ("rabbitmq", "redis")),
        *(_dramatiq(broker) for broker in ("rabbitmq", "redis")),
        *(_taskiq(broker) for broker in ("rabbitmq", "redis")),
        _arq(),
        _dbos(),
        _procrastinate(),
        _django_tasks(),
        _rq(),
    ]
    return {contender.name: contender for contender in found}


def _counts(noop: int, http: int, chain: int, kill: int, idle: int = 200) -> dict[Workload, int]:
    return {
        Workload.NOOP: noop,
        Workload.HTTP: http,
        Workload.CHAIN: chain,
        Workload.IDLE: idle,
        Workload.KILL: kill,
    }


def _alike(words: Sequence[str], processes: int = 2) -> dict[Workload, list[Sequence[str]]]:
    return {workload: [words] * processes for workload in Workload}


def _heddle() -> Contender:
    return Contender(
        name="heddle",
        module="bench.peers.on_heddle",
        environment="",
        needs="postgres",
        counts=_counts(60_000, 30_000, 20_000, 20_000),
        commands=_alike([PYTHON, "-m", "bench.worker", "worker"]),
        stall_s=60.0,
    )


def _celery(broker: str) -> Contender:
    words = ["celery", "-A", "bench.peers.on_celery", "worker", "-Q", "bench.celery", "-l", "WARNING"]
    words += ["--without-gossip", "--without-mingle"]
    forked = [*words, "-P", "prefork", "-c", "2"]
    commands = {
        workload: [forked] if workload is not Workload.KILL else [[*forked, "-n", f"{n}@bench"] for n in range(2)]
        for workload in Workload
    }
    commands[Workload.HTTP] = [[*words, "-P", "threads", "-c", "64", "-n", f"{n}@bench"] for n in range(2)]
    return Contender(
        name=f"celery-{broker}",
        module="bench.peers.on_celery",
        environment="venv",
        needs=broker,
        broker=broker,
        counts=_counts(10_000, 10_000, 3_000, 5_000),
        commands=commands,
        careful_stall_s=12.0 if broker == "rabbitmq" else 100.0,
    )


def _dramatiq(broker: str) -> Contender:
    words = ["dramatiq", "bench.peers.on_dramatiq"]
    commands = {workload: [[*words, "-p", "2", "-t", "8"]] for workload in Workload}
    commands[Workload.HTTP] = [[*words, "-p", "2", "-t", "64"]]
    commands[Workload.KILL] = [[*words, "-p", "1", "-t", "8"]] * 2
    return Contender(
        name=f"dramatiq-{broker}",
        module="bench.peers.on_dramatiq",
        environment="venv",
        needs=broker,
        broker=broker,
        counts=_counts(40_000, 10_000, 10_000, 5_000),
        commands=commands,
        stall_s=12.0 if broker == "rabbitmq" else 70.0,
        careful_stall_s=None if broker == "rabbitmq" else 25.0,
    )


def _taskiq(broker: str) -> Contender:
    def words(processes: int, at_once: int) -> list[str]:
        base = ["taskiq", "worker", "bench.peers.on_taskiq:broker", "--log-level", "WARNING", "--no-parse"]
        return [*base, "-w", str(processes), "--max-async-tasks", str(at_once)]

    commands = {workload: [words(2, 100)] for workload in Workload}
    commands[Workload.HTTP] = [words(2, 250)]
    commands[Workload.KILL] = [words(1, 10)] * 2
    return Contender(
        name=f"taskiq-{broker}",
        module="bench.peers.on_taskiq",
        environment="venv",
        needs=broker,
        broker=broker,
        counts=_counts(40_000, 20_000, 10_000, 5_000),
        commands=commands,
        careful_stall_s=None if broker == "rabbitmq" else 25.0,
    )


def _arq() -> Contender:
    return Contender(
        name="arq",
        module="bench.peers.on_arq",
        environment="venv-arq",
        needs="redis",
        counts=_counts(6_000, 5_000, 1_500, 5_000),
        commands=_alike(["arq", "bench.peers.on_arq.Settings"]),
        careful_stall_s=25.0,
    )


def _dbos() -> Contender:
    return Contender(
        name="dbos",
        module="bench.peers.on_dbos",
        environment="venv",
        needs="postgres",
        counts=_counts(4_000, 2_000, 600, 2_000),
        commands=_alike([PYTHON, "-m", "bench.peers.on_dbos"]),
    )


def _procrastinate() -> Contender:
    at_once = {Workload.HTTP: 250, Workload.IDLE: 10, Workload.KILL: 10}
    words = ["procrastinate", "--app", "bench.peers.on_procrastinate.app", "worker", "-c"]
    return Contender(
        name="procrastinate",
        module="bench.peers.on_procrastinate",
        environment="venv",
        needs="postgres",
        counts=_counts(3_000, 2_500, 600, 2_000),
        commands={workload: [[*words, str(at_once.get(workload, 20))]] * 2 for workload in Workload},
        careful_stall_s=50.0,
    )


def _django_tasks() -> Contender:
    words = ["django-admin", "db_worker", "--interval", "0.02", "-v", "0"]
    commands = {workload: [words] * (16 if workload is Workload.HTTP else 2) for workload in Workload}
    return Contender(
        name="django-tasks",
        module="bench.peers.on_django_tasks",
        environment="venv",
        needs="postgres",
        counts=_counts(2_000, 1_000, 300, 2_000),
        commands=commands,
        variables={"DJANGO_SETTINGS_MODULE": "bench.peers.django_tasks_settings"},
    )


def _rq() -> Contender:
    words = ["-w", "rq.worker.SimpleWorker", "-q", "bench"]
    commands: dict[Workload, list[Sequence[str]]] = {
        workload: [["rq", "worker-pool", "-n", "2", *words]] for workload in Workload
    }
    commands[Workload.HTTP] = [["rq", "worker-pool", "-n", "32", *words]]
    # Two of its workers leave part of the chains undone, so chains have one.
    commands[Workload.CHAIN] = [["rq", "worker", *words]]
    commands[Workload.KILL] = [["rq", "worker", *words]] * 2
    return Contender(
        name="rq",
        module="bench.peers.on_rq",
        environment="venv",
        needs="redis",
        counts=_counts(2_000, 1_000, 300, 2_000),
        commands=commands,
    )
