"""What the engine needs from the store to start runs by schedule. See ``ports.store`` for what every call may raise."""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import Any, Protocol


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DueSchedule:
    """Hold a schedule whose time has come. ``now`` is the store's; ``input`` is JSON as it was written."""

    name: str
    workflow: str
    input: dict[str, Any]
    cron: str
    time_zone: str
    catch_up: str
    catch_up_max: int
    next_at: datetime.datetime
    now: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Tell what a schedule does: runs of this version with this encoded input, one for each time; when to look next.

    ``problem``: why none can be started; the times are then missed.
    """

    times: tuple[datetime.datetime, ...]
    missed: int
    next_at: datetime.datetime
    version: int = 0
    input: dict[str, Any] = dataclasses.field(default_factory=dict)
    problem: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recurred:
    """Tell what came of a look: (workflow, started, missed, problem) for each schedule that was due, and in how many
    seconds the next one is (None: there is none).
    """

    schedules: tuple[tuple[str, int, int, str | None], ...] = ()
    next_in_s: float | None = None

    @property
    def started(self) -> int:
        """Count the runs that were started."""
        return sum(started for _, started, _, _ in self.schedules)


class Schedules(Protocol):
    """Start runs by schedule."""

    async def recur(
        self, *, workflows: Sequence[str], behind_s: float, limit: int, decide: Callable[[DueSchedule], Decided]
    ) -> Recurred:
        """Start what is due by more than ``behind_s`` and of a workflow named here, in one transaction.

        Each time of a schedule starts one run, whoever else looks: a second call starts nothing again. ``decide`` is
        called while the schedule is locked; it must be quick.
        """
        ...
