"""Jobs on django-tasks with its database backend: what `django-admin db_worker` runs and how jobs are enqueued."""

import os
import time
from collections.abc import Sequence

import django

from bench.peers import posts, tally

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.peers.django_tasks_settings")
django.setup()

from django_tasks import task  # noqa: E402  (needs a set-up Django)

LINKS = 3
NAP_S = 0.005


@task()
def noop(number: int) -> None:
    """Do nothing."""
    tally.mark()


@task()
def http(number: int) -> None:
    """Post once."""
    posts.post()


@task()
def chain(number: int, link: int = 1) -> None:
    """Do nothing, and submit the next link; django-tasks itself has no chains."""
    tally.mark()
    if link < LINKS:
        chain.enqueue(number, link + 1)


@task()
def stamp(called_ns: int) -> None:
    """Tell how long it took to begin."""
    tally.stamp(called_ns)


@task()
def logged(number: int) -> None:
    """Tell of beginning and end, 5 ms apart."""
    tally.begin(number)
    time.sleep(NAP_S)
    tally.end(number)


TASKS = {"noop": noop, "http": http, "chain": chain, "stamp": stamp, "logged": logged}


class Door:
    """Submit with `enqueue`; django-tasks has no call for many."""

    def reset(self) -> None:
        """Make its tables in the empty database it was given."""
        from django.core import management

        management.call_command("migrate", verbosity=0)

    def submit(self, kind: str, number: int) -> None:
        """Submit one job."""
        TASKS[kind].enqueue(number)

    def submit_many(self, kind: str, numbers: Sequence[int]) -> None:
        """Submit one after another."""
        for number in numbers:
            self.submit(kind, number)
