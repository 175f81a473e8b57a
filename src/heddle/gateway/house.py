"""Hold what every handler of the gateway needs, made once by ``serve``, and find models by the names callers use."""

import asyncio
import dataclasses
import time
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from typing import Protocol, TypeVar

from aiohttp import web

from heddle import client
from heddle.client import predictions
from heddle.config import settings
from heddle.engine import calls
from heddle.engine import parts as parts_module
from heddle.gateway import refusals
from heddle.ports import records
from heddle.providers.openai import operations
from heddle.telemetry import recorder
from heddle.telemetry.catalog import metrics

Answer = TypeVar("Answer")
MODEL_CHARACTERS_MAX = 200


class Threads(Protocol):
    """Ask the synchronous doors from the loop."""

    async def ask(self, work: Callable[[], Answer]) -> Answer:
        """Ask in a thread; what is asked is safe to ask twice."""
        ...


@dataclasses.dataclass(slots=True, kw_only=True)
class House:
    """Reach the client, the engine of this process, and its artifacts. ``held``: requests open at this moment;
    ``is_empty`` is set while there are none. ``port``: where it listens.
    """

    heddle: client.Heddle
    parts: parts_module.Parts
    calls: calls.Calls
    threads: Threads
    limits: settings.Settings
    port: int
    held: int = 0
    is_empty: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def count(self, change: int) -> None:
        """Count a request that opens or closes."""
        self.held += change
        recorder.set(metrics.GATEWAY_HELD, self.held)
        if self.held:
            self.is_empty.clear()
        else:
            self.is_empty.set()

    @property
    def root_url(self) -> str:
        """Give the address under which customers reach this gateway."""
        return self.places.links.root_url

    @property
    def places(self) -> predictions.Places:
        """Give what links and predictions are shown with."""
        limits = self.limits
        public_url = (limits.public_url or f"http://{limits.web_host}:{limits.web_port}").rstrip("/")
        heard = dataclasses.replace(limits, gateway_port=self.port)
        return predictions.places(heard, public_url=public_url, now_s=time.time)

    def models(self) -> Mapping[str, frozenset[str]]:
        """Give every model that has an endpoint, with the adapters behind it."""
        found: dict[str, set[str]] = {}
        for endpoint in self.parts.endpoints.values():
            for model in endpoint.row.models:
                found.setdefault(model, set()).add(endpoint.row.adapter)
        return {model: frozenset(adapters) for model, adapters in sorted(found.items())}

    def takes_responses(self, model: str) -> bool:
        """Tell whether an endpoint behind a model is asked for responses, and not to chat."""
        rows = [endpoint.row for endpoint in self.parts.endpoints.values() if model in endpoint.row.models]
        return any(
            row.adapter == "openai" and row.options.get("operation") == operations.Operation.RESPONSES for row in rows
        )

    def find_model(self, named: object, *, field: str = "model", known: Collection[str] | None = None) -> str:
        """Give our name of a model that a caller named, a configured prefix taken off. Raises Refusal.

        known: those it may be; every model that has an endpoint when None.
        """
        if not isinstance(named, str) or not named:
            raise refusals.invalid(f"{field} must be the name of a model", field=field)
        known = self.models() if known is None else known
        for candidate in self._candidates(named[:MODEL_CHARACTERS_MAX]):
            if candidate in known:
                return candidate
        message = f"The model {named[:MODEL_CHARACTERS_MAX]!r} does not exist; see GET /v1/models."
        raise refusals.Refusal(status=404, code="model_not_found", message=message, field=field, may_repeat=False)

    def _candidates(self, named: str) -> list[str]:
        prefixes = [prefix.strip() for prefix in self.limits.gateway_prefixes.split(",") if prefix.strip()]
        return [named, *(named.removeprefix(f"{prefix}/") for prefix in prefixes if named.startswith(f"{prefix}/"))]

    def find_owned(self, owner: str, name: str) -> str:
        """Give our name of a model that Replicate's shape names by owner and name. Raises Refusal."""
        known = self.models()
        for candidate in (f"{owner}.{name}", name):
            if candidate in known:
                return candidate
        message = f"The model {owner[:100]}/{name[:100]} does not exist."
        raise refusals.Refusal(status=404, code="model_not_found", message=message, field="model", may_repeat=False)

    def own_path(self, url: str) -> str | None:
        """Give the path of an address at this gateway, None for somebody else's."""
        root = f"{self.root_url}/"
        return urllib.parse.urlsplit(url).path if url.startswith(root) else None


HOUSE: web.AppKey[House] = web.AppKey("house", House)
KEY: web.RequestKey[records.ApiKeyView] = web.RequestKey("key", records.ApiKeyView)


def of(request: web.Request) -> House:
    """Give the house of a request."""
    return request.app[HOUSE]
