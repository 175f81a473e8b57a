"""Measure one contender at one workload: a drain, the way to an idle worker, or a killed worker.

A drain begins with everything submitted and no worker running; its time goes from the first job done to the last one.
Heddle's goes further, to the moment at which the last run is durably over. CPU is counted from the first look that sees
a job done, so that what a worker costs to start is in no figure. README.md says more. Before it: the rig.
"""

import statistics
import time

import psycopg

from bench import processes
from bench.figures import Figure, Unit
from bench.peers import rig as rigs
from bench.peers import tally
from bench.peers.contenders import JOBS_OF, KINDS, Contender, Workload

DRAIN_TIMEOUT_S = 120.0
# Looking costs CPU that the measured ones then lack, a few milliseconds a look at the memory of all processes.
DRAIN_LOOK_S = 0.05
MEMORY_LOOK_S = 0.5
SINGLES_MAX = 500
SETTLE_S = 0.3
WARM_UP = 10
WARM_UP_TIMEOUT_S = 40.0
SAMPLE_TIMEOUT_S = 20.0
PAUSE_S = 0.02
SAMPLE_LOOK_S = 0.001
MIB = 2**20


class Ended:
    """Tell how many jobs are done, and when the first and the last were: by the tally; of Heddle also by its rows."""

    def __init__(self, rig: rigs.Rig, contender: Contender, workload: Workload) -> None:
        self._is_counted = contender.environment != "" or workload is not Workload.HTTP
        self._rows: psycopg.Connection[tuple[int, int, int]] | None = None
        if not contender.environment:
            self._rows = rig.house.connect()

    def done(self) -> int:
        """Give the jobs done so far; a model call runs no code of ours, so its runs are counted."""
        return tally.read().done if self._is_counted else self._over()[0]

    def is_durable(self, runs: int) -> bool:
        """Say whether all that was tallied is committed, too; of a peer nobody asks."""
        return self._rows is None or self._over()[0] >= runs

    def span_s(self) -> float:
        """Give the time from the first job to the last."""
        count = tally.read()
        first_ns, last_ns = count.first_ns, count.last_ns
        if self._rows is not None:
            _, started_ns, finished_ns = self._over()
            first_ns, last_ns = min(first_ns or started_ns, started_ns), max(last_ns, finished_ns)
        return max(last_ns - first_ns, 1) / 1e9

    def close(self) -> None:
        """Disconnect."""
        if self._rows is not None:
            self._rows.close()

    def _over(self) -> tuple[int, int, int]:
        assert self._rows is not None
        row = self._rows.execute(
            "select count(*) filter (where state = 'succeeded'),"
            " coalesce(extract(epoch from min(started_at)) * 1e9, 0)::bigint,"
            " coalesce(extract(epoch from max(finished_at)) * 1e9, 0)::bigint from heddle_run"
        ).fetchone()
        assert row is not None
        return row


def drain(rig: rigs.Rig, contender: Contender, workload: Workload, count: int) -> list[Figure]:
    """Submit everything, start the workers, wait at most 120 s. Jobs that are open then are a figure: `undone`."""
    jobs = count * JOBS_OF.get(workload, 1)
    with rig.door(contender, workload) as door:
        found = _submit(door, contender, workload, count)
        ended = Ended(rig, contender, workload)
        try:
            with rig.workers(contender, workload) as workers:
                cost = _Cost(workers.pids, rig.server_pid(contender))

                def is_over() -> bool:
                    workers.refuse_dead()
                    done = ended.done()
                    cost.look(done)
                    return done >= jobs and ended.is_durable(count)

                is_whole = rigs.wait_for(is_over, timeout_s=DRAIN_TIMEOUT_S, look_s=DRAIN_LOOK_S)
                time.sleep(SETTLE_S)
                found += cost.figures(contender, workload, ended.done())
                done = jobs if is_whole else ended.done()
                found.append(_figure(contender, workload, "undone", jobs - done, Unit.COUNT))
                found.append(_figure(contender, workload, "per_s", done / ended.span_s(), Unit.PER_S))
        finally:
            ended.close()
    return found


def idle(rig: rigs.Rig, contender: Contender, workload: Workload, count: int) -> list[Figure]:
    """Submit one job at a time to idle workers: from before the call to the first line of the job.

    Raises ContenderFailed when one does not run in time.
    """
    with rig.door(contender, workload) as door, rig.workers(contender, workload) as workers:
        for number in range(count + WARM_UP):
            workers.refuse_dead()
            door.ask(do="stamp")
            timeout_s = WARM_UP_TIMEOUT_S if number < WARM_UP else SAMPLE_TIMEOUT_S
            if not rigs.wait_for(lambda at=number: tally.read().done > at, timeout_s=timeout_s, look_s=SAMPLE_LOOK_S):
                raise rigs.ContenderFailed(f"job {number} of an idle {contender.name} did not run in {timeout_s:g} s")
            time.sleep(PAUSE_S)
    waited_ms = [line.number / 1e6 for line in tally.lines()][WARM_UP:]
    parts = statistics.quantiles(waited_ms, n=100, method="inclusive")
    return [
        _figure(contender, workload, "start_p50_ms", parts[49], Unit.MILLISECONDS),
        _figure(contender, workload, "start_p99_ms", parts[98], Unit.MILLISECONDS),
        _figure(contender, workload, "start_max_ms", max(waited_ms), Unit.MILLISECONDS),
    ]


class _Cost:
    """CPU and memory of a drain's workers and server, from the first look that sees a job done."""

    def __init__(self, pids: list[int], server_pid: int) -> None:
        self._pids = pids
        self._server_pid = server_pid
        self._begun: tuple[int, processes.Usage | None, processes.Usage | None] | None = None
        self._peak_bytes = 0
        self._looked_s = 0.0

    def look(self, done: int) -> None:
        """Look: at memory twice a second, at CPU when the first job is seen done."""
        is_begin = self._begun is None and done > 0
        if not is_begin and time.monotonic() < self._looked_s + MEMORY_LOOK_S:
            return
        self._looked_s = time.monotonic()
        workers = processes.usage(self._pids)
        if workers is not None:
            self._peak_bytes = max(self._peak_bytes, workers.resident_bytes)
        if is_begin:
            self._begun = (done, workers, processes.usage([self._server_pid]))

    def figures(self, contender: Contender, workload: Workload, done: int) -> list[Figure]:
        """Give seconds of CPU a thousand jobs, and the memory of all workers together."""
        if self._begun is None or done <= self._begun[0]:
            return []
        seen, *begun = self._begun
        found = []
        self._looked_s = 0.0
        self.look(done)
        ended = [processes.usage(self._pids), processes.usage([self._server_pid])]
        for whose, before, after in zip(("worker", "server"), begun, ended, strict=True):
            if before is not None and after is not None:
                value = (after.cpu_s - before.cpu_s) / (done - seen) * 1_000
                found.append(_figure(contender, workload, f"{whose}_cpu_s_per_1000", value, Unit.SECONDS))
        shared_mib = processes.proportional_bytes(self._pids) / MIB
        found.append(_figure(contender, workload, "workers_peak_resident_mib", self._peak_bytes / MIB, Unit.MIB))
        found.append(_figure(contender, workload, "workers_proportional_mib", shared_mib, Unit.MIB))
        return found


def _submit(door: rigs.Door, contender: Contender, workload: Workload, count: int) -> list[Figure]:
    """Submit all; of no-op jobs, the first ones by one call each."""
    kind, singles = KINDS[workload], 0
    found = []
    if workload is Workload.NOOP:
        singles = min(SINGLES_MAX, count // 4)
        seconds = door.ask(do="singly", kind=kind, first=0, last=singles)
        found.append(_figure(contender, workload, "submit_single_per_s", singles / seconds, Unit.PER_S))
    seconds = door.ask(do="many", kind=kind, first=singles, last=count)
    found.append(_figure(contender, workload, "submit_many_per_s", (count - singles) / seconds, Unit.PER_S))
    return found


def _figure(contender: Contender, workload: Workload, what: str, value: float, unit: Unit) -> Figure:
    return Figure(name=f"{contender.name}.{workload}.{what}", value=value, unit=unit)
