"""What the tests of our adapters against vendors' twins share: a twin with its faults, an endpoint of ours, a request.

``calling`` gives both sides at once: a twin that listens, and a caller that sends once and polls to the end.
"""

import asyncio
import contextlib
import pathlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from heddle.config import deployment
from heddle.core import settle
from heddle.ports import provider
from heddle.providers import registry
from heddle.store import blobs
from heddle.twins.kit import faults, ledger, options, server
from tests.contract import tenant_artifacts
from tests.twins import invented

POLLS_MAX = 2_000
POLL_S = 0.01
TIMEOUT_S = 20.0
PAID_AND_LOST = (
    faults.RequestFault.HANG,
    faults.RequestFault.CUT,
    faults.RequestFault.WRONG_TYPE,
)


def books(folder: pathlib.Path) -> ledger.Summary:
    return ledger.summarise(folder / "paid.jsonl")


def made(
    adapter: str, url: str, *, secret: str | None = options.DEFAULT_API_KEY, timeout_s: float = 30.0, **settings: Any
) -> provider.Provider:
    """Make an endpoint's adapter, whose callbacks are signed as every twin signs them."""
    endpoint = deployment.Endpoint(
        name="there",
        adapter=adapter,
        url=url,
        scopes=("there",),
        secret=None if secret is None else "env:KEY",
        callback_secret="env:HOOK" if settings.pop("is_called_back", False) else None,
        timeout_s=timeout_s,
        options=settings,
    )
    return registry.build(endpoint, {"KEY": secret or "", "HOOK": options.DEFAULT_WEBHOOK_SECRET})


def request(folder: pathlib.Path, *, asked: Mapping[str, Any], **changes: Any) -> provider.ProviderRequest:
    """Make a request whose artifacts are kept in a folder."""
    store = blobs.FilesystemBlobs(directory=folder / "artifacts", bytes_max=10_000_000, pixels_max=10_000_000)
    usual = {"attempt_id": "att_1", "idempotency_key": "key_1", "model": "relight", "timeout_s": TIMEOUT_S}
    return provider.ProviderRequest(
        input=dict(asked), artifacts=tenant_artifacts.TenantArtifacts(store), **{**usual, **changes}
    )


async def finished(there: provider.Provider, handle: str, wanted: provider.ProviderRequest) -> settle.Outcome:
    """Ask after an accepted job until it has ended, as the engine would, a bounded number of times."""
    for _ in range(POLLS_MAX):
        outcome = await there.poll(handle, wanted)
        if not isinstance(outcome, settle.StillRunning):
            return outcome
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"{handle} did not end in {POLLS_MAX} polls")


def running(kind: type[server.Twin], folder: pathlib.Path, **plan: Any) -> server.Running:
    """A twin with these rates and other parts of a plan."""
    return server.Running(kind(invented.given(folder, **plan)))


class Caller:
    """One endpoint of ours, and the twin that it leads to."""

    def __init__(self, folder: pathlib.Path, there: provider.Provider, twin: server.Twin) -> None:
        self.provider = there
        self.twin = twin
        self._folder = folder

    def request(self, asked: Mapping[str, Any], **changes: Any) -> provider.ProviderRequest:
        return request(self._folder, asked=asked, **changes)

    async def to_the_end(self, wanted: provider.ProviderRequest) -> settle.Outcome:
        """Send once, and ask after an accepted job until it has ended."""
        outcome = await self.provider.send(wanted)
        return await self.ended(outcome.handle, wanted) if isinstance(outcome, settle.Accepted) else outcome

    async def ended(self, handle: str, wanted: provider.ProviderRequest) -> settle.Outcome:
        return await finished(self.provider, handle, wanted)

    def books(self) -> ledger.Summary:
        return books(self._folder)


@contextlib.asynccontextmanager
async def calling(
    kind: type[server.Twin],
    folder: pathlib.Path,
    plan: Mapping[str, Any] | None = None,
    *,
    path: str = "",
    now_s: Callable[[], float] = time.time,
    **settings: Any,
) -> AsyncIterator[Caller]:
    """A twin with these rates and other parts of a plan, and an endpoint that leads to a path of it.

    ``{url}`` in a setting stands for the twin's address.
    """
    twin = kind(invented.given(folder, **(plan or {})), now_s=now_s)
    async with server.Running(twin) as running:
        filled = {
            key: value.replace("{url}", running.url) if isinstance(value, str) else value
            for key, value in settings.items()
        }
        there = made(twin.name, running.url + path, **filled)
        try:
            yield Caller(folder, there, twin)
        finally:
            await there.close()
