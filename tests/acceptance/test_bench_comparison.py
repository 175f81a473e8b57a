"""The comparison's harness works with Heddle alone: a drain and a killed worker, with nothing lost."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT_S = 400.0


def _run(module: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HEDDLE_", "DJANGO_", "DATABASE_"))
    }
    environment = {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S,
    )  # fmt: skip


@pytest.mark.slow
def test_comparison_when_run_quickly_then_heddle_does_every_job_and_loses_none(tmp_path: pathlib.Path) -> None:
    words = ["--quick", "--rounds", "1", "--only", "heddle", "--workload", "noop", "--workload", "kill"]

    done = _run("bench.peers", [*words, "--name", "smoke", "--results", str(tmp_path)])

    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(next(tmp_path.glob("*-smoke.json")).read_text())["figures"]
    assert figures["heddle.noop.undone"]["median"] == 0
    assert figures["heddle.noop.per_s"]["median"] > 0
    assert figures["heddle.kill.lost"]["median"] == 0


@pytest.mark.slow
def test_backlog_when_run_small_then_full_and_empty_are_compared(tmp_path: pathlib.Path) -> None:
    words = ["--finished", "1000", "--queued", "600", "--drained", "300", "--rounds", "1", "--results", str(tmp_path)]

    done = _run("bench.backlog", words)

    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(next(tmp_path.glob("*-backlog.json")).read_text())["figures"]
    assert figures["backlog_ratio"]["median"] > 0


SHORT = ["--before", "0.1", "--held", "0.1", "--after", "0.1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "words", "figure"),
    [
        ("held_snapshot", ["--rate", "100", *SHORT], "held_ratio.finished_per_s"),
        ("soak", ["--steps", "2000", "--minutes", "0.5"], "steps_per_s"),
        ("levels", ["--levels", "20", "--rounds", "1"], "in_flight_20.ratio"),
    ],
)
def test_long_measurement_when_run_short_then_it_gives_its_figures(
    tmp_path: pathlib.Path, module: str, words: list[str], figure: str
) -> None:
    done = _run(f"bench.{module}", [*words, "--results", str(tmp_path)])

    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(next(tmp_path.glob("*.json")).read_text())["figures"]
    assert figures[figure]["median"] > 0


def test_comparison_when_a_peer_s_environment_is_missing_then_it_is_refused_with_the_command(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.peers import __main__ as command
    from bench.peers import contenders

    monkeypatch.setattr(contenders, "ENVIRONMENTS", tmp_path)

    status = command.main(["--only", "dbos"])

    assert status == 2
    assert "make bench-peers makes it" in capsys.readouterr().err
