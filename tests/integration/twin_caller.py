"""What the tests of our adapters against vendors' twins share: a caller that sends once and polls to the end."""

import asyncio
import pathlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

from heddle.config import deployment
from heddle.core import settle
from heddle.ports import provider
from heddle.providers import registry
from heddle.store import blobs
from heddle.twins.kit import faults, ledger, options
from tests.contract import tenant_artifacts

POLLS_MAX = 500
POLL_S = 0.02
LATENCY_S = 0.1
PAID_AND_LOST = (
    faults.RequestFault.HANG,
    faults.RequestFault.CUT,
    faults.RequestFault.WRONG_TYPE,
)
REFUSED = (faults.RequestFault.THROTTLED, faults.RequestFault.SERVER_ERROR)


def given(folder: pathlib.Path, **rates: float) -> options.Options:
    """Options of a twin whose faults have these rates."""
    plan = faults.Plan(seed=7, latency_s=LATENCY_S, late_s=0.1, rates=faults.Rates(**rates))
    return options.Options(ledger=folder / "paid.jsonl", plan=plan)


def books(folder: pathlib.Path) -> ledger.Summary:
    return ledger.summarise(folder / "paid.jsonl")


class Caller:
    """One endpoint of ours, with the artifacts of a tenant."""

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        adapter: str,
        url: str,
        secret: str = options.DEFAULT_API_KEY,
        timeout_s: float = 20.0,
        **settings: Any,
    ) -> None:
        store = blobs.FilesystemBlobs(directory=folder / "artifacts", bytes_max=10_000_000, pixels_max=1_000_000)
        self.artifacts = tenant_artifacts.TenantArtifacts(store)
        endpoint = deployment.Endpoint(
            name="there",
            adapter=adapter,
            url=url,
            scopes=("there",),
            secret="env:KEY",
            timeout_s=timeout_s,
            options=settings,
        )
        self.provider = registry.build(endpoint, {"KEY": secret})
        self._timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.provider.close()

    def request(
        self, asked: Mapping[str, Any], *, attempt_id: str = "att_1", **changes: Any
    ) -> provider.ProviderRequest:
        return provider.ProviderRequest(
            attempt_id=attempt_id,
            idempotency_key=f"key_of_{attempt_id}",
            model="relight",
            input=dict(asked),
            timeout_s=changes.pop("timeout_s", self._timeout_s),
            artifacts=self.artifacts,
            **changes,
        )

    async def to_the_end(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Send once, and ask after an accepted job until it has ended."""
        outcome = await self.provider.send(request)
        return await self.ended(outcome.handle, request) if isinstance(outcome, settle.Accepted) else outcome

    async def ended(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        async for outcome in self._polled(handle, request):
            if not isinstance(outcome, settle.StillRunning):
                return outcome
        raise AssertionError(f"still running after {POLLS_MAX} polls")

    async def _polled(self, handle: str, request: provider.ProviderRequest) -> AsyncIterator[settle.Outcome]:
        for _ in range(POLLS_MAX):
            yield await self.provider.poll(handle, request)
            await asyncio.sleep(POLL_S)
