"""`make bench` works: a quick run measures, finds no deadlock and writes both of its files."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT_S = 120.0
MEASURED = ("pure_sql_noop", "noop_steps", "http_steps")


@pytest.mark.slow
def test_bench_when_run_quickly_then_each_figure_is_written_and_no_deadlock_is_counted(tmp_path: pathlib.Path) -> None:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HEDDLE_", "DJANGO_", "DATABASE_"))
    }
    environment = {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    words = ["--quick", "--rounds", "1", "--name", "smoke", "--results", str(tmp_path)]
    chosen = [word for name in MEASURED for word in ("--only", name)]

    done = subprocess.run(
        [sys.executable, "-m", "bench", *words, *chosen],
        check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(next(tmp_path.glob("*-smoke.json")).read_text())["figures"]
    assert figures["noop_steps_per_s"]["median"] > 0
    assert figures["http_steps_per_s"]["median"] > 0
    assert figures["noop_steps_ratio"]["median"] > 0
    assert figures["noop_steps.deadlocks"]["median"] == 0
    assert "noop_steps_per_s" in next(tmp_path.glob("*-smoke.md")).read_text()
