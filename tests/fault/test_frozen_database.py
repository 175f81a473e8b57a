"""PostgreSQL stands still for a while under a steady load and goes on: the backlog falls, nothing is taken from living
workers, nobody has to do anything (B19, in short).
"""

import contextlib
import os
import pathlib
import signal
import statistics
import time
from collections.abc import Iterator

import pytest

from heddle.service import postgres
from tests import pg
from tests.fault import harness, programs

SETTINGS = postgres.PostgresSettings(shared_buffers_mib=32, max_wal_size_mib=64, max_connections=60)
STEP_S = 0.1
PER_TURN = 2
TURN_S = 0.25
FROZEN_S = 8.0
TURNS = 30


@pytest.fixture
def frozen_site(
    nursery: programs.Nursery, tmp_path_factory: pytest.TempPathFactory, tmp_path: pathlib.Path
) -> Iterator[tuple[harness.Site, postgres.EmbeddedPostgres]]:
    """Give an installation on a server of its own."""
    server = postgres.EmbeddedPostgres(directory=tmp_path_factory.mktemp("frozen-postgres"), settings=SETTINGS)
    try:
        dsn = server.ensure().dsn
        template = pg.make_template(dsn)
        with (
            pg.database(cluster_dsn=dsn, template=template, label="frozen") as database,
            pg.django_using(database),
            harness.site_on(database, tmp_path, nursery) as site,
        ):
            yield site, server
    finally:
        server.release()


def family(pid: int) -> list[int]:
    """Give the server's process and its children: each backend has a session of its own."""
    children = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue  # It ended while we looked.
            if parent == pid:
                children.append(int(entry.name))
    return [pid, *children]


def signal_all(pids: list[int], number: signal.Signals) -> None:
    """Signal each that has not ended since we looked."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.slow
def test_database_when_it_stands_still_under_load_then_the_backlog_falls_and_no_living_worker_loses_a_lease(
    frozen_site: tuple[harness.Site, postgres.EmbeddedPostgres],
) -> None:
    site, server = frozen_site
    workers = [site.launch_worker(f"frozen-{n}", FAULT_COMPUTE="none") for n in range(2)]
    for worker in workers:
        site.until_started(worker)
    submitted = 0

    def offer(count: int) -> None:
        nonlocal submitted
        for _ in range(count):
            site.submit("works_async", number=submitted, take_s=STEP_S)
            submitted += 1

    for _ in range(8):
        offer(PER_TURN)
        time.sleep(TURN_S)

    stopped = family(server.ensure().pid)
    try:
        signal_all(stopped, signal.SIGSTOP)
        time.sleep(FROZEN_S)
    finally:
        # A server that is left frozen could not be stopped, and this test would never end.
        signal_all(stopped, signal.SIGCONT)
    # What would have come meanwhile comes at once.
    offer(round(PER_TURN * FROZEN_S / TURN_S))
    backlog = []
    for _ in range(TURNS):
        offer(PER_TURN)
        backlog.append(int(site.value("select count(*) from heddle_run where state in ('queued', 'running')")))
        time.sleep(TURN_S)
    site.until_row("select count(*) = 0 from heddle_run where state in ('queued', 'running')", what="all is done")

    thirds = [statistics.mean(backlog[start : start + TURNS // 3]) for start in range(0, TURNS, TURNS // 3)]
    succeeded = site.value("select count(*) from heddle_run where state = 'succeeded'")
    print(f"frozen for {FROZEN_S:g} s; backlog by thirds {[round(each, 1) for each in thirds]}; {succeeded} runs done")
    assert succeeded == submitted
    assert thirds[1] <= thirds[0] + 2
    assert thirds[2] <= thirds[1] + 2
    assert all(worker.is_up() for worker in workers)
    assert not any(worker.said("worker.died") or worker.said("lease.expired") for worker in workers)
    assert site.value("select count(*) from heddle_step where attempts > 1 or crashes > 0") == 0
