"""Answer model calls at once and in no order, inside the worker: what is left of a model call is the engine's own cost.

An adapter for measurements alone, made known beside the product's own. It opens no socket, so that limits, slots,
routes and settlement of calls over many endpoints can be measured at rates that no HTTP client reaches on two cores.
"""

import asyncio
import types
from collections.abc import Mapping

from heddle.core import attempt, settle
from heddle.ports import provider
from heddle.providers import registry, transport

NAME = "instant"
SCATTER = 5
SLOTS = 8
SLOT_S = 0.002


class InstantProvider:
    """Give back the input's `n`, 0 to 14 ms later, neighbours far apart."""

    capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.A, is_paid=False)

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._name = config.name

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Answer."""
        number = request.input["n"]
        assert isinstance(number, int)
        await asyncio.sleep(number * SCATTER % SLOTS * SLOT_S)
        return settle.Completed(output=number)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Refuse: nothing is ever accepted here."""
        raise NotImplementedError(f"{self._name} has no jobs")

    async def lookup(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Say that there is no such job."""
        return settle.Absent()

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Say no."""
        return False

    def verify_callback(self, *, headers: Mapping[str, str], body: bytes, now_s: float) -> provider.CallbackEvent:
        """Refuse."""
        raise provider.CallbackRefused("nobody calls back")

    async def check(self) -> str | None:
        """Find nothing wrong."""
        return None

    async def close(self) -> None:
        """Hold nothing."""


def make_known() -> None:
    """Let this process's deployments name the adapter; a second call changes nothing."""
    known = {**registry.ADAPTERS, NAME: InstantProvider}
    vars(registry)["ADAPTERS"] = types.MappingProxyType(known)
