"""Jobs on RQ, over Redis: functions that its workers import and how they are enqueued."""

import time
from collections.abc import Sequence

import redis
import rq

from bench.peers import posts, setting, tally

QUEUE = "bench"
BATCH = 1_000
LINKS = 3
KEPT_S = 300
NAP_S = 0.005


def noop(number: int) -> None:
    """Do nothing; also a link of the chain."""
    tally.mark()


def http(number: int) -> None:
    """Post once."""
    posts.post()


def stamp(called_ns: int) -> None:
    """Tell how long it took to begin."""
    tally.stamp(called_ns)


def logged(number: int) -> None:
    """Tell of beginning and end, 5 ms apart."""
    tally.begin(number)
    time.sleep(NAP_S)
    tally.end(number)


JOBS = {"noop": noop, "http": http, "stamp": stamp, "logged": logged}


class Door:
    """Submit with `enqueue`, many with `enqueue_many`; a chain is three jobs, each depending on the one before."""

    def __init__(self) -> None:
        self._queue = rq.Queue(QUEUE, connection=redis.Redis.from_url(setting.read().redis_url))

    def reset(self) -> None:
        """Do nothing: Redis is emptied from outside."""

    def submit(self, kind: str, number: int) -> None:
        """Submit one job."""
        if kind != "chain":
            self._queue.enqueue(JOBS[kind], number, result_ttl=0)
            return
        before = None
        for _ in range(LINKS):
            before = self._queue.enqueue(noop, number, depends_on=before, result_ttl=KEPT_S)

    def submit_many(self, kind: str, numbers: Sequence[int]) -> None:
        """Submit a thousand in one round trip; chains one by one."""
        if kind == "chain":
            for number in numbers:
                self.submit(kind, number)
            return
        for start in range(0, len(numbers), BATCH):
            jobs = [rq.Queue.prepare_data(JOBS[kind], (n,), result_ttl=0) for n in numbers[start : start + BATCH]]
            self._queue.enqueue_many(jobs)
