"""Answer for what most endpoints have not, look-ups and callbacks, and hold what every adapter of one endpoint needs.

``synchronous`` adds what an endpoint of one request and one answer lacks, ``jobs`` what endpoints that accept jobs
share; an adapter inherits one of the three and overrides what its vendor does have. Nothing here sends a paid request.
Before it in the walk: execute and poll. After it: the transport.
"""

from collections.abc import Mapping

from heddle.core import settle
from heddle.ports import provider
from heddle.providers import options, outcomes, transport

CHECK_TIMEOUT_S = 5.0


class Endpoint:
    """Speak to one endpoint. ``is_guarded`` and ``secrets``: as in ``outcomes.Outcomes``."""

    def __init__(
        self,
        config: provider.EndpointConfig,
        connections: transport.Transport,
        *,
        is_guarded: bool,
        secrets: tuple[str | None, ...] = (),
    ) -> None:
        self._config = config
        self._base_url = options.require_http_url(config)
        self._outcomes = outcomes.Outcomes(config, is_guarded=is_guarded, secrets=secrets)
        self._transport = connections.hold()

    async def lookup(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Answer that the endpoint cannot be asked."""
        return settle.Unknown(message=f"{self._outcomes.where} cannot be asked what became of a request")

    def verify_callback(self, *, headers: Mapping[str, str], body: bytes, now_s: float) -> provider.CallbackEvent:
        """Refuse every callback: this endpoint makes none."""
        raise provider.CallbackRefused(f"{self._outcomes.where} makes no callbacks")

    async def close(self) -> None:
        """Let go of the connections."""
        await self._transport.release()

    def _timeout_s(self, request: provider.ProviderRequest) -> float:
        """Give the time that an attempt may take in all."""
        return min(self._config.timeout_s, request.timeout_s)

    async def _trouble_at(self, path: str, headers: Mapping[str, str]) -> str | None:
        """Ask a health path; None when it answers with success."""
        reply = await self._transport.exchange(
            transport.Call(
                method="GET",
                url=self._base_url + path,
                headers=headers,
                timeout_s=CHECK_TIMEOUT_S,
                is_repeatable=True,
            )
        )
        if not isinstance(reply, transport.Reply):
            return reply.message
        if 200 <= reply.status < 300:
            return None
        return f"{path} answered {reply.status}: {self._outcomes.excerpt(reply.body)}"
