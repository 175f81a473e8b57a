"""The network between workers and their database does what networks do: commits whose answer is lost, resets, black
holes, latency, a drip. Nothing is lost or bought twice, no connection leaks, and work goes on afterwards (B10).
"""

import pathlib
import time
import uuid
from collections.abc import Iterator

import pytest

from tests import pg
from tests.fault import figures, harness, programs, proxy

POOL_SIZE = 4
# Of one worker: its pool, its heartbeat, and the doorbell's two.
SESSIONS_OF_ONE = POOL_SIZE + 3
WORKERS = 2
OURS = "datname = current_database() and application_name in ('heddle-worker', 'heddle-heartbeat', 'heddle-doorbell')"
# Bar: 10 s. A machine that is busy with other things gets more before the test calls it wrong.
BACK_WITHIN_S = 10.0 + 20.0


@pytest.fixture
def network(database: pg.Database) -> Iterator[proxy.Proxy]:
    made = proxy.Proxy(dsn=database.dsn, seed=programs.seed())
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def provider(tmp_path: pathlib.Path, site: harness.Site) -> Iterator[harness.Simulator]:
    with harness.simulator(tmp_path / "provider", latency_ms=20) as made:
        site.configure(harness.simulated_endpoint("studio", made.url, model="paint"))
        yield made


class Stream:
    """Runs submitted past the bad network, so that only the workers suffer; each has three paid calls."""

    def __init__(self, site: harness.Site) -> None:
        self._site = site
        self.run_ids: list[uuid.UUID] = []

    def add(self, count: int) -> None:
        first = len(self.run_ids)
        self.run_ids += [self._site.submit("pictures", first=10 * n, count=3) for n in range(first, first + count)]

    def finished(self) -> int:
        return len(self.run_ids) - len(self._site.open_of(self.run_ids))

    def sessions(self) -> int:
        return int(self._site.value(f"select count(*) from pg_stat_activity where {OURS}"))


def until_finished(stream: Stream, count: int, *, what: str) -> float:
    """Wait until so many more runs have ended, and give how long that took."""
    started_s, wanted = time.monotonic(), stream.finished() + count
    programs.until(lambda: stream.finished() >= wanted, what=what)
    return time.monotonic() - started_s


def test_network_when_it_fails_in_every_way_then_nothing_is_lost_or_bought_twice_and_work_goes_on(
    site: harness.Site, network: proxy.Proxy, provider: harness.Simulator
) -> None:
    environment = {"DATABASE_URL": network.dsn, "HEDDLE_DATABASE_POOL_SIZE": str(POOL_SIZE), "FAULT_COMPUTE": "none"}
    workers = [site.launch_worker(f"remote-{n}", **environment) for n in range(WORKERS)]
    for worker in workers:
        site.until_started(worker)
    stream = Stream(site)
    hole_s, cutting_s = figures.scaled(short=3, full=60), figures.scaled(short=4, full=120)

    network.weather = proxy.Weather(cuts_per_s=10.0)
    peak, until_s = 0, time.monotonic() + cutting_s
    while time.monotonic() < until_s:
        stream.add(2)
        peak = max(peak, stream.sessions())
        time.sleep(0.1)
    network.weather = proxy.Weather(latency_s=0.01, drip_bytes=1_400)
    stream.add(5)
    until_finished(stream, 1, what="a run ends over a line that drips")
    network.weather = proxy.Weather()
    resets = network.reset_all()
    stream.add(5)
    after_reset_s = until_finished(stream, 1, what="a run ends after the reset")
    network.black_hole()
    stream.add(10)
    time.sleep(hole_s)
    network.heal()
    after_hole_s = until_finished(stream, 5, what="runs end after the black hole")
    # Two minutes of cuts offer more than is done meanwhile, and the hole a minute later keeps it all waiting.
    runs = site.ended(*stream.run_ids, timeout_s=programs.WAIT_S * figures.scaled(short=1, full=10))
    site.until_quiet()
    # A session that its worker gave up is there until the server looks at its line.
    most = WORKERS * SESSIONS_OF_ONE
    programs.until(lambda: stream.sessions() <= most, what="no more sessions are left than workers may have")
    left = stream.sessions()

    paid = provider.payments_by_seed()
    wanted = {10 * n + k: 1 for n in range(len(runs)) for k in range(3)}
    figures.note(
        "B10 network", seed=network.seed, runs=len(runs), lost=sum(run.state != "succeeded" for run in runs),
        duplicate_payments=sum(paid.values()) - len(wanted), commits_cut=network.cuts, resets=resets, hole_s=hole_s,
        back_after_reset_s=after_reset_s, back_after_hole_s=after_hole_s, sessions_peak=peak, sessions_left=left,
        sessions_max=most,
    )  # fmt: skip
    assert [run.output for run in runs] == [[10 * n + k for k in range(3)] for n in range(len(runs))]
    assert paid == wanted
    assert network.cuts > 0
    assert left <= most
    assert after_hole_s <= BACK_WITHIN_S
    assert all(worker.is_up() for worker in workers)
