"""Measure one worker with as many model calls in flight as its scope allows: how many really were, in how much memory.

Each call takes two seconds at the model server, which counts the requests it holds; memory is looked at while they
wait. The worker's own process is told apart from its compute pool.
"""

import threading
import urllib.request
from collections.abc import Sequence

from bench import drains, house, processes
from bench.figures import Figure, Unit
from bench.shapes import Shape

CALLS_A_RUN = 100
LOOK_S = 0.1
TIMEOUT_S = 10.0
MIB = 2**20


def measure(running: house.House, *, calls: int) -> list[Figure]:
    """Drain so many slow calls with one worker. Raises DrainFailed when one does not succeed."""
    runs = max(1, calls // CALLS_A_RUN)
    shape = Shape(
        name="http_in_flight",
        workflow="bench_slow_model_calls",
        input={"calls": CALLS_A_RUN},
        runs=runs,
        steps=CALLS_A_RUN,
        workers=1,
    )
    looker = _Looker()
    _peak(running.model_url)
    running.on_workers.append(looker.start)
    try:
        drains.measure(running, shape)
    finally:
        running.on_workers.remove(looker.start)
        looker.stop()
    return [
        Figure(name="http_in_flight_peak", value=_peak(running.model_url), unit=Unit.COUNT),
        Figure(name="http_in_flight_resident_mib", value=looker.worker_bytes / MIB, unit=Unit.MIB),
        Figure(name="http_in_flight.with_compute_pool_mib", value=looker.tree_bytes / MIB, unit=Unit.MIB),
    ]


class _Looker:
    """Look at a worker's memory ten times a second and keep the most."""

    def __init__(self) -> None:
        self.worker_bytes = 0
        self.tree_bytes = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, pids: Sequence[int]) -> None:
        """Begin, once the workers run."""
        self._thread = threading.Thread(target=self._look, args=(list(pids),), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self, pids: list[int]) -> None:
        while not self._ended.wait(LOOK_S):
            usage = processes.usage(pids)
            if usage is not None:
                self.tree_bytes = max(self.tree_bytes, usage.resident_bytes)
                self.worker_bytes = max(self.worker_bytes, sum(map(processes.resident_bytes, pids)))


def _peak(url: str) -> int:
    with urllib.request.urlopen(f"{url}/peak", timeout=TIMEOUT_S) as answer:
        return int(answer.read())
