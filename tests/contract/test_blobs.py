"""Artifact storage keeps the promises of its port, on real files."""

import asyncio
import hashlib
import io
import json
import os
import pathlib
import stat
import struct
import zlib
from collections.abc import AsyncIterator, Iterable

import pytest
from PIL import Image

from heddle.core import artifact
from heddle.ports import blobs as port
from heddle.store import blobs

BYTES_MAX = 200_000
PIXELS_MAX = 10_000
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41"
OGG = b"OggS\0\2" + b"\0" * 20
WEBM = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm\x42\x87\x81\x04"


@pytest.fixture
def store(tmp_path: pathlib.Path) -> blobs.FilesystemBlobs:
    return blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=BYTES_MAX, pixels_max=PIXELS_MAX)


async def pieces(data: bytes, *, size_bytes: int = 1_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size_bytes):
        yield data[start : start + size_bytes]


async def write(store: blobs.FilesystemBlobs, data: bytes, claimed: str | None = None) -> artifact.Artifact:
    return await store.write(tenant="acme", chunks=pieces(data), claimed_media_type=claimed)


def files_of(store_directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path.relative_to(store_directory) for path in store_directory.rglob("*") if path.is_file())


def encoded(kind: str, *, size_px: tuple[int, int] = (40, 30), **options: object) -> bytes:
    data = io.BytesIO()
    Image.effect_noise(size_px, 60).convert("RGB").save(data, format=kind, **options)
    return data.getvalue()


def frames() -> bytes:
    """An animated GIF of three frames."""
    data = io.BytesIO()
    pictures = [Image.effect_noise((20, 20), 60 + shade) for shade in range(3)]
    pictures[0].save(data, format="GIF", save_all=True, append_images=pictures[1:])
    return data.getvalue()


PICTURES = {
    "image/png": encoded("PNG"),
    "image/jpeg": encoded("JPEG"),
    "image/webp": encoded("WEBP"),
    "image/gif": frames(),
}
VARIANTS = [
    ("image/jpeg", encoded("JPEG", progressive=True)),
    ("image/jpeg", encoded("JPEG", quality=95, comment="a comment")),
    ("image/jpeg", encoded("JPEG") + MP4 * 10),  # phones append a film to a photo
    ("image/webp", encoded("WEBP", lossless=True)),
    ("image/webp", encoded("WEBP", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00")),
    ("image/gif", encoded("GIF", interlace=1)),
]


async def test_write_when_read_back_then_the_same_bytes_and_reference(store: blobs.FilesystemBlobs) -> None:
    data = os.urandom(150_000)

    reference = await write(store, data)

    assert reference.sha256 == hashlib.sha256(data).hexdigest()
    assert reference.size_bytes == len(data)
    assert await store.stat(tenant="acme", sha256=reference.sha256) == reference
    chunks = [chunk async for chunk in store.read(tenant="acme", sha256=reference.sha256, chunk_bytes=4_096)]
    assert b"".join(chunks) == data
    assert max(map(len, chunks)) == 4_096


async def test_write_when_repeated_then_one_copy_and_the_first_reference(
    store: blobs.FilesystemBlobs, tmp_path: pathlib.Path
) -> None:
    first = await write(store, b"[1, 2]", "application/json")
    second = await write(store, b"[1, 2]", "text/plain")

    assert second == first
    folder = pathlib.Path("acme") / first.sha256[:2]
    assert files_of(tmp_path / "artifacts") == [folder / first.sha256, folder / f"{first.sha256}.json"]


async def test_write_when_many_write_the_same_at_once_then_one_copy(
    store: blobs.FilesystemBlobs, tmp_path: pathlib.Path
) -> None:
    references = await asyncio.gather(*(write(store, PICTURES["image/png"]) for _ in range(8)))

    assert len(set(references)) == 1
    assert len(files_of(tmp_path / "artifacts")) == 2


async def test_read_when_of_another_tenant_then_missing(store: blobs.FilesystemBlobs) -> None:
    reference = await write(store, b"mine")

    with pytest.raises(port.BlobMissing):
        await store.stat(tenant="other", sha256=reference.sha256)
    with pytest.raises(port.BlobMissing):
        await anext(store.read(tenant="other", sha256=reference.sha256))
    with pytest.raises(port.BlobMissing):
        next(iter(store.read_sync(tenant="other", sha256=reference.sha256)))


@pytest.mark.parametrize("sha256", ["", "../../etc/passwd", "0" * 64, "A" * 64, "0" * 63 + "\n", "a" * 64 + ".json"])
async def test_stat_when_the_hash_is_none_then_missing(store: blobs.FilesystemBlobs, sha256: str) -> None:
    with pytest.raises(port.BlobMissing):
        await store.stat(tenant="acme", sha256=sha256)


@pytest.mark.parametrize(
    "tenant", ["../../x", "..", ".", ".incoming", "a/b", "/etc", "Ärger", "ACME", "a\x00b", "x" * 400]
)
async def test_write_when_the_tenant_has_an_odd_name_then_its_files_stay_inside(
    store: blobs.FilesystemBlobs, tmp_path: pathlib.Path, tenant: str
) -> None:
    reference = await store.write(tenant=tenant, chunks=pieces(b"x"), claimed_media_type=None)

    assert await store.stat(tenant=tenant, sha256=reference.sha256) == reference
    inside = tmp_path / "artifacts"
    assert all(len(path.parts) == 3 and path.parts[0].startswith("%") for path in files_of(inside))
    assert [path for path in files_of(tmp_path) if path.parts[0] != inside.name] == []


def test_tenants_when_names_differ_then_their_folders_do_even_without_case() -> None:
    names = ["acme", "ACME", "Acme", "a.b", "a/b", "a%2fb", "%61", "a", "x" * 400, "x" * 401, "%" + "x" * 64]

    folders = {blobs.tenant_folder(name).lower() for name in names}

    assert len(folders) == len(names)
    assert all(len(folder) <= 255 and "/" not in folder and not folder.startswith(".") for folder in folders)


@pytest.mark.parametrize(("media_type", "data"), [*PICTURES.items(), *VARIANTS])
async def test_picture_when_whole_then_sniffed_whatever_is_claimed(
    store: blobs.FilesystemBlobs, media_type: str, data: bytes
) -> None:
    assert (await write(store, data)).media_type == media_type
    assert (await write(store, data, "application/octet-stream")).media_type == media_type
    assert (await write(store, data, f"{media_type.upper()}; q=1")).media_type == media_type


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(("media_type", "data"), [*PICTURES.items(), VARIANTS[0], VARIANTS[3]])
async def test_picture_when_cut_short_then_refused_and_nothing_stays(
    store: blobs.FilesystemBlobs, tmp_path: pathlib.Path, media_type: str, data: bytes, share: float
) -> None:
    with pytest.raises(port.BlobRefused) as refused:
        await write(store, data[: min(len(data) - 1, max(16, int(len(data) * share)))], media_type)

    assert refused.value.code == "truncated"
    assert files_of(tmp_path / "artifacts") == []


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
async def test_picture_when_of_too_many_pixels_then_refused(store: blobs.FilesystemBlobs, kind: str) -> None:
    with pytest.raises(port.BlobRefused) as refused:
        await write(store, encoded(kind, size_px=(101, 100)))

    assert refused.value.code == "too_many_pixels"
    assert "101 x 100" in str(refused.value)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


async def test_picture_when_it_is_a_bomb_then_refused_by_its_header(store: blobs.FilesystemBlobs) -> None:
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")

    with pytest.raises(port.BlobRefused) as refused:
        await write(store, bomb)

    assert refused.value.code == "too_many_pixels"


async def test_picture_when_damaged_then_refused(store: blobs.FilesystemBlobs) -> None:
    data = bytearray(PICTURES["image/png"])
    data[len(data) // 2] ^= 0xFF

    with pytest.raises(port.BlobRefused) as refused:
        await write(store, bytes(data))

    assert refused.value.code == "truncated"


@pytest.mark.parametrize(
    ("data", "claimed", "expected"),
    [
        (MP4, None, "video/mp4"),
        (WEBM, "video/webm", "video/webm"),
        (WEBM, "audio/webm;codecs=opus", "audio/webm"),
        (WEBM, None, "video/webm"),
        (b"RIFF\x04\x00\x00\x00WAVE", "audio/x-wav", "audio/wav"),
        (b"ID3\x04\x00\x00", "audio/mp3", "audio/mpeg"),
        (b"\xff\xfb\x90\x64" + b"\x00" * 400, None, "audio/mpeg"),
        (OGG + b"\x01\x13OpusHead", "audio/opus", "audio/ogg"),
        (OGG + b"\x01\x1e\x01vorbis", None, "audio/ogg"),
        (OGG + b"\x01\x2a\x80theora", None, "application/octet-stream"),
        (b"%PDF-1.7\n", None, "application/pdf"),
        (b'{"a": 1}', "application/json", "application/json"),
        ("grüße".encode(), None, "text/plain"),
        ("grüße".encode(), "text/plain; charset=utf-8", "text/plain"),
        (b"\x00\x01\x02", None, "application/octet-stream"),
        (b"text", "application/octet-stream", "application/octet-stream"),
        ("ü".encode()[:1], None, "application/octet-stream"),
    ],
)
async def test_media_type_when_claimed_and_sniffed_agree_then_taken(
    store: blobs.FilesystemBlobs, data: bytes, claimed: str | None, expected: str
) -> None:
    assert (await write(store, data, claimed)).media_type == expected


@pytest.mark.parametrize(
    ("data", "claimed"),
    [
        (PICTURES["image/png"], "image/jpeg"),
        (PICTURES["image/png"], "text/plain"),
        (b"hello", "image/png"),
        (b"\x89PN", "image/png"),
        (b"<html>", "text/html"),
        (b"<svg>", "image/svg+xml"),
        (b"\xff\xfe\x00", "text/plain"),
        (b"\x00\x00\x00\x18ftypheic", None),
        (b"\x00\x00\x00\x18ftypqt  ", None),
        (b"\x1a\x45\xdf\xa3matroska", None),
        (OGG + b"\x01\x2a\x80theora", "audio/ogg"),
        (OGG + b"\x01\x13OpusHead", "audio/webm"),
        (MP4, "audio/webm"),
        (b"\x00\x01\x02", "audio/webm"),
        (b"\x1a\x45\xdf\xa3matroska", "audio/webm"),
    ],
)
async def test_media_type_when_it_does_not_fit_then_refused_and_nothing_stays(
    store: blobs.FilesystemBlobs, tmp_path: pathlib.Path, data: bytes, claimed: str | None
) -> None:
    with pytest.raises(port.BlobRefused) as refused:
        await write(store, data, claimed)

    assert refused.value.code == "media_type_refused"
    assert files_of(tmp_path / "artifacts") == []


async def test_write_when_too_large_then_refused_before_the_stream_ends(
    store: blobs.FilesystemBlobs, tmp_path: pathlib.Path
) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1_000):
            taken += 50_000
            yield b"x" * 50_000

    with pytest.raises(port.BlobRefused) as refused:
        await store.write(tenant="acme", chunks=endless(), claimed_media_type=None)

    assert refused.value.code == "too_large"
    assert taken <= BYTES_MAX + 400_000
    assert files_of(tmp_path / "artifacts") == []


async def test_write_when_at_the_limit_then_taken(store: blobs.FilesystemBlobs) -> None:
    assert (await write(store, b"x" * BYTES_MAX)).size_bytes == BYTES_MAX


@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""]])
async def test_write_when_empty_then_refused(store: blobs.FilesystemBlobs, chunks: list[bytes]) -> None:
    with pytest.raises(port.BlobRefused) as refused:
        store.write_sync(tenant="acme", chunks=chunks, claimed_media_type=None)

    assert refused.value.code == "empty"


async def test_write_when_the_stream_breaks_then_its_error_comes_through_and_nothing_stays(
    store: blobs.FilesystemBlobs, tmp_path: pathlib.Path
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        raise ConnectionResetError("the upload was cut")

    with pytest.raises(ConnectionResetError):
        await store.write(tenant="acme", chunks=broken(), claimed_media_type=None)

    assert files_of(tmp_path / "artifacts") == []


async def test_write_when_cancelled_then_nothing_stays(store: blobs.FilesystemBlobs, tmp_path: pathlib.Path) -> None:
    reached = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 60_000
        reached.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(store.write(tenant="acme", chunks=stuck(), claimed_media_type=None))
    await reached.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert files_of(tmp_path / "artifacts") == []


async def test_read_when_left_early_then_the_file_is_closed(store: blobs.FilesystemBlobs) -> None:
    reference = await write(store, b"x" * 100_000)
    reading = store.read(tenant="acme", sha256=reference.sha256, chunk_bytes=10)
    await anext(reading)

    await reading.aclose()  # type: ignore[attr-defined]

    with pytest.raises(StopAsyncIteration):
        await anext(reading)


async def test_sync_when_used_by_a_wsgi_door_then_the_same_store(store: blobs.FilesystemBlobs) -> None:
    written = store.write_sync(tenant="acme", chunks=[b"he", b"llo"], claimed_media_type="text/plain")

    assert written == await store.stat(tenant="acme", sha256=written.sha256)
    assert store.stat_sync(tenant="acme", sha256=written.sha256) == written
    chunks: Iterable[bytes] = store.read_sync(tenant="acme", sha256=written.sha256, chunk_bytes=2)
    assert list(chunks) == [b"he", b"ll", b"o"]


async def test_files_when_written_then_nobody_else_may_read_them(
    store: blobs.FilesystemBlobs, tmp_path: pathlib.Path
) -> None:
    await write(store, b"mine")

    for path in (tmp_path / "artifacts").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


async def test_write_when_only_the_description_is_there_then_missing_until_written_anew(
    store: blobs.FilesystemBlobs, tmp_path: pathlib.Path
) -> None:
    """A process killed between the two renames leaves a description without bytes."""
    reference = await write(store, b"hello", "application/json")
    (tmp_path / "artifacts" / "acme" / reference.sha256[:2] / reference.sha256).unlink()

    with pytest.raises(port.BlobMissing):
        await store.stat(tenant="acme", sha256=reference.sha256)
    again = await write(store, b"hello", "text/plain")

    assert again.media_type == "text/plain"
    assert await store.stat(tenant="acme", sha256=reference.sha256) == again


async def test_remove_abandoned_when_a_writer_was_killed_then_its_old_file_goes(
    store: blobs.FilesystemBlobs, tmp_path: pathlib.Path
) -> None:
    await write(store, b"kept")
    torn = tmp_path / "artifacts" / ".incoming" / "torn"
    torn.write_bytes(b"half")
    at_s = torn.stat().st_mtime

    assert store.remove_abandoned(now_s=at_s + 10) == 0
    assert store.remove_abandoned(now_s=at_s + 100_000) == 1
    assert len(files_of(tmp_path / "artifacts")) == 2


async def test_check_when_the_directory_cannot_be_made_then_says_so(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = blobs.FilesystemBlobs(directory=tmp_path / "file" / "artifacts", bytes_max=1_024, pixels_max=1)
    vast = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=2**62, pixels_max=1)
    good = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=1_024, pixels_max=1)

    assert "cannot be written" in (await blocked.check() or "")
    assert "bytes free" in (await vast.check() or "")
    assert await good.check() is None


async def test_description_when_written_then_plain_json(store: blobs.FilesystemBlobs, tmp_path: pathlib.Path) -> None:
    reference = await write(store, b"hello")

    path = tmp_path / "artifacts" / "acme" / reference.sha256[:2] / f"{reference.sha256}.json"

    assert json.loads(path.read_text()) == {"media_type": "text/plain", "size_bytes": 5}
