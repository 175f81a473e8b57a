"""Workers whose wall clocks are wrong, and one whose clock jumps: only the database's clock decides what is due and
whose lease is over (B12).
"""

import contextlib
import math
import os
import pathlib
import signal
import subprocess
import sys
import threading
import uuid

import pytest

from tests.fault import figures, harness, programs

JUMP_EVERY_S = 1.0
# The bar is 1 s at the 99th percentile; the rest is for a machine that is busy with other things.
LATE_AT_MOST_S = 1.0 + 9.0
DUE = """
select extract(epoch from s.finished_at - s.created_at)::float8 - (s.options->>'delay_s')::float8
from heddle_step s where s.run_id = any(%s) and s.kind = 'sleep' order by s.run_id
"""


class Skewed:
    """A worker with a wall clock of its own; its monotonic clock is true, as a machine's is."""

    def __init__(self, site: harness.Site, name: str, offset: str) -> None:
        self.name = name
        self.clock = site.folder / f"{name}.clock"
        self.set(offset)
        self._log = site.folder / f"{name}.log"
        environment = {
            **site.environment(),
            "LD_PRELOAD": str(next(pathlib.Path("/usr/lib").rglob("libfaketimeMT.so.1"))),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAULT_COMPUTE": "none",
            # Leases as they are shipped: short ones would be lost to a busy machine and not to a wrong clock.
            "HEDDLE_LEASE_S": "15",
            "HEDDLE_HEARTBEAT_S": "1",
            "HEDDLE_SESSION_GONE_S": "2",
        }
        with self._log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from tests.fault import entry; entry.work({name!r})"],
                env=environment, cwd=site.folder, stdout=file, stderr=file,
            )  # fmt: skip

    def set(self, offset: str) -> None:
        """Put the clock wrong by `-10m`, `+1h` and the like, all at once."""
        draft = self.clock.with_suffix(".new")
        draft.write_text(offset)
        draft.replace(self.clock)

    @property
    def program(self) -> programs.Program:
        """Give what reads its log."""
        return programs.Program(name=self.name, pid=self._process.pid, log=self._log)

    def is_up(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """End it."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(programs.WAIT_S)


class Jumping:
    """Move a worker's clock an hour forth and back."""

    def __init__(self, worker: Skewed) -> None:
        self._worker = worker
        self._stop = threading.Event()
        self.jumps = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(30.0 if figures.is_full() else JUMP_EVERY_S):
            self.jumps += 1
            self._worker.set("+1h" if self.jumps % 2 else "-1h")

    def close(self) -> None:
        """Leave the clock where it is."""
        self._stop.set()
        self._thread.join(programs.WAIT_S)


@pytest.mark.needs("faketime")
def test_clocks_when_they_are_wrong_and_jump_then_nothing_is_early_and_no_living_workers_lease_is_taken(
    site: harness.Site, tmp_path: pathlib.Path
) -> None:
    seed = programs.seed()
    count = figures.scaled(short=40, full=2_000)
    offsets = {"slow": "-10m", "right": "+0", "fast": "+10m", "jumping": "+1h"}
    with contextlib.ExitStack() as stack:
        workers = []
        for name, offset in offsets.items():
            workers.append(Skewed(site, name, offset))
            stack.callback(workers[-1].stop)
        for worker in workers:
            programs.until(
                lambda: worker.program.said("worker.started"),  # noqa: B023 - asked at once
                what=f"{worker.name} starts:\n{worker.program.tail()}",
            )
        jumping = Jumping(workers[-1])
        stack.callback(jumping.close)
        stamps = {worker.name: str(worker.program.said("worker.started")[0]["ts"]) for worker in workers}
        sleeps = [site.submit("sleeps", number=n, sleep_s=0.5 + (n * 7 % 40) / 20) for n in range(count)]
        steps = [site.submit("chain_of_three", number=n) for n in range(count)]
        runs = site.ended(*sleeps, *steps, timeout_s=programs.WAIT_S * figures.scaled(short=1, full=5))
        died = sum(len(worker.program.said("worker.died")) for worker in workers)
        retired = sum(len(worker.program.said("worker.retired")) for worker in workers)
        claimed = site.value("select count(distinct worker_id) from heddle_step where run_id = any(%s)", [steps])
        alive = sum(worker.is_up() for worker in workers)
    late_s = sorted(row[0] for row in site.rows(DUE, [sleeps]))

    figures.note(
        "B12 clocks", seed=seed, runs=len(runs), early=sum(each < 0 for each in late_s),
        late_p99_s=late_s[math.ceil(0.99 * len(late_s)) - 1], jumps=jumping.jumps,
        leases_taken_from_the_living=died + retired,
        workers_that_worked=claimed,
    )  # fmt: skip
    assert len({stamp[:16] for stamp in stamps.values()}) > 1, "the clocks are not wrong"
    assert all(run.state == "succeeded" for run in runs)
    assert len(late_s) == count
    assert late_s[0] >= 0
    assert (died, retired, alive) == (0, 0, len(offsets))
    assert late_s[math.ceil(0.99 * len(late_s)) - 1] <= LATE_AT_MOST_S


def test_run_ids_when_the_doors_clock_is_wrong_then_they_have_the_databases_time(
    site: harness.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)

    run_id = site.submit("guesses_nothing", number=1)

    made_s = uuid.UUID(str(run_id)).int >> 80
    database_s = site.value("select extract(epoch from clock_timestamp())::float8")
    assert abs(made_s / 1000 - database_s) < programs.WAIT_S
