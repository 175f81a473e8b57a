"""``heddle twin`` serves until it is stopped, and what was paid for survives its death."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import openai
import pytest

from heddle.twins.kit import ledger, options

START_S = 30.0


def start(folder: pathlib.Path, *arguments: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start a twin and give its address, which it writes once it listens."""
    port_file = folder / "port"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "heddle.cli", "twin", "openai", "--ledger", str(folder / "paid.jsonl")]
    process = subprocess.Popen([*command, "--port-file", str(port_file), "--latency-ms", "10", *arguments])
    deadline_s = time.monotonic() + START_S
    while not port_file.exists():
        assert process.poll() is None, "the twin ended before it listened"
        assert time.monotonic() < deadline_s, "the twin does not listen"
        time.sleep(0.05)
    return process, f"http://127.0.0.1:{port_file.read_text().strip()}/v1"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_twin_when_killed_and_started_again_then_the_paid_job_is_there(tmp_path: pathlib.Path) -> None:
    process, url = start(tmp_path)
    client = openai.OpenAI(base_url=url, api_key=options.DEFAULT_API_KEY)
    job = client.videos.create(model="sora-2", prompt="steam")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)

    process, url = start(tmp_path)
    again = openai.OpenAI(base_url=url, api_key=options.DEFAULT_API_KEY).videos.retrieve(job.id)
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=10) == 0
    assert again.prompt == "steam"
    assert ledger.summarise(tmp_path / "paid.jsonl").paid == 1


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["--rate", "cut=2"], {}, "from 0 to 1"),
        (["--rate", "mood=1"], {}, "mood"),
        ([], {options.WEBHOOK_SECRET_VARIABLE: "whsec_x"}, options.WEBHOOK_SECRET_VARIABLE),
    ],
)
def test_twin_when_an_option_is_wrong_then_one_sentence_and_status_2(
    arguments: list[str], environment: dict[str, str], expected: str, tmp_path: pathlib.Path
) -> None:
    command = [sys.executable, "-m", "heddle.cli", "twin", "openai", "--ledger", str(tmp_path / "paid.jsonl")]

    done = subprocess.run(
        [*command, *arguments],
        check=False,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=START_S,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("heddle: ")
    assert expected in done.stderr
