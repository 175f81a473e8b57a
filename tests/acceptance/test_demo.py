"""The main job: `heddle demo` makes finished pictures from photographs, also when something is killed in the middle."""

import pathlib
from collections.abc import Iterator

import pytest

from examples.product_shoot import photos
from tests.acceptance import program

pytestmark = pytest.mark.slow

DEMO_TIMEOUT_S = 300.0
FEW_PHOTOS = 6
SCENES = 3
# Enough that work is under way everywhere, and little enough that much is left: a photo makes twelve steps and more.
STEPS_BEFORE_THE_KILL = 20


@pytest.fixture
def installed() -> Iterator[program.Program]:
    with program.installed() as made:
        yield made


@pytest.fixture
def few_photos(installed: program.Program) -> pathlib.Path:
    """Give a folder of a user's own photographs, fewer than the packaged ones."""
    folder = installed.folder / "photos"
    folder.mkdir()
    for photo in photos.packaged_photos()[:FEW_PHOTOS]:
        (folder / f"{photo.name}.jpg").write_bytes(photo.content)
    return folder


def test_demo_then_every_run_succeeds_and_the_pictures_are_there(installed: program.Program) -> None:
    process = installed.start("demo", "--json")
    ended = installed.finish(process, timeout_s=DEMO_TIMEOUT_S)
    summary = ended.json()
    pictures = list((installed.folder / "out").rglob("*.jpg"))
    report = (installed.folder / "out" / "report.html").read_text()

    assert ended.status == 0, ended.err
    assert summary["runs"] == summary["succeeded"] >= 12
    assert summary["pictures"] >= 36
    assert len(pictures) >= 36
    assert summary["paid_twice"] == 0
    assert summary["paid_jobs"] - summary["refunded_jobs"] == summary["paid_steps"] + summary["paid_texts"]
    # One provider died in the middle; at least three were paid.
    assert summary["killed"] == "fal"
    assert len(summary["providers"].split(", ")) >= 3
    # What `at_least_once` leaves behind is charged as reserved, whether or not the provider that died was paid.
    assert float(summary["cost_usd"]) >= float(summary["paid_usd"])
    assert "://" not in report
    assert not installed.dev()


@pytest.mark.parametrize("victim", ["worker-1", "postgres", "replicate", "web"])
def test_demo_when_a_process_is_killed_then_every_run_succeeds_and_nothing_is_paid_twice(
    installed: program.Program, few_photos: pathlib.Path, victim: str
) -> None:
    process = installed.start("demo", "--json", "--photos", str(few_photos))
    installed.wait(lambda: installed.steps_done() >= STEPS_BEFORE_THE_KILL, process=process, what="steps that are done")
    killed = installed.kill(victim)
    installed.wait(
        lambda: installed.dev().get("pids", {}).get(victim) not in (None, killed), process=process, what="a new process"
    )
    ended = installed.finish(process, timeout_s=DEMO_TIMEOUT_S)
    summary = ended.json()

    assert ended.status == 0, ended.err
    assert summary["succeeded"] == FEW_PHOTOS
    assert summary["pictures"] == FEW_PHOTOS * SCENES
    assert summary["paid_twice"] == 0
    assert summary["paid_jobs"] - summary["refunded_jobs"] == summary["paid_steps"] + summary["paid_texts"]
