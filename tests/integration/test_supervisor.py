"""The supervisor: order, restarts, giving up, draining, and nobody left behind."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from heddle.service import supervisor

FAST = supervisor.RestartPolicy(backoff_min_s=0.01, backoff_max_s=0.05, deaths_max=3, window_s=60)
PATIENCE_S = 30.0
WAITING = "exec sleep 600"
STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.05; done"
WITH_GRANDCHILD = 'sleep 600 & echo $! > "$0.grandchild"; echo up; wait'
OUR_OWN_PROGRAM = """
import os, pathlib, sys
from heddle.service import supervisor
folder = pathlib.Path(sys.argv[1])
def spec(name, script):
    return supervisor.ChildSpec(
        name=name, argv=["/bin/sh", "-c", script, str(folder / name)], env=dict(os.environ),
        log_path=folder / f"{name}.log", stop_timeout_s=0.5,
    )
children = [spec("quiet", "exec sleep 600"), spec("stubborn", sys.argv[2]), spec("parent", sys.argv[3])]
with supervisor.Supervisor(children=children, tell=lambda line: print(line, flush=True)) as watched:
    watched.start()
    print("pids", *watched.pids().values(), flush=True)
    print(watched.run().value, flush=True)
"""


class Told:
    """The lines a supervisor told, with a way to wait for one."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        """Note a line."""
        self.lines.append(line)

    def has(self, words: str) -> bool:
        """Say whether a line with these words was told."""
        return any(words in line for line in self.lines)

    def count(self, words: str) -> int:
        """Count lines with these words."""
        return sum(words in line for line in self.lines)


def test_start_when_children_have_readiness_then_each_waits_for_the_one_before(tmp_path: pathlib.Path) -> None:
    told = Told()
    first = _spec("first", f"sleep 0.1; touch {tmp_path}/ready; {WAITING}", ready=(tmp_path / "ready").exists)
    with supervisor.Supervisor(children=[first, _spec("second", WAITING)], tell=told) as watched:
        watched.start()
        pids = watched.pids()

    events = [line.partition(" (")[0] for line in told.lines]
    assert events[:3] == ["first: started", "first: ready", "second: started"]
    assert events[3:] == [
        "second: stopping",
        "second: was ended by SIGTERM",
        "first: stopping",
        "first: was ended by SIGTERM",
    ]
    assert not any(_is_alive(pid) for pid in pids.values())


def test_start_when_a_child_is_never_ready_then_all_is_stopped_and_the_message_names_it() -> None:
    stuck = _spec("stuck", WAITING, ready=lambda: False, ready_timeout_s=0.2)
    with supervisor.Supervisor(children=[_spec("fine", WAITING), stuck], tell=Told()) as watched:
        with pytest.raises(supervisor.SupervisorError, match="stuck"):
            watched.start()

        assert watched.pids() == {}


def test_run_when_a_child_is_killed_then_it_is_started_again() -> None:
    told = Told()
    with supervisor.Supervisor(children=[_spec("worker", WAITING)], policy=FAST, tell=told) as watched:
        watched.start()
        before = watched.pids()["worker"]
        os.kill(before, signal.SIGKILL)

        ending = watched.run(until=lambda: told.count("worker: started") == 2)

    assert ending is supervisor.Ending.STOPPED
    assert told.has("worker: was ended by SIGKILL; starts again in 0.0 s")


def test_run_when_a_child_keeps_dying_then_it_gives_up_and_stops_the_others() -> None:
    told = Told()
    children = [_spec("fine", WAITING), _spec("broken", "exit 3")]
    with supervisor.Supervisor(children=children, policy=FAST, tell=told) as watched:
        watched.start()
        ending = watched.run()

        assert watched.pids() == {}

    assert ending is supervisor.Ending.GAVE_UP
    assert told.count("broken: started") == FAST.deaths_max + 1
    assert told.has("gave up after 4 deaths in 60 s")
    assert told.has("fine: was ended by SIGTERM")


def test_run_when_a_program_does_not_exist_then_its_log_says_so(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "logs" / "missing.log"
    child = supervisor.ChildSpec(name="missing", argv=["/no/such/program"], env={}, log_path=log)
    with supervisor.Supervisor(children=[child], policy=FAST, tell=Told()) as watched:
        watched.start()
        ending = watched.run()

    assert ending is supervisor.Ending.GAVE_UP
    assert "/no/such/program" in log.read_text()


def test_run_when_every_child_may_finish_and_has_then_it_returns() -> None:
    with supervisor.Supervisor(children=[_spec("task", "exit 0", may_finish=True)], tell=Told()) as watched:
        watched.start()

        assert watched.run() is supervisor.Ending.FINISHED


def test_stop_when_a_child_ignores_its_signal_then_it_is_killed_after_its_timeout(tmp_path: pathlib.Path) -> None:
    told = Told()
    log = tmp_path / "stubborn.log"
    child = _spec("stubborn", STUBBORN, stop_timeout_s=0.2, log_path=log, ready=lambda: _is_up(log))
    with supervisor.Supervisor(children=[child], tell=told) as watched:
        watched.start()
        watched.stop()

    assert told.count("is killed") == 1
    assert told.has("stubborn: was ended by SIGKILL")


def test_stop_when_children_share_a_stage_then_they_are_asked_together() -> None:
    told = Told()
    children = [_spec("database", WAITING), _spec("a", WAITING, stage="workers"), _spec("b", WAITING, stage="workers")]
    with supervisor.Supervisor(children=children, tell=told) as watched:
        watched.start()
        watched.stop()

    stops = [line.partition(" (")[0] for line in told.lines if "started" not in line]
    assert stops[:2] == ["b: stopping", "a: stopping"]
    assert stops[-2:] == ["database: stopping", "database: was ended by SIGTERM"]


def test_run_when_a_child_dies_then_what_it_started_dies_with_it(tmp_path: pathlib.Path) -> None:
    told = Told()
    log = tmp_path / "parent.log"
    argv = ["/bin/sh", "-c", WITH_GRANDCHILD, str(tmp_path / "parent")]
    child = supervisor.ChildSpec(
        name="parent", argv=argv, env=dict(os.environ), log_path=log, ready=lambda: _is_up(log)
    )
    with supervisor.Supervisor(children=[child], policy=FAST, tell=told) as watched:
        watched.start()
        grandchild = int((tmp_path / "parent.grandchild").read_text())
        os.kill(watched.pids()["parent"], signal.SIGKILL)
        watched.run(until=lambda: told.has("starts again"))

    _await(lambda: not _is_alive(grandchild))


def test_run_when_a_service_is_gone_then_it_is_mended() -> None:
    told = Told()
    alive = [False]

    def mend() -> None:
        alive[0] = True

    service = supervisor.ServiceSpec(name="database", is_alive=lambda: alive[0], mend=mend)
    with supervisor.Supervisor(children=[], services=[service], policy=FAST, tell=told) as watched:
        watched.run(until=lambda: alive[0])

    assert told.lines == ["database: is gone; starting it again", "database: is back"]


def test_run_when_a_service_cannot_be_mended_then_it_gives_up_and_says_why() -> None:
    told = Told()

    def mend() -> None:
        raise OSError("the disk is full")

    service = supervisor.ServiceSpec(name="database", is_alive=lambda: False, mend=mend)
    with supervisor.Supervisor(children=[], services=[service], policy=FAST, tell=told) as watched:
        ending = watched.run()

    assert ending is supervisor.Ending.GAVE_UP
    assert told.has("database: could not be started: the disk is full")


def test_run_when_something_outside_hinders_a_service_then_it_waits_and_does_not_give_up() -> None:
    told = Told()
    looks = [0]
    alive = [False]

    def hindrance() -> str | None:
        looks[0] += 1
        return "the disk is full" if looks[0] <= FAST.deaths_max + 2 else None

    def mend() -> None:
        alive[0] = True

    service = supervisor.ServiceSpec(name="database", is_alive=lambda: alive[0], mend=mend, hindrance=hindrance)
    with supervisor.Supervisor(children=[], services=[service], policy=FAST, tell=told) as watched:
        ending = watched.run(until=lambda: alive[0])

    assert ending is supervisor.Ending.STOPPED
    assert told.has("database: is gone and waits: the disk is full")
    assert told.has("database: is back")


def test_run_when_another_thread_asks_then_it_drains() -> None:
    told = Told()
    with supervisor.Supervisor(children=[_spec("worker", WAITING)], tell=told) as watched:
        watched.start()
        threading.Timer(0.05, watched.request_stop).start()

        assert watched.run() is supervisor.Ending.STOPPED

    assert told.has("worker: was ended by SIGTERM")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_program_when_it_gets_a_signal_then_it_drains_and_ends(tmp_path: pathlib.Path, number: signal.Signals) -> None:
    program, pids = _start_program(tmp_path)
    program.send_signal(number)
    output, _ = program.communicate(timeout=PATIENCE_S)

    assert program.returncode == 0
    assert output.splitlines()[-1] == "stopped"
    assert not any(_is_alive(pid) for pid in pids)


def test_program_when_it_is_killed_then_no_child_or_grandchild_survives(tmp_path: pathlib.Path) -> None:
    program, pids = _start_program(tmp_path)
    _await(lambda: _is_up(tmp_path / "parent.log") and _is_up(tmp_path / "stubborn.log"))
    grandchild = int((tmp_path / "parent.grandchild").read_text())
    program.kill()
    program.communicate(timeout=PATIENCE_S)

    _await(lambda: not any(_is_alive(pid) for pid in [*pids, grandchild]))


def test_policy_when_deaths_follow_each_other_then_waits_double_up_to_the_maximum() -> None:
    policy = supervisor.RestartPolicy()

    waits_s = [policy.backoff_s(deaths) for deaths in range(1, 8)]

    assert waits_s == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def _spec(
    name: str,
    script: str,
    *,
    ready: Callable[[], bool] | None = None,
    ready_timeout_s: float = PATIENCE_S,
    stop_timeout_s: float = PATIENCE_S,
    log_path: pathlib.Path | None = None,
    stage: str | None = None,
    may_finish: bool = False,
) -> supervisor.ChildSpec:
    return supervisor.ChildSpec(
        name=name,
        argv=["/bin/sh", "-c", script],
        env=dict(os.environ),
        ready=ready,
        ready_timeout_s=ready_timeout_s,
        stop_timeout_s=stop_timeout_s,
        log_path=log_path,
        stage=stage,
        may_finish=may_finish,
    )


def _start_program(folder: pathlib.Path) -> tuple[subprocess.Popen[str], list[int]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", OUR_OWN_PROGRAM, str(folder), STUBBORN, WITH_GRANDCHILD]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert program.stdout is not None
    for line in program.stdout:
        if line.startswith("pids "):
            return program, [int(word) for word in line.split()[1:]]
    raise AssertionError(f"The program ended with {program.wait()} before it had started its children.")


def _is_up(log: pathlib.Path) -> bool:
    return log.exists() and "up" in log.read_text()


def _is_alive(pid: int) -> bool:
    """Say whether a process runs; one that nobody has reaped yet does not."""
    try:
        os.kill(pid, 0)
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not pathlib.Path("/proc").is_dir()
    return state != "Z"


def _await(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
