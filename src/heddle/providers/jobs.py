"""Hold what adapters of endpoints with jobs share: one call to the endpoint, another look, the media of a result.

It decides which origin sees our credential and how long a paid job is left alone, and which part of a free-form answer
is the output. It repeats no request and names no fault: that is the adapter's own table. Before it in the walk: execute
and poll, through an adapter. After it: the transport, and on the way back ``core.settle``.
"""

import dataclasses
import time
from collections.abc import Iterable, Mapping
from typing import Final

from heddle.core import faults, identity, settle
from heddle.ports import provider
from heddle.providers import endpoints, fetching, json_wire, options, statuses, transport

CALL_TIMEOUT_S: Final = 60.0  # of one question to an endpoint; how long its job may take is another matter
ANSWER_BYTES_MAX: Final = 1024**2
WISH_MAX_S: Final = 30.0  # a paid job is not left alone for longer, whatever Retry-After a poll is answered with
NOTE_CHARACTERS_MAX: Final = 500
FILES_MAX: Final = 64  # most media copied of one result


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picks:
    """Hold which part of a vendor's free-form answer is the output, and where in it media are: JSON pointers."""

    output: str
    output_artifacts: tuple[str, ...]


def read_picks(source: options.Options) -> Picks:
    """Read the options ``output`` and ``output_artifacts``. Raises OptionRefused."""
    picks = Picks(output=source.text("output", default=""), output_artifacts=source.strings("output_artifacts"))
    for key, pointer in [("output", picks.output), *(("output_artifacts", each) for each in picks.output_artifacts)]:
        if trouble := json_wire.pointer_trouble(pointer):
            raise source.refusal(key, trouble)
    if len(picks.output_artifacts) > FILES_MAX:
        raise source.refusal("output_artifacts", f"names more than {FILES_MAX} media")
    return picks


class Jobs(endpoints.Endpoint):
    """Speak to one endpoint that accepts jobs. An adapter inherits this, sends and polls.

    headers: our credential, which goes to the endpoint's own origin alone. is_paid: a call costs money, so that one
    whose outcome is not known is not made again. secrets: as in ``outcomes.Outcomes``.
    """

    def __init__(
        self,
        config: provider.EndpointConfig,
        connections: transport.Transport,
        *,
        headers: Mapping[str, str],
        poll_after_s: float,
        secrets: tuple[str, ...] = (),
        is_paid: bool = True,
    ) -> None:
        super().__init__(config, connections, is_guarded=is_paid, secrets=secrets)
        self._headers = headers
        self._poll_after_s = poll_after_s

    def _call(
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        is_repeatable: bool = True,
        bytes_max: int = ANSWER_BYTES_MAX,
    ) -> transport.Call:
        return transport.Call(
            method=method,
            url=url,
            headers={**self._headers, **(headers or {})},
            body=body,
            timeout_s=min(timeout_s, CALL_TIMEOUT_S),
            is_repeatable=is_repeatable,
            reply_bytes_max=bytes_max,
        )

    async def _copied(
        self,
        found: Iterable[str],
        request: provider.ProviderRequest,
        *,
        what: str,
        billed: int | None = None,
        source: fetching.Source | None = None,
    ) -> "dict[str, identity.JsonValue] | settle.Outcome":
        """Copy the media of a finished job, by link; another look when one may still come, a fault when one never will.

        billed: what a fault costs all the same, in nano-dollars, None where nobody tells. source: whose links get which
        credential; the endpoint's own when None.
        """
        links = list(dict.fromkeys(found))
        if len(links) > FILES_MAX:
            message = f"the result of {what} has {len(links)} files, at most {FILES_MAX} are kept"
            return self._outcomes.fault(faults.Fault.TOO_LARGE, message, billed=billed)
        kept: dict[str, identity.JsonValue] = {}
        for link in links:
            copied = await fetching.copy(
                link,
                source=source or fetching.Source(home=self._base_url, headers=self._headers),
                connections=self._transport,
                artifacts=request.artifacts,
                timeout_s=self._timeout_s(request),
            )
            if isinstance(copied, fetching.NotCopied):
                message = f"a file of {what}: {copied.message}"
                return (
                    self._again(message)
                    if copied.is_passing
                    else self._outcomes.fault(copied.fault, message, billed=billed)
                )
            kept[link] = copied.as_json()
        return kept

    async def _picked(
        self,
        value: identity.JsonValue,
        request: provider.ProviderRequest,
        *,
        picks: "Picks",
        what: str,
        cost_nano_usd: int | None = None,
    ) -> settle.Outcome:
        """Complete a job with the part of its answer that the options point at, its media copied."""
        try:
            output = json_wire.follow(value, picks.output)
            for pointer in picks.output_artifacts:
                link = _as_link(json_wire.follow(output, pointer))
                kept = await self._copied([link], request, what=what, billed=cost_nano_usd)
                if not isinstance(kept, dict):
                    return kept
                output = json_wire.replaced(output, pointer, kept[link])
        except json_wire.WireRefused as error:
            message = f"the output of {what} {error}"
            return self._outcomes.fault(faults.Fault.BAD_OUTPUT, message, billed=cost_nano_usd)
        return settle.Completed(output=output, cost_nano_usd=cost_nano_usd)

    def _again(self, note: str, reply: transport.Reply | None = None) -> settle.StillRunning:
        wished_s = statuses.retry_after_s(reply.headers, now_s=time.time()) if reply is not None else None
        later_s = min(wished_s or 0.0, WISH_MAX_S)
        return settle.StillRunning(poll_after_s=max(self._poll_after_s, later_s), note=note[:NOTE_CHARACTERS_MAX])


def _as_link(value: identity.JsonValue) -> str:
    """Give a medium of an output as a link: it is one, or a data URL, or base64. Raises WireRefused."""
    if not isinstance(value, str) or not value:
        raise json_wire.WireRefused("has no text where a medium was to be")
    is_link = value[:8].lower().startswith(("http://", "https://", "data:"))
    return value if is_link else f"data:;base64,{value}"
