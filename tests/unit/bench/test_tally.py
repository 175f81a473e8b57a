"""The tally counts what every process did, whoever of them is still running."""

import os
import pathlib
import subprocess
import sys

import pytest

from bench.peers import tally

ROOT = pathlib.Path(__file__).resolve().parents[3]
MARK_AND_WAIT = "from bench.peers import tally; tally.mark(); print('marked', flush=True); input()"


@pytest.fixture
def path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv(tally.VARIABLE, str(tmp_path / "tally"))
    tally.empty()
    return tmp_path / "tally"


def _marker(path: pathlib.Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), tally.VARIABLE: str(path)}
    command = [sys.executable, "-c", MARK_AND_WAIT]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def test_tally_when_nothing_was_done_then_it_is_zero(path: pathlib.Path) -> None:
    assert tally.read() == tally.Count(done=0, first_ns=0, last_ns=0)


def test_tally_when_two_processes_still_run_then_both_are_counted(path: pathlib.Path) -> None:
    markers = [_marker(path), _marker(path)]
    try:
        marked = [marker.stdout.readline() for marker in markers if marker.stdout is not None]
        count = tally.read()
    finally:
        for marker in markers:
            marker.communicate("\n", timeout=10)

    assert marked == ["marked\n", "marked\n"]
    assert count.done == 2
    assert 0 < count.first_ns <= count.last_ns


def test_log_when_a_line_is_not_whole_then_it_is_left_for_later(path: pathlib.Path) -> None:
    log = path.with_suffix(".log")
    log.write_text("start 1 77 1000\nend 1 77 2000\nstart 2")

    found = tally.lines()

    assert [(line.what, line.number, line.pid, line.at_ns) for line in found] == [
        ("start", 1, 77, 1000),
        ("end", 1, 77, 2000),
    ]
