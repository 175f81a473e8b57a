"""Carry webhooks: sign by Standard Webhooks, send once to the public internet, read the head of the answer and no more.

What is said of a try that came to nothing goes to a customer, so it tells nothing about our network: whatever address
may not be reached, does not resolve or is none gets one sentence. Before it in the walk: ``engine.deliver``. After it:
``transport``, whose sockets refuse addresses that are not public.
"""

from collections.abc import Callable
from typing import Final

from heddle.config import settings
from heddle.core import addresses
from heddle.ports import courier
from heddle.providers import signing, statuses, transport

REFUSED: Final = "the address does not lead to a receiver on the public internet"
_REASONS: Final[dict[transport.Cause, str]] = {
    transport.Cause.ADDRESS: REFUSED,
    transport.Cause.INSIDE: REFUSED,
    transport.Cause.CONNECT: "the receiver took no connection",
    transport.Cause.TLS: "no secure connection to the receiver could be made",
    transport.Cause.CONNECT_TIMEOUT: "the receiver took no connection in time",
    transport.Cause.TIMEOUT: "the receiver did not answer in time",
    transport.Cause.CUT: "the receiver cut the connection",
    transport.Cause.MALFORMED: "the receiver's answer is not HTTP",
    transport.Cause.TOO_LARGE: "the head of the receiver's answer is too large",
    transport.Cause.NO_TIME: "the receiver did not answer in time",
}


def make(limits: settings.Settings, *, now_s: Callable[[], float]) -> "HttpCourier":
    """Make a courier with connections of its own: what receivers hold must not keep a provider's call waiting."""
    return HttpCourier(
        connections=transport.Transport(connections_max=limits.webhook_in_flight_max),
        now_s=now_s,
        is_private_allowed=limits.webhook_private_allowed,
    )


class HttpCourier:
    """Send over HTTP (``ports.courier.Courier``). ``now_s``: seconds since 1970, for signatures and dates.

    ``is_private_allowed``: any address may be reached, this machine included.
    """

    def __init__(
        self, *, connections: transport.Transport, now_s: Callable[[], float], is_private_allowed: bool
    ) -> None:
        self._connections = connections.hold()
        self._now_s = now_s
        self._is_private_allowed = is_private_allowed

    async def send(self, letter: courier.Letter) -> courier.Answered | courier.Unanswered:
        """Try once."""
        if addresses.url_problem(letter.url, is_private_allowed=self._is_private_allowed) is not None:
            return courier.Unanswered(reason=REFUSED)
        now_s = self._now_s()
        signed = signing.sign_with_all(
            secrets=letter.secrets, message_id=letter.message_id, timestamp_s=int(now_s), body=letter.body
        )
        call = transport.Call(
            method="POST",
            url=letter.url,
            timeout_s=letter.timeout_s,
            is_repeatable=False,
            headers={"Content-Type": "application/json", **signed},
            body=letter.body,
            is_public_only=not self._is_private_allowed,
        )
        async with self._connections.open(call) as opened:
            if isinstance(opened, transport.Opened):
                pause_s = statuses.retry_after_s(opened.headers, now_s=now_s)
                return courier.Answered(status=opened.status, retry_after_s=pause_s)
            return courier.Unanswered(reason=_REASONS[opened.cause])

    async def close(self) -> None:
        """Close what is open."""
        await self._connections.close()
