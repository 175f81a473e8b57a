"""A vendor's environment is asked for by name, and is not taken for current once its lock file has changed."""

import pathlib

import pytest

from tests import programs
from tests.vendors import environments


@pytest.fixture(autouse=True)
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    return tmp_path


def stamp(folder: pathlib.Path, *, lock: str) -> None:
    place = folder / "runpod" / environments.STAMP
    place.parent.mkdir(exist_ok=True)
    place.write_text(lock)


@pytest.mark.parametrize("suffix", ["in", "txt"])
def test_names_then_each_has_what_is_asked_for_and_its_lock_file(suffix: str) -> None:
    found = pathlib.Path(__file__).parent.glob(f"requirements-*.{suffix}")

    assert sorted(path.stem.removeprefix("requirements-") for path in found) == sorted(environments.NAMES)


def test_environment_when_missing_then_the_skip_names_it_and_the_command() -> None:
    told = programs.refusal("vendors/runpod")

    assert told is not None
    assert ".vendors/runpod" in told
    assert told.endswith("-m tests.vendors.environments runpod")


def test_environment_when_made_from_another_lock_file_then_it_is_missing(folder: pathlib.Path) -> None:
    stamp(folder, lock="another")

    assert programs.refusal("vendors/runpod") is not None


def test_environment_when_made_from_this_lock_file_then_it_is_there(folder: pathlib.Path) -> None:
    stamp(folder, lock=environments.digest("runpod"))

    assert programs.refusal("vendors/runpod") is None
