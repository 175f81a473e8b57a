"""Jobs on Dramatiq, over Redis or RabbitMQ, with its stock middleware: actors and how they are submitted."""

import time
from collections.abc import Sequence

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker

from bench.peers import posts, setting, tally

QUEUE = "bench.dramatiq"
HEARTBEAT_MS = 10_000
NAP_S = 0.005


def _broker() -> dramatiq.Broker:
    given = setting.read()
    if given.broker != "redis":
        return RabbitmqBroker(url=given.amqp_url)
    return RedisBroker(url=given.redis_url, **({"heartbeat_timeout": HEARTBEAT_MS} if given.is_careful else {}))


broker = _broker()
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=QUEUE)
def noop(number: int) -> None:
    """Do nothing; also a link of the chain."""
    tally.mark()


@dramatiq.actor(queue_name=QUEUE)
def http(number: int) -> None:
    """Post once."""
    posts.post()


@dramatiq.actor(queue_name=QUEUE)
def stamp(called_ns: int) -> None:
    """Tell how long it took to begin."""
    tally.stamp(called_ns)


@dramatiq.actor(queue_name=QUEUE)
def logged(number: int) -> None:
    """Tell of beginning and end, 5 ms apart."""
    tally.begin(number)
    time.sleep(NAP_S)
    tally.end(number)


ACTORS = {"noop": noop, "http": http, "stamp": stamp, "logged": logged}


class Door:
    """Submit with `send`; Dramatiq has no call for many; a chain is its pipeline."""

    def reset(self) -> None:
        """Empty RabbitMQ's queue; Redis is emptied from outside."""
        if setting.read().broker != "redis":
            broker.declare_queue(QUEUE, ensure=True)
            broker.flush(QUEUE)

    def submit(self, kind: str, number: int) -> None:
        """Submit one job."""
        if kind == "chain":
            first, second, third = (noop.message_with_options(args=(number,), pipe_ignore=True) for _ in range(3))
            (first | second | third).run()
        else:
            ACTORS[kind].send(number)

    def submit_many(self, kind: str, numbers: Sequence[int]) -> None:
        """Submit one after another."""
        for number in numbers:
            self.submit(kind, number)
