"""Read from PostgreSQL whose heartbeat's session is gone. Neighbours: ``pulse`` writes each session's name with the
beat; ``engine.sweep`` watches and decides.
"""

from collections.abc import Sequence
from typing import Any

from heddle.ports import session


class SessionReads:
    """Serve ``ports.session`` for a store that runs named statements."""

    async def _rows(self, name: str, parameters: dict[str, Any], *, stage: str = "sweep") -> list[tuple[Any, ...]]:
        raise NotImplementedError

    async def gone_sessions(self, *, is_leader: bool) -> list[session.Session]:
        """List living workers whose session is gone."""
        found = await self._rows("session_gone", {"is_leader": is_leader})
        return [session.Session(worker=row[0], name=row[1]) for row in found]

    async def declare_dead(self, *, sessions: Sequence[session.Session]) -> int:
        """Declare them dead, by compare-and-set on their session."""
        parameters = {"workers": [each.worker for each in sessions], "sessions": [each.name for each in sessions]}
        return len(await self._rows("declare_dead", parameters))
