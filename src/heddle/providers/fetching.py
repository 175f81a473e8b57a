"""Copy results into our own artifacts before the provider deletes them: one link, or all files of an output.

A link is a stranger's word. It is followed once, without redirects, to the public internet only, and without our
credential; only a link of the endpoint's own origin, which is the operator's own address, may lead anywhere and is
given the credential. A data URL is decoded in place. In an output, a file is a data URL, or a link to where the
provider serves files: the endpoint's own origin, or a host that its options name. Every other link is a text, so a
model's words never make this machine fetch something. This module refuses to judge what a failure means for the money:
``NotCopied`` says whether asking again may still bring the result, and the adapter decides. Before it: an adapter with
an answer in hand. After it: ``settle.Completed`` with references.
"""

import base64
import binascii
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib import parse

from heddle.core import artifact, faults, identity
from heddle.ports import blobs, provider
from heddle.providers import media, statuses, transport

MEDIUM_BYTES_MAX: Final = 1024**3  # the artifact storage stops earlier, at ``artifact_bytes_max``
LINK_CHARACTERS_MAX: Final = 4_096
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")
_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})
_UNTYPED: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})  # the last is what S3 says
# What a refused write says of bytes that were too few, not of a wrong kind: they may arrive whole the next time.
_MAY_COME_WHOLE: Final = frozenset({"truncated", "empty"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NotCopied:
    """Say why a result is not in our artifacts. ``is_passing``: it is still there, and asking again may bring it."""

    fault: faults.Fault
    message: str
    is_passing: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Say for whom links are followed.

    ``home``: the endpoint's configured address. ``headers``: our credential there, sent to no other origin.
    ``bytes_max``: the largest result.
    """

    home: str
    headers: Mapping[str, str]
    bytes_max: int = MEDIUM_BYTES_MAX


def origin(url: str) -> tuple[str, str, int] | None:
    """Give scheme, host and port of an http(s) address; None when it is none or names a user (RFC 6454, section 4)."""
    try:
        parts = parse.urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        return None
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)


def is_same_origin(url: str, home: str) -> bool:
    """Tell whether two addresses have one origin. An address that is none has no origin and equals no other."""
    found = origin(url)
    return found is not None and found == origin(home)


async def copy(
    link: str,
    *,
    source: Source,
    connections: transport.Transport,
    artifacts: provider.ArtifactReader,
    timeout_s: float,
    media_type: str | None = None,
) -> artifact.Artifact | NotCopied:
    """Follow a link and store what it leads to.

    media_type: what the answer claims of the result; the server's own claim counts when this is None. Sends one
    request, or none for a data URL. A second call stores the same bytes under the same reference. Never raises for what
    the outside does.
    """
    if link[:5].lower() == "data:":
        return await _copy_inline(link, artifacts=artifacts, media_type=media_type)
    if len(link) > LINK_CHARACTERS_MAX or origin(link) is None:
        return NotCopied(
            fault=faults.Fault.BAD_OUTPUT,
            message=f"the result's link is no http address of at most {LINK_CHARACTERS_MAX} characters",
            is_passing=False,
        )
    is_home = is_same_origin(link, source.home)
    call = transport.Call(
        method="GET",
        url=link,
        headers=source.headers if is_home else {},
        timeout_s=timeout_s,
        is_repeatable=True,
        reply_bytes_max=source.bytes_max,
        is_public_only=not is_home,
    )
    async with connections.open(call) as opened:
        if not isinstance(opened, transport.Opened):
            if opened.cause is transport.Cause.INSIDE:
                return NotCopied(fault=faults.Fault.BAD_OUTPUT, message=opened.message, is_passing=False)
            return _passing(opened.message)
        if opened.status != 200:
            return _refused(opened.status)
        return await _store(opened, artifacts=artifacts, media_type=media_type)


async def store(
    opened: transport.Opened, *, artifacts: provider.ArtifactReader, media_type: str | None = None
) -> artifact.Artifact | NotCopied:
    """Store the body of an answer with status 200 that an adapter has asked for itself."""
    assert opened.status == 200
    return await _store(opened, artifacts=artifacts, media_type=media_type)


async def _store(
    opened: transport.Opened, *, artifacts: provider.ArtifactReader, media_type: str | None
) -> artifact.Artifact | NotCopied:
    served = transport.media_type(opened.headers)
    if served in _PAGES:
        return _passing("a page came where the result was to be")
    claimed = media_type or (None if served in _UNTYPED else served)
    try:
        return await artifacts.write(opened.chunks, media_type=claimed)
    except transport.BodyLost as error:
        if error.lost.cause is transport.Cause.TOO_LARGE:
            return NotCopied(fault=faults.Fault.TOO_LARGE, message=error.lost.message, is_passing=False)
        return _passing(error.lost.message)
    except OSError as error:
        return _passing(f"the artifact storage could not keep it: {error}")
    except blobs.BlobRefused as error:
        return _not_kept(error, may_come_whole=True)


async def _copy_inline(
    link: str, *, artifacts: provider.ArtifactReader, media_type: str | None
) -> artifact.Artifact | NotCopied:
    match = media.DATA_URL.match(link)
    try:
        if match is None:
            raise ValueError("the result's data URL is not in base64")
        data = base64.b64decode(link[match.end() :], validate=True)
        return await artifacts.write(data, media_type=media_type or (match[1].lower() if match[1] else None))
    except blobs.BlobRefused as error:
        return _not_kept(error, may_come_whole=False)
    except OSError as error:
        return _passing(f"the artifact storage could not keep it: {error}")
    except (ValueError, binascii.Error) as error:
        message = f"the result's data URL cannot be read: {str(error)[:120]}"
        return NotCopied(fault=faults.Fault.BAD_OUTPUT, message=message, is_passing=False)


def _refused(status: int) -> NotCopied:
    """Judge a status: what is gone or forbidden stays so, a redirect is refused, the rest may pass."""
    is_passing = status in (404, 408, 425, 429) or status >= 500  # storage shows new files a little late
    fault = statuses.fault_of(status) if is_passing else faults.Fault.BAD_OUTPUT
    return NotCopied(fault=fault, message=f"the result's link answered {status}", is_passing=is_passing)


def _passing(message: str) -> NotCopied:
    return NotCopied(fault=faults.Fault.SENT_UNKNOWN, message=message, is_passing=True)


def _not_kept(error: blobs.BlobRefused, *, may_come_whole: bool) -> NotCopied:
    fault = faults.Fault.TOO_LARGE if error.code == "too_large" else faults.Fault.BAD_OUTPUT
    return NotCopied(
        fault=fault,
        message=f"the result was not stored ({error.code}): {error}",
        is_passing=may_come_whole and error.code in _MAY_COME_WHOLE,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Hold an output whose files are ours. ``images``: how many of them are images."""

    output: identity.JsonValue
    images: int


class _Stopped(Exception):
    """Carry the first file that was not copied out of the walk over the output."""

    def __init__(self, why: NotCopied) -> None:
        super().__init__(why.message)
        self.why = why


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Collect the files of one endpoint's outputs. ``hosts``: where files are served, with their subdomains."""

    connections: transport.Transport
    source: Source
    hosts: tuple[str, ...]

    async def collect(
        self,
        output: identity.JsonValue,
        *,
        artifacts: provider.ArtifactReader,
        left_s: Callable[[], float],
        about: str,
    ) -> Collected | NotCopied:
        """Copy the files of an output, or give the first that could not be.

        left_s: what is left of the time, in seconds. about: what messages call the output. A second call stores the
        same bytes under the same references.
        """

        async def read(link: str) -> identity.JsonValue:
            found = await copy(
                link, source=self.source, connections=self.connections, artifacts=artifacts, timeout_s=left_s()
            )
            if isinstance(found, NotCopied):
                raise _Stopped(dataclasses.replace(found, message=f"{about} is not copied: {found.message}"))
            return found.as_json()

        try:
            taken = await media.taken(output, is_medium=self.is_file, read=read)
        except _Stopped as stopped:
            return stopped.why
        except media.MediaRefused as error:
            message = f"{about} is not copied: {error}"
            return NotCopied(fault=faults.Fault.BAD_OUTPUT, message=message, is_passing=False)
        return Collected(output=taken, images=media.images_in(taken))

    def is_file(self, text: str) -> bool:
        """Tell whether a text of an output is a file."""
        if media.is_data_url(text):
            return True
        if not text[:8].lower().startswith("http") or not text.isprintable() or " " in text:
            return False
        found = origin(text)
        if found is None:
            return False
        is_served = any(found[1] == host or found[1].endswith(f".{host}") for host in self.hosts)
        return is_served or is_same_origin(text, self.source.home)


def host_trouble(hosts: tuple[str, ...]) -> str | None:
    """Tell which of the configured hosts is none, None when all are."""
    wrong = next((host for host in hosts if not _HOST.match(host)), None)
    return None if wrong is None else f"has {wrong!r}; each must be a host's name in lower case"
