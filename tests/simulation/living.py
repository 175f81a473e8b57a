"""Live seeded days in processes of their own."""

import dataclasses
import logging
import multiprocessing
import multiprocessing.context

from tests import pg


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """Hold how one day went; ``problem`` is empty when every promise was kept."""

    seed: int
    transactions: int
    problem: str


def silence() -> None:
    """Write no lines in this process: every failure is one, and nobody reads a day's."""
    logging.getLogger("heddle").setLevel(logging.CRITICAL + 1)


def processes() -> multiprocessing.context.BaseContext:
    """Give the way processes are started: anew, since what lives days may hold threads and connections."""
    return multiprocessing.get_context("spawn")


def live(seed: int) -> Lived:
    """Live one day in this process."""
    pg.set_up_django()
    silence()
    from tests.simulation import day

    made, problem = day.Day(seed), ""
    try:
        made.live()
    except day.BadDay as error:
        problem = str(error)
    return Lived(seed=seed, transactions=made.commits, problem=problem)
