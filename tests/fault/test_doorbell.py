"""The doorbell only makes things fast: without it work is found by polling, and it comes back by itself."""

import statistics

import pytest

from tests.fault import harness, programs

RUNS = 5
LISTENERS = "application_name = 'heddle-doorbell' and query ilike 'listen%%' and datname = current_database()"


@pytest.fixture(scope="module")
def worker(site: harness.Site) -> programs.Program:
    return site.start_worker("listener", FAULT_COMPUTE="none", HEDDLE_POLL_INTERVAL_S="1")


def start_latency_s(site: harness.Site) -> float:
    taken_s: list[float] = []
    for number in range(RUNS):
        run = site.ended(site.submit("guesses_nothing", number=number))[0]
        assert run.started_at is not None
        taken_s.append((run.started_at - run.created_at).total_seconds())
    return statistics.median(taken_s)


def test_listening_connection_when_killed_then_runs_still_start_and_the_bell_is_heard_again(
    site: harness.Site, worker: programs.Program
) -> None:
    heard_s = start_latency_s(site)

    killed = site.rows(f"select pid, pg_terminate_backend(pid) from pg_stat_activity where {LISTENERS}")
    deaf_s = start_latency_s(site)
    dead = [pid for pid, _ in killed]
    site.until_row(
        f"select count(*) = {len(killed)} from pg_stat_activity where {LISTENERS} and not pid = any(%s)",
        [dead],
        what="the worker listens again",
    )
    again_s = start_latency_s(site)

    print(f"median start {heard_s:.3f} s, just after the loss {deaf_s:.3f} s, after it {again_s:.3f} s")
    assert len(killed) == 1
    assert worker.is_up()
