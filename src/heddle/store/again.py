"""Let child runs go on when the run above them is retried, so that what they have done is neither done nor paid twice.

The call of a child run that failed waits again, as a call that is new does; only that it has a run already. One that
failed, expired or was stopped by the run above it is retried in its turn, and so on down; one that has ended well in
the meantime gives its value. One that somebody cancelled, or whose function has changed so that it cannot be replayed,
is left: another is begun in its place.
Neighbours: ``store.schedule`` calls, ``store/sql/retry_run.sql`` does it.
"""

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

from heddle.core import faults, plan, run
from heddle.store import connections, reusing

_PUT_OFF_S = 0.5
_RETRIED = frozenset({run.RunState.FAILED.value, run.RunState.EXPIRED.value})
_ENDED = frozenset(state.value for state in run.TERMINAL)
Timer = tuple[uuid.UUID, int, str, float]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """Name the run that a call has become, where it stands, and the call; ``timeout_s``: what the call allows it."""

    above: uuid.UUID
    ordinal: int
    run_id: uuid.UUID
    state: str
    is_stopping: bool
    error: dict[str, Any] | None
    timeout_s: float | None

    @property
    def is_retried(self) -> bool:
        """Tell whether it ended badly, and may go on."""
        is_replayable = (self.error or {}).get("fault") != faults.Fault.WORKFLOW_CHANGED.value
        return (self.state in _RETRIED and is_replayable) or was_stopped_above(self.state, self.error)

    @property
    def is_of_use(self) -> bool:
        """Tell whether the call may still get its value from this run, once it has gone on."""
        return self.is_retried or self.state not in _ENDED or self.state == run.RunState.SUCCEEDED.value


def was_stopped_above(state: str | None, error: dict[str, Any] | None) -> bool:
    """Tell whether a run was cancelled by nobody but the run above it, as that was stopped."""
    return state == run.RunState.CANCELLED.value and (error or {}).get("where") == plan.ABOVE


async def go_on(transaction: connections.Transaction, children: Sequence[Child]) -> tuple[int, list[Timer]]:
    """Retry the children that ended badly; give how many, and the timers of the calls above that have to look again.

    Whoever calls holds the runs above. A child that is still going tells its call when it ends, as ever.
    """
    ended = [child.run_id for child in children if child.is_retried]
    locked: set[uuid.UUID] = set()
    if ended:
        locked = {row[0] for row in await transaction.rows("lock_children", {"run_ids": sorted(ended)})}
    if locked:
        looks = reusing.looking_again(await transaction.rows("look_lanes", {"run_ids": sorted(locked)}))
        given = {"lost": plan.LOST, "above": plan.ABOVE, **looks}
        for run_id in sorted(locked):
            await transaction.send("retry_run", {"run_id": run_id, **given})
        await _give_time(transaction, [child for child in children if child.run_id in locked])
    timers: list[Timer] = []
    for child in children:
        if child.state == run.RunState.SUCCEEDED.value:
            timers.append((child.above, child.ordinal, "child", 0.0))
        elif child.run_id not in locked if child.is_retried else child.is_stopping:
            # It is being stopped, or somebody else is at it: what it will be is known in a moment.
            timers.append((child.above, child.ordinal, "begin", _PUT_OFF_S))
    return len(locked), timers


async def _give_time(transaction: connections.Transaction, children: Sequence[Child]) -> None:
    bounded = [(child.run_id, child.timeout_s) for child in children if child.timeout_s is not None]
    if bounded:
        await transaction.send(
            "child_deadlines",
            {"run_ids": [run_id for run_id, _ in bounded], "deadlines_s": [timeout_s for _, timeout_s in bounded]},
        )
