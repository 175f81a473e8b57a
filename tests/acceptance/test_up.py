"""`heddle up` as its user sees it: it drains on Ctrl-C, keeps what it was given, does not start when misconfigured."""

import pathlib
import signal
import stat
from collections.abc import Iterator

import pytest

from examples.product_shoot import photos
from tests.acceptance import program

pytestmark = pytest.mark.slow

STOP_TIMEOUT_S = 60.0


@pytest.fixture
def installed() -> Iterator[program.Program]:
    with program.installed() as made:
        yield made


@pytest.fixture
def photo(installed: program.Program) -> pathlib.Path:
    path = installed.folder / "cup.jpg"
    path.write_bytes(photos.packaged_photos()[0].content)
    return path


def test_up_when_stopped_and_started_again_then_runs_and_key_are_still_there(
    installed: program.Program, photo: pathlib.Path
) -> None:
    first = installed.start("up")
    dev = installed.wait_up(first)
    mode = stat.S_IMODE((installed.state_dir / "dev.json").stat().st_mode)
    submitted = installed.run(
        *(
            "runs",
            "submit",
            "product_shoot",
            "--artifact",
            f"photo={photo}",
            "--input",
            '{"scenes": ["pastel studio"]}',
        ),
        *("--watch", "--json"),
        timeout_s=120,
    )
    run = submitted.json()
    well = installed.run("doctor")
    first.send_signal(signal.SIGINT)
    stopped = installed.finish(first, timeout_s=STOP_TIMEOUT_S)
    after = installed.run("runs", "list")
    second = installed.start("up")
    again = installed.wait_up(second)
    listed = installed.run("runs", "list", "--json").json()
    shown = installed.run("runs", "show", run["id"])
    second.send_signal(signal.SIGTERM)
    stopped_again = installed.finish(second, timeout_s=STOP_TIMEOUT_S)

    assert mode == 0o600
    assert set(dev) == {"api_url", "console_url", "gateway_url", "api_key", "pids"}
    assert submitted.status == 0, submitted.err
    assert run["state"] == "succeeded"
    assert len(run["output"]["shots"]) == 1
    assert well.status == 0, well.out
    assert stopped.status == 0
    assert "Heddle has stopped" in stopped.out
    assert after.status == 3
    assert "heddle up" in after.err
    assert again["api_key"] == dev["api_key"]
    assert [item["id"] for item in listed["items"]] == [run["id"]]
    assert shown.status == 0
    assert "succeeded" in shown.out
    assert stopped_again.status == 0


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("HEDDLE_WORKERS", "900", "HEDDLE_WORKERS"),
        ("HEDDLE_WORKRES", "2", "HEDDLE_WORKRES"),
        ("HEDDLE_LEASE_S", "soon", "HEDDLE_LEASE_S"),
        ("HEDDLE_CONFIG_FILE", "nowhere.toml", "HEDDLE_CONFIG_FILE"),
        ("HEDDLE_WORKFLOWS", "nowhere.workflows", "HEDDLE_WORKFLOWS"),
        ("DATABASE_URL", "mysql://127.0.0.1/heddle", "DATABASE_URL"),
        ("DATABASE_URL", "postgresql://127.0.0.1:1/heddle", "DATABASE_URL"),
    ],
)
def test_up_when_a_setting_is_wrong_then_it_does_not_start_and_one_sentence_names_it(
    installed: program.Program, variable: str, value: str, named: str
) -> None:
    refused = installed.run("up", environ={variable: value})

    lines = [line for line in refused.err.splitlines() if line.strip()]
    assert refused.status in (2, 3)
    assert len(lines) == 1
    assert lines[0].startswith("heddle: ")
    assert named in lines[0]
    assert not installed.dev()


def test_up_when_the_deployment_file_is_wrong_then_one_sentence_names_file_table_and_key(
    installed: program.Program,
) -> None:
    (installed.folder / "heddle.toml").write_text(
        '[endpoints.paint]\nadapter = "http"\nurl = "http://127.0.0.1:1"\nscops = ["a"]\n'
    )

    refused = installed.run("up")

    assert refused.status == 2
    assert "[endpoints.paint] scops" in refused.err
