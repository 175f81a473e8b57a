"""Jobs on Celery, over Redis or RabbitMQ: the application that `celery worker` runs and how it is submitted to."""

import time
from collections.abc import Sequence

import celery

from bench.peers import posts, setting, tally

QUEUE = "bench.celery"
PREFETCH = {"noop": 100, "chain": 100, "http": 2, "idle": 1, "kill": 4}
VISIBILITY_S = 10
NAP_S = 0.005


def _application() -> celery.Celery:
    given = setting.read()
    is_redis = given.broker == "redis"
    application = celery.Celery("bench", broker=given.redis_url if is_redis else f"{given.amqp_url}/")
    application.conf.update(
        task_ignore_result=True,
        worker_prefetch_multiplier=PREFETCH[given.workload],
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        task_default_queue=QUEUE,
        broker_connection_retry_on_startup=True,
    )
    if given.is_careful:
        application.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)
        if is_redis:
            application.conf.broker_transport_options = {"visibility_timeout": VISIBILITY_S}
    return application


app = _application()


@app.task(name="noop")
def noop(number: int) -> None:
    """Do nothing; also a link of the chain."""
    tally.mark()


@app.task(name="http")
def http(number: int) -> None:
    """Post once."""
    posts.post()


@app.task(name="stamp")
def stamp(called_ns: int) -> None:
    """Tell how long it took to begin."""
    tally.stamp(called_ns)


@app.task(name="logged")
def logged(number: int) -> None:
    """Tell of beginning and end, 5 ms apart."""
    tally.begin(number)
    time.sleep(NAP_S)
    tally.end(number)


TASKS = {"noop": noop, "http": http, "stamp": stamp, "logged": logged}


class Door:
    """Submit with `delay`; many with one producer for all; a chain with Celery's `chain`."""

    def reset(self) -> None:
        """Empty RabbitMQ's queue; Redis is emptied from outside."""
        if setting.read().broker != "redis":
            with app.connection_for_write() as connection:
                channel = connection.default_channel
                channel.queue_declare(QUEUE, durable=True, auto_delete=False)
                channel.queue_purge(QUEUE)

    def submit(self, kind: str, number: int) -> None:
        """Submit one job."""
        if kind == "chain":
            celery.chain(noop.si(number), noop.si(number), noop.si(number)).apply_async()
        else:
            TASKS[kind].delay(number)

    def submit_many(self, kind: str, numbers: Sequence[int]) -> None:
        """Submit one after another over one producer."""
        if kind == "chain":
            for number in numbers:
                self.submit(kind, number)
            return
        with app.producer_pool.acquire(block=True) as producer:
            for number in numbers:
                TASKS[kind].apply_async((number,), producer=producer)
