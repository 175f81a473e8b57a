"""Take the files out of a provider's output and keep them as artifacts, wherever in it they stand.

A file is a data URL, or a link to where the provider serves files: to the endpoint's own origin or to a host that its
options name. Every other link is a text, so a model's words never make this machine fetch something. This module
refuses to judge what a missing file means for the money. Before it: an adapter with an output. After it: the adapter,
with an output that has references, or with the first file that could not be copied.
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Final

from heddle.core import faults, identity
from heddle.ports import provider
from heddle.providers import fetching, media, transport

_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Hold an output whose files are ours. ``images``: how many of them are images."""

    output: identity.JsonValue
    images: int


class _Stopped(Exception):
    """Carry the first file that was not copied out of the walk over the output."""

    def __init__(self, why: fetching.NotCopied) -> None:
        super().__init__(why.message)
        self.why = why


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Collect the files of one endpoint's outputs. ``hosts``: where files are served, with their subdomains."""

    connections: transport.Transport
    source: fetching.Source
    hosts: tuple[str, ...]

    async def collect(
        self,
        output: identity.JsonValue,
        *,
        artifacts: provider.ArtifactReader,
        left_s: Callable[[], float],
        about: str,
    ) -> Collected | fetching.NotCopied:
        """Copy the files of an output, or give the first that could not be.

        left_s: what is left of the time, in seconds. about: what messages call the output. A second call stores the
        same bytes under the same references.
        """

        async def read(link: str) -> identity.JsonValue:
            found = await fetching.copy(
                link, source=self.source, connections=self.connections, artifacts=artifacts, timeout_s=left_s()
            )
            if isinstance(found, fetching.NotCopied):
                raise _Stopped(dataclasses.replace(found, message=f"{about} is not copied: {found.message}"))
            return found.as_json()

        try:
            taken = await media.taken(output, is_medium=self.is_file, read=read)
        except _Stopped as stopped:
            return stopped.why
        except media.MediaRefused as error:
            message = f"{about} is not copied: {error}"
            return fetching.NotCopied(fault=faults.Fault.BAD_OUTPUT, message=message, is_passing=False)
        return Collected(output=taken, images=media.images_in(taken))

    def is_file(self, text: str) -> bool:
        """Tell whether a text of an output is a file."""
        if media.is_data_url(text):
            return True
        if not text[:8].lower().startswith("http") or not text.isprintable() or " " in text:
            return False
        found = fetching.origin(text)
        if found is None:
            return False
        is_served = any(found[1] == host or found[1].endswith(f".{host}") for host in self.hosts)
        return is_served or fetching.is_same_origin(text, self.source.home)


def host_trouble(hosts: tuple[str, ...]) -> str | None:
    """Tell which of the configured hosts is none, None when all are."""
    wrong = next((host for host in hosts if not _HOST.match(host)), None)
    return None if wrong is None else f"has {wrong!r}; each must be a host's name in lower case"
