"""Decide what a schedule starts now: one run for each time that has come, or what its policy makes of times missed.

A time is missed when nobody was there to start its run within ``late_s``: no worker was alive, the database was away,
the schedule was paused. ``skip`` lets missed times go, ``last`` starts one run for the newest of them, ``all`` starts
one for each, the oldest first, at most ``catch_up_max`` of the newest. Pure; the clock is the store's. Neighbours:
``cron`` before, the store starts the runs and moves the schedule in one transaction.
"""

import dataclasses
import datetime
import enum
import itertools
from typing import assert_never

from heddle.core import run
from heddle.core.policy import cron

CATCH_UP_MOST = 1_000


class CatchUp(enum.StrEnum):
    """Name what becomes of times that were missed."""

    SKIP = "skip"
    LAST = "last"
    ALL = "all"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOptions:
    """Hold one schedule as it is written down.

    ``input`` is in the stored form. ``deadline_s`` counts from the start of a run; ``max_cost_nano_usd`` is for each
    run. ``catch_up_max``: 1 to 1,000.
    """

    name: str
    workflow: str
    cron: str
    time_zone: str = "UTC"
    input: dict[str, object] = dataclasses.field(default_factory=dict)
    tenant: str = "default"
    catch_up: CatchUp = CatchUp.LAST
    catch_up_max: int = 100
    priority: run.Priority = run.Priority.STANDARD
    deadline_s: float | None = None
    max_cost_nano_usd: int | None = None
    labels: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """Tell for which times runs are started now, the oldest first, how many times were missed, and when to look next.

    ``missed`` counts up to ``CATCH_UP_MOST``.
    """

    times: tuple[datetime.datetime, ...]
    missed: int
    next_at: datetime.datetime


def due(
    *,
    when: cron.Cron,
    zone: datetime.tzinfo,
    catch_up: CatchUp,
    catch_up_max: int,
    next_at: datetime.datetime,
    now: datetime.datetime,
    late_s: float,
) -> Firing:
    """Decide for a schedule whose ``next_at`` may have come. ``late_s``: how late a start is not yet missed."""
    if next_at > now:
        return Firing(times=(), missed=0, next_at=next_at)
    come = list(
        itertools.takewhile(
            lambda moment: moment >= next_at, itertools.islice(cron.back_from(when, now, zone), CATCH_UP_MOST)
        )
    )
    chosen: list[datetime.datetime]
    in_time = [moment for moment in come if (now - moment).total_seconds() <= late_s]
    match catch_up:
        case CatchUp.SKIP:
            chosen = in_time
        case CatchUp.LAST:
            chosen = in_time or come[:1]
        case CatchUp.ALL:
            chosen = come[: max(catch_up_max, len(in_time))]
        case _:
            assert_never(catch_up)
    return Firing(
        times=tuple(reversed(chosen)), missed=len(come) - len(chosen), next_at=cron.next_after(when, now, zone)
    )
