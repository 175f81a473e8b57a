"""Artifact storage is not kept busy by a picture of crumbs, and leaves nothing behind on a full disk."""

import pathlib
import resource

import pytest

from heddle.store import blobs, media
from tests.contract.test_blobs import files_of, store

__all__ = ["store"]


@pytest.mark.parametrize(
    ("media_type", "crumbs"),
    [
        ("image/jpeg", b"\xff\xd8" + 1_100_000 * b"\xff\xe0\0\2"),
        ("image/gif", b"GIF89a" + 7 * b"\0" + b"\x21\xfe" + 1_100_000 * b"\1x"),
        ("image/gif", b"GIF89a" + 7 * b"\0" + 1_100_000 * b"\x21\xfe\0"),
    ],
    ids=["jpeg", "gif", "gif of empty blocks"],
)
def test_picture_when_made_of_crumbs_then_refused_before_its_end(media_type: str, crumbs: bytes) -> None:
    with pytest.raises(media.NotWhole, match="more parts"):
        media.picture_size(media_type, memoryview(crumbs))


def test_is_empty_when_the_folder_is_not_there_then_it_is_till_a_tenant_has_something(
    store: blobs.FilesystemBlobs, tmp_path: pathlib.Path
) -> None:
    before = store.is_empty_sync()
    assert store.check_sync() is None
    checked = store.is_empty_sync()
    store.write_sync(tenant="acme", chunks=[b"hello"], claimed_media_type=None)

    assert (before, checked, store.is_empty_sync()) == (True, True, False)


def test_discard_when_the_disk_is_full_then_nothing_stays(store: blobs.FilesystemBlobs, tmp_path: pathlib.Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
        with pytest.raises(OSError, match="File too large"):
            store.write_sync(tenant="acme", chunks=[b"x" * 4_000, b"x" * 4_000], claimed_media_type=None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert files_of(tmp_path / "artifacts") == []
