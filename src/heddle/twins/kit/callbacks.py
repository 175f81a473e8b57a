"""Post a vendor's callbacks, and on purpose lose, repeat, delay, reorder and forge some, as the plan decides.

It tells a URL on this machine of a job and tries again on failure, a bounded number of times. The vendor signs; this
module knows no scheme. It calls nobody but loopback, so that a twin can never be made to knock at a stranger's door.
Before it: ``jobs`` has seen a job start or end. After it: the receiver's own verification.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib import parse

import aiohttp

from heddle.twins.kit import faults, jobs

# For about a minute: Replicate tries again for so long, https://replicate.com/docs/topics/webhooks/receive-webhook, fal
# for two hours. A receiver that starts anew must find what was paid meanwhile.
TRIES_MAX = 16
RETRY_FIRST_S = 0.5
RETRY_MAX_S = 4.0
TIMEOUT_S = 5.0
CONNECTIONS_MAX = 16
WAITING_MAX = 10_000
HELD_MAX = 1_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One callback as it is posted."""

    headers: Mapping[str, str]
    body: bytes


# Writes and signs what a job's callback says at a time (seconds since 1970). The same job and status give the same id.
Signer = Callable[[jobs.Job, float], Awaitable[Letter]]


class Callbacks:
    """The sender: one per twin, with its own connections."""

    def __init__(
        self,
        *,
        plan: faults.Plan,
        signer: Signer,
        now_s: Callable[[], float],
        is_taken: Callable[[int], bool] = lambda status: 200 <= status < 300,
    ) -> None:
        self._plan = plan
        self._signer = signer
        self._now_s = now_s
        self._is_taken = is_taken
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)
        self._waiting = 0
        self._held: dict[str, list[jobs.Job]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the session; must be called on the running loop."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def tell(self, job: jobs.Job) -> None:
        """Tell a job's callback URL of its state, as often, as late and as honestly as its fate says.

        Out of order: news of an open job are kept back until the job is over, and then come last.
        """
        url = job.paid.callback_url
        if url is None:
            return
        if self._waiting >= WAITING_MAX:
            logger.warning("callback of %s dropped: %d wait already", job.id, WAITING_MAX)
            return
        fate = faults.callback_fate(plan=self._plan, key=job.id)
        if fate.is_reordered and not job.status.is_over and len(self._held) < HELD_MAX:
            self._held.setdefault(job.id, []).append(job)
            return
        self._waiting += 1
        try:
            if fate.is_forged_first and job.status.is_over:
                await self._forge(job, url)
            if fate.delay_s > 0 and fate.copies:
                await asyncio.sleep(fate.delay_s)
            for each in (job, *(self._held.pop(job.id, ()) if job.status.is_over else ())):
                for _ in range(fate.copies):
                    await self._post_until_taken(each, url)
        finally:
            self._waiting -= 1

    async def _forge(self, job: jobs.Job, url: str) -> None:
        """Claim the opposite of what happened, with a body that no signature fits."""
        lie = jobs.Status.SUCCEEDED if job.status is jobs.Status.FAILED else jobs.Status.FAILED
        letter = await self._signer(jobs.Job(paid=job.paid, status=lie, over_at_s=job.over_at_s), self._now_s())
        await self._post(url, Letter(headers=letter.headers, body=letter.body + b"\n"))

    async def _post_until_taken(self, job: jobs.Job, url: str) -> None:
        for number in range(TRIES_MAX):
            if await self._post(url, await self._signer(job, self._now_s())):
                return
            if number + 1 < TRIES_MAX:
                await asyncio.sleep(min(RETRY_MAX_S, RETRY_FIRST_S * 2**number))
        logger.warning("callback of %s given up after %d tries; the job can still be asked for", job.id, TRIES_MAX)

    async def _post(self, url: str, letter: Letter) -> bool:
        """Post once; tells whether the receiver took it."""
        assert self._session is not None
        try:
            async with (
                self._places,
                self._session.post(url, data=letter.body, headers=letter.headers, allow_redirects=False) as answer,
            ):
                logger.info("callback answered %d", answer.status)
                return self._is_taken(answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.info("callback not taken: %r", error)
            return False


def is_loopback(url: str) -> bool:
    """Tell whether a URL leads to this machine and nowhere else."""
    try:
        parts = parse.urlsplit(url)
        host, _ = parts.hostname or "", parts.port
        return parts.scheme in ("http", "https") and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
