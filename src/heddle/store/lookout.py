"""Remember which queues this worker has served and from where on, so that a claim does not step over what was taken.

While somebody holds an old snapshot, what was taken from ``ready`` stays in its index, and whoever looks there steps
over all of it: after a minute at 2,000 steps/s that was 5,713 buffers a claim instead of 14 (RELIABILITY 8.3). A queue
that was served is asked for from the row on that was taken first some seconds ago; other queues are looked for in the
gaps between those. A row whose transaction took longer than that to commit is found by the look from the beginning that
is made twice a minute.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

_LAG_S = 2.0
_FROM_BEGINNING_EVERY_S = 30.0
_KNOWN_MAX = 1_000
_TENANT_MIN, _TENANT_MAX = -1, 2**31 - 1

Queue = tuple[int, int]


class Lookout:
    """Hold what one worker knows of the queues of local work: (lane, tenant) → the number of the row to begin at."""

    def __init__(self) -> None:
        self._known: dict[Queue, int] = {}
        self._newer: dict[Queue, int] = {}
        self._turned_at_s = 0.0
        self._began_at_s = 0.0

    def parameters(self, lanes: Sequence[int], *, now_s: float) -> dict[str, Any]:
        """Give what claim_local is told: where known queues begin, and the gaps to look for others in.

        ``now_s``: monotonic seconds.
        """
        self._turn(now_s)
        by_lane: dict[int, list[int]] = {lane: [] for lane in lanes}
        known = [(queue, seq) for queue, seq in self._known.items() if queue[0] in by_lane]
        for (lane, tenant_id), _ in known:
            by_lane[lane].append(tenant_id)
        gaps = [
            (lane, after, before)
            for lane, tenants in by_lane.items()
            for after, before in itertools.pairwise([_TENANT_MIN, *sorted(tenants), _TENANT_MAX])
        ]
        return {
            "known_lanes": [lane for (lane, _), _ in known],
            "known_tenants": [tenant_id for (_, tenant_id), _ in known],
            "known_seqs": [seq for _, seq in known],
            "gap_lanes": [lane for lane, _, _ in gaps],
            "gap_afters": [after for _, after, _ in gaps],
            "gap_befores": [before for _, _, before in gaps],
        }

    def note(self, taken: Iterable[tuple[int, int, int]]) -> None:
        """Learn from a claim: the (lane, tenant, row number) of what it took."""
        for lane, tenant_id, seq in taken:
            queue = (lane, tenant_id)
            self._newer[queue] = min(seq, self._newer.get(queue, seq))

    def _turn(self, now_s: float) -> None:
        """Let what was learnt count once it is old enough; forget all of it twice a minute."""
        if now_s - self._began_at_s >= _FROM_BEGINNING_EVERY_S:
            self._known, self._newer = {}, {}
            self._began_at_s = self._turned_at_s = now_s
        elif now_s - self._turned_at_s >= _LAG_S:
            # The first rows of the time before last: whoever drew an earlier number has had that long to commit.
            self._known = dict(itertools.islice((self._known | self._newer).items(), _KNOWN_MAX))
            self._newer = {}
            self._turned_at_s = now_s
