"""Keep the load of lanes in PostgreSQL: what workers post, what the leader measures, what doors read.

Decides nothing: the law is ``core.policy.lineup`` and ``core.policy.admission``. Neighbours: ``engine.load`` above,
``store/sql/load_*.sql`` below.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from heddle.core import run as run_law
from heddle.core.policy import lineup
from heddle.ports import load
from heddle.store import reading

TENANTS_LISTED = 64
WINDOW_S = 5.0
KEPT_S = 604_800.0
LANES_READ = 500
TRUSTED_S = 2.0
"""How long a lane must have been busy before its drain is told: workers post once a second, each in its own time."""
READ = {"limit": LANES_READ, "trusted_s": TRUSTED_S}


class _Rows(Protocol):
    async def _rows(self, name: str, parameters: dict[str, Any], *, stage: str = "sweep") -> list[tuple[Any, ...]]: ...


class PostgresLoad:
    """Post and measure for workers; part of ``PostgresStore``."""

    async def post_load(self: _Rows, *, work: Mapping[int, load.LaneWork]) -> None:
        """Add what a worker did since it last told."""
        if not work:
            return
        await self._rows(
            "load_post",
            {
                "lanes": list(work),
                "kinds": [each.kind for each in work.values()],
                "names": [each.name for each in work.values()],
                "versions": [each.version for each in work.values()],
                "priorities": [each.priority for each in work.values()],
                "taken": [each.taken for each in work.values()],
                "ended": [each.ended for each in work.values()],
                "held_s": [each.held_s for each in work.values()],
                "held_s2": [each.held_s2 for each in work.values()],
            },
        )

    async def prune_quotas(self: _Rows, *, limit: int) -> int:
        """Forget runs that are over in the list of open ones."""
        found = await self._rows("quota_prune", {"limit": limit})
        return int(found[0][0])

    async def measure_load(self: _Rows) -> load.Measured:
        """Measure every lane."""
        found = await self._rows(
            "load_measure", {"tenants": TENANTS_LISTED, "window_s": WINDOW_S, "keep_s": KEPT_S}, stage="observe"
        )
        return load.Measured(lanes=found[0][0], queued=found[0][1])


def lane_load(row: Sequence[Any]) -> lineup.LaneLoad:
    """Read one row of load_read."""
    kind, name, version, priority, queued, drained_per_s, tenants, rest, workflows, measured_ago_s = row
    others = reading.decode(rest)
    return lineup.LaneLoad(
        kind=kind,
        name=name,
        version=version,
        priority=run_law.Priority(priority),
        queued=queued,
        drained_per_s=drained_per_s,
        # What stood in line when nobody measured any more has waited since.
        tenants={int(tenant): _line(line, measured_ago_s) for tenant, line in reading.decode(tenants).items()},
        rest=None if others is None else _line(others, 0.0),
        workflows=frozenset(workflows),
    )


def _line(found: Sequence[Any], measured_ago_s: float) -> lineup.TenantLine:
    queued, age_s, weight = found
    return lineup.TenantLine(queued=queued, oldest_age_s=float(age_s) + max(0.0, measured_ago_s), weight=weight)
