"""A worker that is killed is missed within seconds with the settings as they are shipped; one that was only cut off for
a moment keeps its id and its work.
"""

import pathlib
import signal
import time

import pytest

from tests.fault import figures, harness, programs

# What the product ships; the other fault tests shorten leases so that they wait less.
DEFAULTS = {
    "HEDDLE_LEASE_S": "15",
    "HEDDLE_HEARTBEAT_S": "5",
    "HEDDLE_SESSION_GONE_S": "2",
    "HEDDLE_SEND_WINDOW_S": "8",
    "HEDDLE_SEND_MARGIN_S": "5",
    "HEDDLE_SWEEP_INTERVAL_S": "1",
    "HEDDLE_POLL_INTERVAL_S": "0.5",
    "FAULT_COMPUTE": "none",
}
# The bar of issue 3, point 13; a machine that is busy with other things gets more before the test calls it wrong.
BAR_S = 5.0
SLACK_S = 5.0
NAMED = "select true from heddle_worker where name = %s and state = 'alive' and detail->>'session' is not null"


def is_leading(site: harness.Site, name: str) -> bool:
    query = "select w.name = %s from heddle_leader l join heddle_worker w on w.id = l.holder where l.role = 'sweep'"
    found = site.rows(query, [name])
    return bool(found and found[0][0])


@pytest.mark.parametrize("doomed_leads", [True, False], ids=["the leader", "another"])
def test_worker_when_killed_under_default_settings_then_its_step_runs_elsewhere_within_the_bar(
    site: harness.Site, tmp_path: pathlib.Path, doomed_leads: bool
) -> None:
    site.stop()
    gate = tmp_path / "gate"
    number = 10 + doomed_leads
    first = site.start_worker("first", **DEFAULTS)
    programs.until(lambda: is_leading(site, "first"), what="the first leads")
    if doomed_leads:
        doomed = first
        run_id = site.submit("held_in_loop", number=number, gate=str(gate))
        site.until_traced(f"held.{number}")
        heir = site.start_worker("heir", **DEFAULTS)
    else:
        first.send(signal.SIGSTOP)
        doomed = site.start_worker("doomed", **DEFAULTS)
        run_id = site.submit("held_in_loop", number=number, gate=str(gate))
        site.until_traced(f"held.{number}")
        first.send(signal.SIGCONT)
        heir = first

    # In its first moment: what it holds was claimed after its session was known.
    doomed.kill()
    killed_s = time.monotonic()
    site.until_traced(f"held.{number}", times=2)
    taken_s = time.monotonic() - killed_s
    gate.touch()
    run = site.ended(run_id)[0]

    what = "leader" if doomed_leads else "another"
    figures.note(f"B7 death of {what}", seed=0, resumed_after_kill_s=taken_s, bar_s=BAR_S)
    assert run.output == number + heir.pid * 1_000
    assert taken_s <= BAR_S + SLACK_S


def test_worker_when_its_session_is_ended_then_it_comes_back_before_it_is_missed(
    site: harness.Site, tmp_path: pathlib.Path
) -> None:
    site.stop()
    # On a busy machine a new session may take longer than the two seconds of the defaults; it must not take a lease.
    patient = {**DEFAULTS, "HEDDLE_SESSION_GONE_S": "10"}
    workers = [site.start_worker(name, **patient) for name in ("one", "two")]
    for worker in workers:
        site.until_row(NAMED, [worker.name], what="its session is known")
    gate = tmp_path / "gate"
    run_id = site.submit("held_in_loop", number=20, gate=str(gate))
    site.until_traced("held.20")

    for _ in range(3):
        query = "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where datname = current_database()"
        assert site.value(f"{query} and application_name = 'heddle-heartbeat'") >= len(workers)
        site.until_row(
            "select count(*) = 2 from heddle_worker w join pg_stat_activity a"
            " on a.pid::text = split_part(w.detail->>'session', '@', 1) where w.state = 'alive'"
            " and w.name in ('one', 'two')",
            what="both have a session again",
        )
    gate.touch()
    run = site.ended(run_id)[0]

    assert run.state == "succeeded"
    assert len(site.traced("held.20")) == 1
    assert not any(worker.said("worker.died") or worker.said("worker.retired") for worker in workers)
