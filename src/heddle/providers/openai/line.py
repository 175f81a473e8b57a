"""Hold the line to one endpoint: address, credential, and the words for what may come back.

All operations send through here, so that none of them decides on headers, time limits, origins or what an unproven
answer means. It sends once and repeats nothing. Before it: an operation. After it: the transport, and settle with an
outcome.
"""

import time
from collections.abc import Mapping
from typing import Final

from heddle.core import faults, identity, settle
from heddle.core.policy import told
from heddle.ports import provider
from heddle.providers import fetching, json_wire, limits, options, outcomes, statuses, transport
from heddle.providers.openai import faults as openai_faults
from heddle.providers.openai import operations, usage, wire

POLL_WISH_MAX_S: Final = 300.0
_ANSWER_BYTES_MAX: Final = 4 * 1024**2


class Line:
    """Speak to one endpoint."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self.options = operations.read(config)
        self.base_url = options.require_http_url(config)
        self.outcomes = outcomes.Outcomes(config, is_guarded=self.options.is_paid)
        self.transport = connections
        self._config = config
        self._headers = _headers(config, self.options)

    @property
    def is_paid(self) -> bool:
        """Tell whether calls cost money."""
        return self.options.is_paid

    def model(self, request: provider.ProviderRequest) -> str:
        """Give the model's name at the endpoint."""
        return self.options.model_name or request.model

    def timeout_s(self, request: provider.ProviderRequest) -> float:
        """Give how long one exchange may take."""
        return min(self._config.timeout_s, request.timeout_s)

    def call(
        self,
        request: provider.ProviderRequest,
        method: str,
        url: str,
        *,
        body: wire.Body | None = None,
        bytes_max: int | None = None,
    ) -> transport.Call:
        """Make a call of ours; url is a path of the endpoint, or an address of its origin."""
        address = url if not url.startswith("/") else self.base_url + url
        assert self.is_ours(address)
        return transport.Call(
            method=method,
            url=address,
            headers=self._headers if body is None else {**self._headers, "Content-Type": body.media_type},
            body=None if body is None else body.data,
            timeout_s=self.timeout_s(request),
            is_repeatable=method == "GET" or not self.is_paid,
            reply_bytes_max=bytes_max or _ANSWER_BYTES_MAX,
        )

    async def probe(self, *, timeout_s: float) -> transport.Reply | transport.Lost:
        """Ask for the list of models, which is free."""
        return await self.transport.exchange(
            transport.Call(
                method="GET",
                url=f"{self.base_url}/models",
                headers=self._headers,
                timeout_s=timeout_s,
                is_repeatable=True,
                reply_bytes_max=_ANSWER_BYTES_MAX,
            )
        )

    def source(self) -> fetching.Source:
        """Say for whom links in answers are followed."""
        return fetching.Source(home=self.base_url, headers=self._headers)

    def is_ours(self, url: str) -> bool:
        """Tell whether an address is of the endpoint's own origin, so that it may see our credential."""
        return fetching.is_same_origin(url, self.base_url)

    def elsewhere(self, handle: str) -> settle.Outcome:
        """Word that a job cannot be asked after, because it was accepted under another address than ours of now."""
        return settle.Unknown(
            message=f"the job {self.excerpt(handle.encode())} is at another address than {self.outcomes.where} has now"
        )

    def refused(self, reply: transport.Reply) -> settle.Outcome:
        """Judge an answer that is no success, by the table."""
        fault = openai_faults.fault_of(reply.status, wire.error_code(reply.body))
        return self.outcomes.refused(reply, fault, heard=self.told(reply.headers, None))

    def loss(self, lost: transport.Lost) -> settle.Outcome:
        """Judge an exchange without a whole answer."""
        return self.outcomes.loss(lost)

    def unproven(self, message: str) -> settle.Outcome:
        """Judge an answer that does not tell what became of the request: unknown where money is at stake."""
        return self.outcomes.judged(faults.Fault.SENT_UNKNOWN, message)

    def partial(self, message: str) -> settle.Outcome:
        """Judge an answer that began and did not end."""
        return self.outcomes.partial(message)

    def fault(
        self,
        fault: faults.Fault,
        message: str,
        *,
        billed_nano_usd: int | None = 0,
        heard: told.Told = told.NOTHING,
    ) -> settle.Faulted:
        """Word a fault of this endpoint. ``billed_nano_usd``: None where it is paid for and nobody tells how much."""
        return self.outcomes.fault(fault, message, billed=billed_nano_usd, heard=heard)

    def not_sent(self, error: Exception) -> settle.Faulted:
        """Word that a request could not be written."""
        if isinstance(error, wire.TooLarge):
            return self.fault(faults.Fault.TOO_LARGE, f"nothing was sent: {error}")
        return self.outcomes.unsent(error)

    def again(self, note: str, reply: transport.Reply | None = None) -> settle.StillRunning:
        """Say that a job is to be asked after later, as late as the endpoint wishes, within five minutes."""
        wished_s = statuses.retry_after_s(reply.headers, now_s=time.time()) if reply is not None else None
        return settle.StillRunning(
            poll_after_s=max(self.options.poll_after_s, min(wished_s or 0.0, POLL_WISH_MAX_S)), note=note
        )

    async def ask(
        self, request: provider.ProviderRequest, url: str, *, name: str, bytes_max: int | None = None
    ) -> dict[str, identity.JsonValue] | settle.Outcome:
        """Ask after a job. What tells nothing about it is ``StillRunning``; a job that is gone is ``Unknown``."""
        reply = await self.transport.exchange(self.call(request, "GET", url, bytes_max=bytes_max))
        if not isinstance(reply, transport.Reply):
            return self.again(reply.message)
        if reply.status in (404, 410):
            return settle.Unknown(message=f"the provider no longer knows the {name} it had accepted")
        if reply.status != 200:
            return self.again(f"asked after the {name}: answered {reply.status}", reply)
        found = self.object_of(reply)
        return self.again(f"asked after the {name}: {found}") if isinstance(found, str) else found

    def object_of(self, reply: transport.Reply) -> dict[str, identity.JsonValue] | str:
        """Read a JSON object, or say in words what came instead."""
        if reply.media_type != "application/json" and not reply.media_type.endswith("+json"):
            return f"JSON was to come, {reply.media_type or 'no content type'} came: {self.excerpt(reply.body)}"
        try:
            whole = json_wire.parse_json(reply.body)
        except json_wire.WireRefused as error:
            return f"the answer {error}; it begins: {self.excerpt(reply.body)}"
        return whole if isinstance(whole, dict) else f"the answer is no object: {self.excerpt(reply.body)}"

    def told(self, headers: Mapping[str, str], used: usage.Used | None) -> told.Told:
        """Read what an answer tells of limits and use."""
        return limits.read(
            headers,
            now_s=time.time(),
            tokens=used.tokens if used else None,
            images=used.images if used else None,
        )

    def cost_nano_usd(self, request: provider.ProviderRequest, used: usage.Used) -> int | None:
        """Give what a call costs at list price; None when free, unlisted, or not asked for."""
        if not self.is_paid or not self.options.has_list_prices:
            return None
        return usage.cost_nano_usd(used, model=self.model(request))

    def excerpt(self, text: bytes) -> str:
        """Quote an answer in short, without secrets."""
        return self.outcomes.excerpt(text)

    @property
    def callback_secret(self) -> str | None:
        """Give the secret that callbacks are signed with."""
        return self._config.callback_secret


def _headers(config: provider.EndpointConfig, read: operations.OpenaiOptions) -> dict[str, str]:
    given = {
        "Authorization": f"Bearer {config.secret}" if config.secret else None,
        "OpenAI-Organization": read.organization,
        "OpenAI-Project": read.project,
        "Accept": "*/*",
    }
    return {name: value for name, value in given.items() if value}
