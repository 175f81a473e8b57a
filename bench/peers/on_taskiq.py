"""Jobs on taskiq, over a Redis stream or RabbitMQ: what `taskiq worker bench.peers.on_taskiq:broker` runs."""

import asyncio
from collections.abc import Sequence

import aio_pika
import taskiq
import taskiq_aio_pika
import taskiq_redis

from bench.peers import posts, setting, tally

CONNECTIONS = 50
QUALITY = 500
TOGETHER = 100
LINKS = 3
IDLE_MS = 10_000
LOCK_S = 5
NAP_S = 0.005


def _broker() -> taskiq.AsyncBroker:
    given = setting.read()
    if given.broker != "redis":
        return taskiq_aio_pika.AioPikaBroker(given.amqp_url, qos=QUALITY)
    careful = {"idle_timeout": IDLE_MS, "unacknowledged_lock_timeout": LOCK_S} if given.is_careful else {}
    return taskiq_redis.RedisStreamBroker(
        given.redis_url, queue_name="bench.taskiq", consumer_id="0", max_connection_pool_size=CONNECTIONS, **careful
    )


broker = _broker()


@broker.task(task_name="noop")
async def noop(number: int) -> None:
    """Do nothing."""
    tally.mark()


@broker.task(task_name="http")
async def http(number: int) -> None:
    """Post once."""
    await posts.post_async()


@broker.task(task_name="chain")
async def chain(number: int, link: int = 1) -> None:
    """Do nothing, and submit the next link; taskiq itself has no chains."""
    tally.mark()
    if link < LINKS:
        await chain.kiq(number, link + 1)


@broker.task(task_name="stamp")
async def stamp(called_ns: int) -> None:
    """Tell how long it took to begin."""
    tally.stamp(called_ns)


@broker.task(task_name="logged")
async def logged(number: int) -> None:
    """Tell of beginning and end, 5 ms apart."""
    tally.begin(number)
    await asyncio.sleep(NAP_S)
    tally.end(number)


TASKS = {"noop": noop, "http": http, "chain": chain, "stamp": stamp, "logged": logged}


class Door:
    """Submit with `kiq`, a hundred at a time for many."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def reset(self) -> None:
        """Connect, and empty RabbitMQ's queue; Redis is emptied from outside."""
        self._loop.run_until_complete(broker.startup())
        if setting.read().broker != "redis":
            self._loop.run_until_complete(self._purge())

    def submit(self, kind: str, number: int) -> None:
        """Submit one job."""
        self._loop.run_until_complete(TASKS[kind].kiq(number))

    def submit_many(self, kind: str, numbers: Sequence[int]) -> None:
        """Submit a hundred at a time."""
        self._loop.run_until_complete(self._together(kind, numbers))

    async def _together(self, kind: str, numbers: Sequence[int]) -> None:
        task = TASKS[kind]
        for start in range(0, len(numbers), TOGETHER):
            await asyncio.gather(*(task.kiq(number) for number in numbers[start : start + TOGETHER]))

    async def _purge(self) -> None:
        connection = await aio_pika.connect(setting.read().amqp_url)
        async with connection:
            channel = await connection.channel()
            queue = await channel.get_queue("taskiq", ensure=True)
            await queue.purge()
