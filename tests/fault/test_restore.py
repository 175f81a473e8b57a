"""The drill: back up, work, lose the server, restore to a point in time, and pay for nothing twice.

What was sent after the point the database was restored to is known to the provider and not to the database. A restored
database is recognised, all sending is paused, what may have been sent is looked up, sending goes on. ``make drill``
prints the figures.
"""

import pathlib
import time
from collections.abc import Iterator

import pytest

from tests import pg
from tests.fault import archive, harness, programs

RUNS = 12
PICTURES = 4
POINT = "drill"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[archive.ArchivedServer]:
    made = archive.ArchivedServer(tmp_path_factory.mktemp("archived-postgres"))
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("idempotency", ["A", "B"])
def test_restore_when_calls_were_paid_after_the_point_then_sending_pauses_and_nothing_is_paid_twice(
    server: archive.ArchivedServer, nursery: programs.Nursery, tmp_path: pathlib.Path, idempotency: str
) -> None:
    if idempotency == "B":
        server = archive.ArchivedServer(tmp_path / "second")
    dsn = server.dsn
    template = pg.make_template(dsn)
    options = {"latency_ms": 150, "class": idempotency}
    with (
        pg.database(cluster_dsn=dsn, template=template, label="restore") as database,
        pg.django_using(database),
        harness.simulator(tmp_path / "provider", **options) as provider,
        harness.site_on(database, tmp_path / "site", nursery) as site,
    ):
        toml = harness.simulated_endpoint(
            "studio", provider.url, model="paint", idempotency=idempotency, poll_after_s=0.1
        )
        # Few at once, so that there is something left to pay after the point.
        site.configure(toml.replace("concurrency = 50", "concurrency = 3"))
        before = site.start_worker("before", FAULT_COMPUTE="none")
        server.back_up()
        runs = [site.submit("pictures", first=100 * number, count=PICTURES) for number in range(RUNS)]
        programs.until(lambda: len(provider.paid()) >= 5, what="some are paid")
        server.mark(POINT)
        paid_at_point = len(provider.paid())
        site.ended(*runs)
        paid_at_loss = len(provider.paid())
        server.until_archived()
        before.kill()

        from django.db import connections

        connections.close_all()
        lost_s = time.monotonic()
        server.restore(POINT)
        open_runs = site.value("select count(*) from heddle_run where state in ('queued', 'running')")
        after = site.start_worker("after", FAULT_COMPUTE="none")
        shown = site.ended(*runs)
        mended_s = time.monotonic() - lost_s

        assert paid_at_loss > paid_at_point, "the restore must lose something"
        assert open_runs > 0
        assert after.said("restore.found")
        assert after.said("sending.resumed")
        assert [run.output for run in shown] == [[100 * n + k for k in range(PICTURES)] for n in range(RUNS)]
        assert provider.payments_by_seed() == {100 * n + k: 1 for n in range(RUNS) for k in range(PICTURES)}
        print(
            f"\nclass {idempotency}: {paid_at_point} paid at the point, {paid_at_loss} at the loss, "
            f"{open_runs} runs open after the restore, {len(provider.paid())} paid at the end, "
            f"0 twice; all ended {mended_s:.1f} s after the loss"
        )
    if idempotency == "B":
        server.close()
