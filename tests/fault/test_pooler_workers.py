"""Workers through pgbouncer in transaction mode, with a direct address for doorbells and heartbeats and without one."""

import pathlib
from collections.abc import Iterator

import pytest

from tests import pg, pooler
from tests.fault import harness, programs

pytestmark = pytest.mark.needs("pgbouncer")
RUNS = 8


@pytest.fixture(scope="module")
def pooled(database: pg.Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pg.Database]:
    """Put a pooler in front of this file's database, for workers and for Django."""
    with pooler.in_front_of(database, tmp_path_factory.mktemp("pgbouncer")) as made, pg.django_using(made):
        yield made


@pytest.mark.parametrize("has_direct", [True, False], ids=["direct", "poll_only"])
@pytest.mark.parametrize("prepare", ["auto", "off"])
def test_workers_when_they_go_through_a_pooler_then_every_run_ends_right_and_is_paid_once(
    database: pg.Database,
    pooled: pg.Database,
    nursery: programs.Nursery,
    tmp_path: pathlib.Path,
    has_direct: bool,
    prepare: str,
) -> None:
    environment = {"HEDDLE_DATABASE_PREPARE": prepare, "FAULT_COMPUTE": "none"}
    if has_direct:
        environment["HEDDLE_DATABASE_DIRECT_URL"] = database.dsn
    with (
        harness.site_on(pooled, tmp_path, nursery) as site,
        harness.simulator(tmp_path / "provider", latency_ms=20) as provider,
    ):
        site.configure(harness.simulated_endpoint("studio", provider.url, model="paint", poll_after_s=0.05))
        workers = [site.start_worker(f"w{number}", **environment) for number in range(2)]

        runs = [site.submit("pictures", first=10 * number, count=3) for number in range(RUNS)]
        shown = site.ended(*runs)

        assert [run.output for run in shown] == [[10 * number + k for k in range(3)] for number in range(RUNS)]
        assert set(provider.payments_by_seed().values()) == {1}
        site.until_quiet()
        assert [bool(worker.said("doorbell.deaf")) for worker in workers] == [not has_direct] * 2
        assert all(worker.is_up() for worker in workers)
