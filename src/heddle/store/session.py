"""Look in PostgreSQL for heartbeats whose session is gone. Neighbours: ``pulse`` writes each session's name with the
beat; ``engine.sweep`` watches and decides.
"""

from typing import Any

from heddle.ports import session


class SessionWatch:
    """Serve ``ports.session`` for a store that runs named statements."""

    async def _rows(self, name: str, parameters: dict[str, Any], *, stage: str = "sweep") -> list[tuple[Any, ...]]:
        raise NotImplementedError

    async def watch_sessions(self, *, is_leader: bool, rule: session.Rule) -> session.Seen:
        """Look once, and declare dead whose session was gone for long enough."""
        parameters = {
            "is_leader": is_leader,
            "gone_s": rule.gone_s,
            "unwatched_s": rule.unwatched_s,
            "is_anew": rule.is_anew,
            "may_declare": rule.may_declare,
        }
        found = await self._rows("watch_sessions", parameters)
        dead = frozenset(row[0] for row in found if row[1])
        return session.Seen(gone=frozenset(row[0] for row in found) - dead, dead=dead)
