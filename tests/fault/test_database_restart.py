"""PostgreSQL is killed -9 and comes back under load: workers survive, nothing is lost, nothing is bought twice."""

import os
import pathlib
import signal
from collections.abc import Iterator

import pytest
from django.db import connections

from heddle.service import postgres
from tests import pg
from tests.fault import harness, programs

RUNS = 10
SETTINGS = postgres.PostgresSettings(shared_buffers_mib=32, max_wal_size_mib=64, max_connections=60)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.EmbeddedPostgres]:
    made = postgres.EmbeddedPostgres(directory=tmp_path_factory.mktemp("mortal-postgres"), settings=SETTINGS)
    try:
        yield made
    finally:
        made.release()


@pytest.fixture
def mortal(
    server: postgres.EmbeddedPostgres, nursery: programs.Nursery, tmp_path: pathlib.Path
) -> Iterator[harness.Site]:
    """Give an installation on a server of its own."""
    dsn = server.ensure().dsn
    template = pg.make_template(dsn)
    with (
        pg.database(cluster_dsn=dsn, template=template, label="mortal") as database,
        pg.django_using(database),
        harness.site_on(database, tmp_path, nursery) as site,
    ):
        yield site


def test_database_when_killed_under_load_then_workers_survive_and_every_run_ends_right_once(
    mortal: harness.Site, server: postgres.EmbeddedPostgres, tmp_path: pathlib.Path
) -> None:
    with harness.simulator(tmp_path / "provider", latency_ms=100) as provider:
        mortal.configure(harness.simulated_endpoint("studio", provider.url, model="paint"))
        workers = [mortal.launch_worker(f"survivor-{n}", FAULT_COMPUTE="none") for n in range(2)]
        for worker in workers:
            mortal.until_started(worker)
        run_ids = [mortal.submit("pictures", first=100 * n, count=3) for n in range(RUNS)]
        mortal.until_row("select count(*) > 0 from heddle_lease", what="work is in hand")

        for _ in range(2):
            kill_and_restart(server)
        runs = mortal.ended(*run_ids)

        assert [run.output for run in runs] == [[100 * n + k for k in range(3)] for n in range(RUNS)]
        assert provider.payments_by_seed() == {100 * n + k: 1 for n in range(RUNS) for k in range(3)}
        assert all(worker.is_up() for worker in workers)
        assert not any(worker.said("worker.died") for worker in workers), "a living worker was declared dead"
        mortal.until_quiet()


def kill_and_restart(server: postgres.EmbeddedPostgres) -> None:
    """Kill -9 the server as the kernel would, bring it back, and let Django connect anew."""
    os.kill(server.ensure().pid, signal.SIGKILL)
    programs.until(lambda: server.poll() is not None, what="the server is gone")
    server.ensure()
    connections.close_all()
