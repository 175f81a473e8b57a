"""Workflows on DBOS, in PostgreSQL: `python -m bench.peers.on_dbos` is an executor; the door enqueues to its queue."""

import concurrent.futures
import importlib
import threading
import time
from collections.abc import Sequence

from dbos import DBOS, DBOSClient

from bench.peers import posts, setting, tally

QUEUE = "bench"
POOL = 20
THREADS = 16
AT_ONCE = {"noop": 200, "http": 250, "chain": 100, "idle": 10, "kill": 20}
VERSION = "1"
NAP_S = 0.005


@DBOS.workflow(name="noop")
def noop(number: int) -> None:
    """Do nothing, as a workflow without a step: its cheapest durable job."""
    tally.mark()


@DBOS.step()
async def post_step(number: int) -> None:
    """Post once."""
    await posts.post_async()


@DBOS.workflow(name="http")
async def http(number: int) -> None:
    """Post once, in a step."""
    await post_step(number)


@DBOS.step()
def link_step(number: int) -> None:
    """Do nothing."""
    tally.mark()


@DBOS.workflow(name="chain")
def chain(number: int) -> None:
    """Do nothing three times, each a durable step."""
    link_step(number)
    link_step(number)
    link_step(number)


@DBOS.workflow(name="stamp")
def stamp(called_ns: int) -> None:
    """Tell how long it took to begin."""
    tally.stamp(called_ns)


@DBOS.step()
def logged_step(number: int) -> None:
    """Tell of beginning and end, 5 ms apart."""
    tally.begin(number)
    time.sleep(NAP_S)
    tally.end(number)


@DBOS.workflow(name="logged")
def logged(number: int) -> None:
    """Tell of beginning and end."""
    logged_step(number)


def _launch(executor: str) -> None:
    given = setting.read()
    # A class that is its own registry: constructing it is how a process becomes an executor.
    DBOS(
        config={
            "name": "bench",
            "system_database_url": given.postgres_url,
            "sys_db_pool_size": POOL,
            "application_version": VERSION,
            "executor_id": executor,
            "log_level": "WARNING",
        }
    )
    DBOS.launch()
    DBOS.register_queue(
        QUEUE,
        worker_concurrency=AT_ONCE[given.workload],
        polling_interval_sec=given.poll_s,
        on_conflict="always_update",
    )


class Door:
    """Enqueue through its client; DBOS has no call for many, so sixteen threads."""

    def __init__(self) -> None:
        self._client: DBOSClient | None = None

    def reset(self) -> None:
        """Make its tables in the empty database it was given, by being an executor once."""
        _launch("making-tables")
        DBOS.destroy()
        self._client = DBOSClient(system_database_url=setting.read().postgres_url, system_database_pool_size=POOL)

    def submit(self, kind: str, number: int) -> None:
        """Enqueue one workflow."""
        assert self._client is not None, "reset comes first"
        self._client.enqueue({"workflow_name": kind, "queue_name": QUEUE, "app_version": VERSION}, number)

    def submit_many(self, kind: str, numbers: Sequence[int]) -> None:
        """Enqueue from sixteen threads."""
        with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda number: self.submit(kind, number), numbers))


def main() -> None:
    """Execute until ended."""
    _launch(f"executor-{setting.read().slot}")
    threading.Event().wait()


if __name__ == "__main__":
    # Workflows belong to the module that workers and door both import, not to `__main__`.
    importlib.import_module("bench.peers.on_dbos").main()
