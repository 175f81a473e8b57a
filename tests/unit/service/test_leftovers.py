"""Half-written files of killed processes go, whatever state the storage is in."""

import os
import pathlib

from heddle.service import leftovers
from heddle.store import blobs


def storage(directory: pathlib.Path) -> blobs.FilesystemBlobs:
    return blobs.FilesystemBlobs(directory=directory, bytes_max=1_024, pixels_max=1)


async def test_leftovers_when_a_file_is_older_than_a_day_then_it_goes_and_a_young_one_stays(
    tmp_path: pathlib.Path,
) -> None:
    incoming = tmp_path / ".incoming"
    incoming.mkdir()
    for name in ("old", "young"):
        (incoming / name).write_bytes(b"half")
    os.utime(incoming / "old", (0, 0))

    await leftovers.remove(storage(tmp_path))

    assert [path.name for path in incoming.iterdir()] == ["young"]


async def test_leftovers_when_the_storage_cannot_be_reached_then_it_is_no_error_of_the_worker(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "file").write_text("in the way")

    await leftovers.remove(storage(tmp_path / "file"))

    assert (tmp_path / "file").read_text() == "in the way"
