"""Remember since when each worker's session is seen gone, and tell whose has been gone for long enough.

Only what is watched without a break counts: an outage of the store ends sessions of workers that live, so after one
the watch begins anew. Part of sweep; the memory is this process's own, since a leader that dies takes its doubts along.
"""

from collections.abc import Iterable

from heddle.ports import session


class Vigil:
    """Watch for one sweeper. Bounded by the page of gone sessions that the store gives."""

    def __init__(self) -> None:
        self._since_s: dict[session.Session, float] = {}

    def gone_for(
        self, sessions: Iterable[session.Session], *, at_least_s: float, now_s: float
    ) -> list[session.Session]:
        """Take what is seen gone now; give those that were gone at every look of the last ``at_least_s``."""
        self._since_s = {each: self._since_s.get(each, now_s) for each in sessions}
        return [each for each, since_s in self._since_s.items() if now_s - since_s >= at_least_s]

    def forget(self) -> None:
        """Begin anew: what was seen before says nothing any more."""
        self._since_s.clear()
