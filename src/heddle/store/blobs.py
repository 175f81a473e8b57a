"""Keep artifacts as files, by tenant and content.

``<directory>/<tenant>/<aa>/<sha256>`` holds the bytes and ``<sha256>.json`` beside it the media type. Bytes stream
into a temporary file on the same file system while they are hashed, counted and looked at; only a whole, allowed and
synced file gets its name, by one rename, and its description before it, so that a reader finds both or neither. This
module decides no access: the caller names the tenant. Before it in the walk: an upload at the doors or a provider's
result. After it: a reference in a journal.
"""

import asyncio
import codecs
import contextlib
import hashlib
import io
import json
import mmap
import os
import pathlib
import re
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from heddle.core import artifact
from heddle.ports import blobs
from heddle.store import media

_HASH: Final = re.compile(r"[0-9a-f]{64}\Z")
_PLAIN_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_\-.]{0,99}\Z")
_TENANT_CHARACTERS_MAX: Final = 200
_INCOMING: Final = ".incoming"  # no tenant's folder: those never begin with a dot
_WRITE_BYTES: Final = 262_144
_CHUNK_BYTES: Final = 65_536
ABANDONED_AFTER_S: Final = 86_400.0


class FilesystemBlobs:
    """Keep artifacts in one directory; see the port for the promises.

    bytes_max and pixels_max bound one artifact. Every worker and web process of a deployment uses the same directory;
    nothing is shared in memory.
    """

    def __init__(self, *, directory: pathlib.Path, bytes_max: int, pixels_max: int) -> None:
        assert bytes_max > 0
        assert pixels_max > 0
        self._directory = directory
        self._bytes_max = bytes_max
        self._pixels_max = pixels_max

    async def write(
        self, *, tenant: str, chunks: AsyncIterator[bytes], claimed_media_type: str | None
    ) -> artifact.Artifact:
        """Store a stream. Raises BlobRefused. Ended early by an error or a cancellation, nothing stays behind."""
        incoming = self._open(tenant, claimed_media_type)
        try:
            pending = bytearray()
            async for chunk in chunks:
                pending += chunk
                if len(pending) >= _WRITE_BYTES:
                    await asyncio.to_thread(incoming.feed, bytes(pending))
                    pending.clear()
            await asyncio.to_thread(incoming.feed, bytes(pending))
            return await asyncio.to_thread(incoming.publish)
        finally:
            # Shielded, so that a cancellation that comes now does not leave the file: the thread finishes either way.
            await asyncio.shield(asyncio.to_thread(incoming.discard))

    def write_sync(self, *, tenant: str, chunks: Iterable[bytes], claimed_media_type: str | None) -> artifact.Artifact:
        """Do what ``write`` does, for callers without a loop."""
        incoming = self._open(tenant, claimed_media_type)
        try:
            for chunk in chunks:
                incoming.feed(chunk)
            return incoming.publish()
        finally:
            incoming.discard()

    async def stat(self, *, tenant: str, sha256: str) -> artifact.Artifact:
        """Tell media type and size. Raises BlobMissing."""
        return await asyncio.to_thread(self.stat_sync, tenant=tenant, sha256=sha256)

    def stat_sync(self, *, tenant: str, sha256: str) -> artifact.Artifact:
        """Do what ``stat`` does, for callers without a loop."""
        path = self._path(tenant, sha256)
        try:
            status = path.stat()
            media_type = json.loads(_description(path).read_text("utf-8"))["media_type"]
        except (FileNotFoundError, ValueError, KeyError):  # a torn description is none
            raise _missing(tenant, sha256) from None
        return artifact.Artifact(sha256=sha256, media_type=media_type, size_bytes=status.st_size)

    async def read(self, *, tenant: str, sha256: str, chunk_bytes: int = _CHUNK_BYTES) -> AsyncIterator[bytes]:
        """Stream the bytes. Raises BlobMissing at the first step."""
        file = await asyncio.to_thread(self._open_stored, tenant, sha256)
        try:
            while chunk := await asyncio.to_thread(file.read, chunk_bytes):
                yield chunk
        finally:
            await asyncio.shield(asyncio.to_thread(file.close))

    def read_sync(self, *, tenant: str, sha256: str, chunk_bytes: int = _CHUNK_BYTES) -> Iterator[bytes]:
        """Do what ``read`` does, for callers without a loop."""
        with self._open_stored(tenant, sha256) as file:
            while chunk := file.read(chunk_bytes):
                yield chunk

    async def check(self) -> str | None:
        """Tell what is wrong with the storage, None when it can be written and has room."""
        return await asyncio.to_thread(self.check_sync)

    def check_sync(self) -> str | None:
        """Do what ``check`` does, for callers without a loop."""
        try:
            folder = self._incoming_folder()
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"heddle")
                probe.flush()
                os.fsync(probe.fileno())
            free_bytes = shutil.disk_usage(folder).free
        except OSError as error:
            return f"the artifact directory {self._directory} cannot be written: {error}"
        if free_bytes < self._bytes_max:
            return f"{self._directory} has {free_bytes} bytes free; one artifact may take {self._bytes_max}"
        return None

    async def is_empty(self) -> bool:
        """Tell whether no tenant has anything here; a directory that is not there is empty. Raises OSError."""
        return await asyncio.to_thread(self.is_empty_sync)

    def is_empty_sync(self) -> bool:
        """Do what ``is_empty`` does, for callers without a loop."""
        try:
            with os.scandir(self._directory) as entries:
                return all(entry.name.startswith(".") or not entry.is_dir() for entry in entries)
        except FileNotFoundError:
            return True

    def remove_abandoned(self, *, now_s: float, older_than_s: float = ABANDONED_AFTER_S) -> int:
        """Remove what killed processes left half-written; give how many files it was. now_s is Unix time."""
        removed = 0
        for path in self._incoming_folder().iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process's sweep, or its writer, was faster
                if now_s - path.stat().st_mtime > older_than_s:
                    path.unlink()
                    removed += 1
        return removed

    def _open(self, tenant: str, claimed_media_type: str | None) -> "Incoming":
        return Incoming(
            folder=self._directory / tenant_folder(tenant),
            temporary_folder=self._directory / _INCOMING,
            claimed_media_type=claimed_media_type,
            bytes_max=self._bytes_max,
            pixels_max=self._pixels_max,
        )

    def _open_stored(self, tenant: str, sha256: str) -> io.BufferedReader:
        try:
            return self._path(tenant, sha256).open("rb")
        except FileNotFoundError:
            raise _missing(tenant, sha256) from None

    def _incoming_folder(self) -> pathlib.Path:
        folder = self._directory / _INCOMING
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _path(self, tenant: str, sha256: str) -> pathlib.Path:
        if not _HASH.match(sha256):
            raise _missing(tenant, sha256)
        return self._directory / tenant_folder(tenant) / sha256[:2] / sha256


class Incoming:
    """Take one file in: hash, count and look at it as it comes, then publish or discard it.

    Used from one thread at a time; the lock only makes a ``discard`` wait for a ``feed`` whose awaiting task was
    cancelled. Nothing touches the disk before the first ``feed``.
    """

    def __init__(
        self,
        *,
        folder: pathlib.Path,
        temporary_folder: pathlib.Path,
        claimed_media_type: str | None,
        bytes_max: int,
        pixels_max: int,
    ) -> None:
        self._folder = folder
        self._temporary_folder = temporary_folder
        self._claimed = media.plain(claimed_media_type)
        self._bytes_max = bytes_max
        self._pixels_max = pixels_max
        self._lock = threading.Lock()
        self._temporary: pathlib.Path | None = None
        self._file: io.BufferedRandom | None = None
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._prefix = b""
        self._text = TextCheck()

    def feed(self, chunk: bytes) -> None:
        """Take the next piece. Raises BlobRefused as soon as there are too many bytes."""
        if not chunk:
            return
        with self._lock:
            if self._size_bytes + len(chunk) > self._bytes_max:
                message = f"an artifact is at most {self._bytes_max} bytes; send a smaller one"
                raise blobs.BlobRefused("too_large", message)
            if self._file is None:
                self._file = self._create_locked()
            self._file.write(chunk)
            self._size_bytes += len(chunk)
            self._digest.update(chunk)
            self._prefix = (self._prefix + chunk[: media.PREFIX_BYTES])[: media.PREFIX_BYTES]
            self._text.feed(chunk)

    def publish(self) -> artifact.Artifact:
        """Judge the whole file and give it its name. Raises BlobRefused. What is there already stays as it is."""
        with self._lock:
            if self._file is None or self._temporary is None:
                raise blobs.BlobRefused("empty", "an artifact has at least one byte; the upload had none")
            self._file.flush()
            media_type = self._media_type_locked()
            self._check_picture_locked(media_type)
            reference = artifact.Artifact(
                sha256=self._digest.hexdigest(), media_type=media_type, size_bytes=self._size_bytes
            )
            path = self._folder / reference.sha256[:2] / reference.sha256
            known = _described(path)
            if known is not None:
                return artifact.Artifact(sha256=reference.sha256, media_type=known, size_bytes=reference.size_bytes)
            os.fsync(self._file.fileno())
            _make_folders(path.parent)
            self._write_description_locked(path, reference)
            self._temporary.replace(path)
            self._temporary = None
            _sync_folder(path.parent)
            return reference

    def discard(self) -> None:
        """Let go of the file and remove what was not published. A second call does nothing."""
        with self._lock:
            if self._file is not None:
                # On a full disk closing fails too, since it writes what is left; nobody wants that any more.
                with contextlib.suppress(OSError):
                    self._file.close()
            if self._temporary is not None:
                self._temporary.unlink(missing_ok=True)
                self._temporary = None

    def _create_locked(self) -> io.BufferedRandom:
        self._temporary_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._temporary_folder)
        self._temporary = pathlib.Path(name)
        return os.fdopen(descriptor, "w+b")

    def _media_type_locked(self) -> str:
        """Bring what was claimed and what the bytes say together; called by publish, which holds the lock."""
        sniffed, claimed = media.sniff(self._prefix), self._claimed
        if claimed is not None and claimed not in media.ACCEPTED:
            raise _refused_type(f"the media type {claimed[:80]!r} is not taken")
        if sniffed is not None and sniffed not in media.ACCEPTED:
            raise _refused_type(f"the bytes are {sniffed}, which is not taken")
        if sniffed is not None:
            if claimed is not None and media.NARROWED.get(claimed) == sniffed:
                return claimed
            if claimed not in (None, "application/octet-stream", sniffed):
                raise _refused_type(f"{claimed} was claimed, but the bytes are {sniffed}")
            return sniffed
        if claimed in media.SNIFFED or claimed in media.NARROWED:
            raise _refused_type(f"{claimed} was claimed, but the bytes are none")
        is_text = self._text.is_text()
        if claimed in ("text/plain", "application/json") and not is_text:
            raise _refused_type(f"{claimed} was claimed, but the bytes are not UTF-8 text")
        return claimed or ("text/plain" if is_text else "application/octet-stream")

    def _check_picture_locked(self, media_type: str) -> None:
        assert self._file is not None
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            try:
                size = media.picture_size(media_type, data)
            except media.NotWhole as error:
                raise blobs.BlobRefused("truncated", f"{error}; send the whole file again") from None
        if size is not None and size.pixels > self._pixels_max:
            extent = f"{size.width_px} x {size.height_px}"
            message = f"a picture is at most {self._pixels_max} pixels, this one is {extent}; send a smaller one"
            raise blobs.BlobRefused("too_many_pixels", message)

    def _write_description_locked(self, path: pathlib.Path, reference: artifact.Artifact) -> None:
        """Write the description before the bytes get their name, by a rename of its own."""
        descriptor, name = tempfile.mkstemp(dir=self._temporary_folder)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"media_type": reference.media_type, "size_bytes": reference.size_bytes}, file)
                file.flush()
                os.fsync(file.fileno())
            pathlib.Path(name).replace(_description(path))
        except BaseException:
            pathlib.Path(name).unlink(missing_ok=True)
            raise


class TextCheck:
    """Tell of a stream of bytes whether it is UTF-8 text without control characters."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_text = True

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        if self._is_text:
            try:
                self._is_text = _CONTROL.search(self._decoder.decode(chunk)) is None
            except UnicodeDecodeError:
                self._is_text = False

    def is_text(self) -> bool:
        """Tell whether all of it was text; asked once, at the end."""
        try:
            self._decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
        return self._is_text


_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def tenant_folder(tenant: str) -> str:
    """Give the folder name of a tenant: its name when that is plain, else an encoding no other name shares.

    Nothing in it leads out of the directory, and no two tenants meet on a file system that ignores case. Raises
    ValueError for an empty name.
    """
    if not tenant:
        raise ValueError("artifacts belong to a tenant; its name is empty")
    if _PLAIN_TENANT.match(tenant):
        return tenant
    encoded = "".join(
        character if character.isascii() and (character.isdigit() or character.islower()) else _escaped(character)
        for character in tenant
    )
    if len(encoded) <= _TENANT_CHARACTERS_MAX:
        return f"%{encoded}"
    return f"%%{hashlib.sha256(tenant.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))


def _described(path: pathlib.Path) -> str | None:
    """Give the media type under which these bytes are kept already, None when they are not."""
    try:
        if not path.is_file():
            return None
        media_type = json.loads(_description(path).read_text("utf-8"))["media_type"]
    except (FileNotFoundError, ValueError, KeyError):
        return None  # a torn description is written anew
    return media_type if isinstance(media_type, str) else None


def _description(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.json")


def _make_folders(folder: pathlib.Path) -> None:
    """Make ``<tenant>/<aa>`` and make their entries durable."""
    for new in (folder.parent, folder):
        with contextlib.suppress(FileExistsError):
            new.mkdir(mode=0o700)
            _sync_folder(new.parent)


def _sync_folder(folder: pathlib.Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _missing(tenant: str, sha256: str) -> blobs.BlobMissing:
    return blobs.BlobMissing(f"the tenant {tenant!r} has no artifact sha256:{sha256[:64]}")


def _refused_type(trouble: str) -> blobs.BlobRefused:
    return blobs.BlobRefused("media_type_refused", f"{trouble}; taken are {', '.join(sorted(media.ACCEPTED))}")
