"""Posts signed callbacks, and on purpose loses, repeats, delays and forges some, as the plan decides.

It tells a URL on this machine that a job is over and tries again on failure, a bounded number of times. It never
changes a job. Before it `desk` has seen a job end; after it comes the receiver's own verification.
"""

import asyncio
import hashlib
import json
import logging
from collections import abc

import aiohttp

from heddle.providers.simulator import fates, jobs, signing

TRIES_MAX = 4
RETRY_FIRST_S = 0.5
TIMEOUT_S = 5.0
CONNECTIONS_MAX = 16
ANSWER_OK = range(200, 300)

logger = logging.getLogger(__name__)


class Callbacks:
    """The sender: one per simulator, with its own connections."""

    def __init__(self, *, plan: fates.Plan, secret: bytes, now_s: abc.Callable[[], float]) -> None:
        self._plan = plan
        self._secret = secret
        self._now_s = now_s
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)
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

    async def deliver(self, *, job: jobs.Job, state: jobs.Status, base_url: str) -> None:
        """Tell a job's webhook that it is over, as often, as late and as honestly as its fate says."""
        if job.webhook_url is None:
            return
        fate = fates.callback_fate(plan=self._plan, key=job.id)
        if fate.is_forged_first:
            await self._post_forgery(job=job, base_url=base_url)
        if fate.copies == 0:
            logger.info("callback of %s lost on purpose", job.id)
            return
        if fate.delay_s > 0:
            await asyncio.sleep(fate.delay_s)
        message_id = "msg_" + hashlib.sha256(f"{job.id}/{state.value}".encode()).hexdigest()[:24]
        body = self._body(kind=f"job.{state.value}", data=jobs.view(job=job, state=state, base_url=base_url))
        for _ in range(fate.copies):
            await self._post_until_taken(url=job.webhook_url, message_id=message_id, body=body)

    def _body(self, *, kind: str, data: dict[str, object]) -> bytes:
        message = {"type": kind, "timestamp": jobs.timestamp(self._now_s()), "data": data}
        return json.dumps(message, separators=(",", ":")).encode()

    async def _post_forgery(self, *, job: jobs.Job, base_url: str) -> None:
        assert job.webhook_url is not None
        lie = jobs.view(job=job, state=jobs.Status.FAILED, base_url=base_url)
        body = self._body(kind="job.failed", data=lie)
        wrong_secret = hashlib.sha256(b"not the secret" + self._secret).digest()
        await self._post(url=job.webhook_url, message_id=f"msg_forged_{job.id}", body=body, secret=wrong_secret)

    async def _post_until_taken(self, *, url: str, message_id: str, body: bytes) -> None:
        for attempt in range(TRIES_MAX):
            if await self._post(url=url, message_id=message_id, body=body, secret=self._secret):
                return
            if attempt + 1 < TRIES_MAX:
                await asyncio.sleep(RETRY_FIRST_S * 2**attempt)
        logger.warning("callback %s given up after %d tries; the job can still be asked for", message_id, TRIES_MAX)

    async def _post(self, *, url: str, message_id: str, body: bytes, secret: bytes) -> bool:
        """Post once; tells whether the receiver answered 2xx."""
        assert self._session is not None
        headers = signing.headers(secret=secret, message_id=message_id, timestamp_s=int(self._now_s()), body=body)
        try:
            async with (
                self._places,
                self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                logger.info("callback %s answered %d", message_id, answer.status)
                return answer.status in ANSWER_OK
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.info("callback %s not taken: %r", message_id, error)
            return False
