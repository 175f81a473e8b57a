"""Jobs on arq, over Redis: the settings that `arq` runs and how jobs are submitted."""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import arq
from arq import connections

from bench.peers import posts, setting, tally

AT_ONCE = {"noop": 100, "http": 250, "chain": 100, "idle": 10, "kill": 10}
LINKS = 3
TOGETHER = 100
CAREFUL_TIMEOUT_S = 5
TIMEOUT_S = 300
NAP_S = 0.005
GIVEN = setting.read()
REDIS = connections.RedisSettings(host="127.0.0.1", port=GIVEN.redis_port)


async def noop(context: dict[str, Any], number: int) -> None:
    """Do nothing."""
    tally.mark()


async def http(context: dict[str, Any], number: int) -> None:
    """Post once."""
    await posts.post_async()


async def chain(context: dict[str, Any], number: int, link: int = 1) -> None:
    """Do nothing, and submit the next link; arq itself has no chains."""
    tally.mark()
    if link < LINKS:
        await context["redis"].enqueue_job("chain", number, link + 1)


async def stamp(context: dict[str, Any], called_ns: int) -> None:
    """Tell how long it took to begin."""
    tally.stamp(called_ns)


async def logged(context: dict[str, Any], number: int) -> None:
    """Tell of beginning and end, 5 ms apart."""
    tally.begin(number)
    await asyncio.sleep(NAP_S)
    tally.end(number)


class Settings:
    """What `arq bench.peers.on_arq.Settings` is started with."""

    functions: ClassVar = [noop, http, chain, stamp, logged]
    redis_settings = REDIS
    keep_result = 0
    max_jobs = AT_ONCE[GIVEN.workload]
    poll_delay = GIVEN.poll_s
    queue_read_limit = max(100, max_jobs * 5)
    job_timeout = CAREFUL_TIMEOUT_S if GIVEN.is_careful else TIMEOUT_S
    health_check_interval = 3_600


class Door:
    """Submit with `enqueue_job`, a hundred at a time for many."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pool: connections.ArqRedis | None = None

    def reset(self) -> None:
        """Connect; Redis is emptied from outside."""
        if self._pool is None:
            self._pool = self._loop.run_until_complete(arq.create_pool(REDIS))

    def submit(self, kind: str, number: int) -> None:
        """Submit one job."""
        self._loop.run_until_complete(self._one(kind, number))

    def submit_many(self, kind: str, numbers: Sequence[int]) -> None:
        """Submit a hundred at a time."""
        self._loop.run_until_complete(self._together(kind, numbers))

    async def _one(self, kind: str, number: int) -> None:
        assert self._pool is not None, "reset comes first"
        await self._pool.enqueue_job(kind, number)

    async def _together(self, kind: str, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), TOGETHER):
            await asyncio.gather(*(self._one(kind, number) for number in numbers[start : start + TOGETHER]))
