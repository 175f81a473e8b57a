"""Read the verdicts of a batch, and give back what calls held at endpoints. Neighbours: settling carries them out."""

import dataclasses
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from heddle.testing.memory import deployed
from heddle.testing.memory.tables import Key, Tables

_FREES_SLOT = frozenset({"complete", "fail", "retry", "release", "bury"})
_ARRAYS = (
    "run_ids",
    "ordinals",
    "fences",
    "numbers",
    "verdicts",
    "outputs",
    "faults",
    "delays",
    "handles",
    "notes",
    "costs",
    "attempt_states",
    "locals",
    "breakers",
)
_OF_CALLS = ("tiers", "throttles", "latencies", "tokens", "images", "freezes", "told", "billed")


@dataclasses.dataclass(slots=True, kw_only=True)
class Verdict:
    """Hold one verdict in the form that ``settle`` is given."""

    run_id: uuid.UUID
    ordinal: int
    fence: int
    number: int
    verdict: str
    output: Any
    fault: Any
    delay_s: float
    handle: str | None
    note: str | None
    cost: int | None
    attempt_state: str | None
    is_local: bool
    breaker: int
    tier: int = 0
    is_throttled: bool = False
    latency_s: float | None = None
    tokens: int | None = None
    images: int | None = None
    frozen_s: float | None = None
    told: Any = None
    is_billed: bool = False
    is_over: bool = False

    @property
    def key(self) -> Key:
        """Name the call."""
        return self.run_id, self.ordinal


def _loads(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def read(arrays: Mapping[str, Sequence[Any]]) -> list[Verdict]:
    """Read the verdicts of a batch; what only model calls have is left out of one without any."""
    batch = [
        Verdict(
            run_id=row[0],
            ordinal=row[1],
            fence=row[2],
            number=row[3],
            verdict=row[4],
            output=_loads(row[5]),
            fault=_loads(row[6]),
            delay_s=row[7],
            handle=row[8],
            note=row[9],
            cost=row[10],
            attempt_state=row[11],
            is_local=row[12],
            breaker=row[13],
        )
        for row in zip(*(arrays[name] for name in _ARRAYS), strict=True)
    ]
    for item, about in zip(batch, zip(*(arrays.get(name, ()) for name in _OF_CALLS), strict=True), strict=False):
        item.tier, item.is_throttled, item.latency_s, item.tokens, item.images, item.frozen_s = about[:6]
        item.told, item.is_billed = _loads(about[6]), about[7]
    return batch


def give_back(tables: Tables, item: Verdict) -> None:
    """Let go of a call's slot when it is over, with what its endpoint showed of itself and told of its limits."""
    slot = tables.slots.get(item.key)
    if slot is None:
        return
    is_final = item.verdict in _FREES_SLOT or (item.is_over and item.verdict == "reconcile")
    if is_final or item.breaker or item.frozen_s is not None:
        shown = deployed.Shown(
            breaker=item.breaker,
            is_throttled=item.is_throttled,
            latency_s=item.latency_s,
            tokens=item.tokens,
            images=item.images,
            frozen_s=item.frozen_s,
            is_silent=True,
        )
        tables.tell_scopes(slot, is_final=is_final, is_claimed=True, shown=shown)
    now, scope_ids = tables.now_s(), tables.endpoints[slot.endpoint_id].scope_ids
    for lesson in item.told or ():
        until_s, empty_s = lesson.get("until_s"), lesson.get("empty_s")
        for scope in (tables.scopes[scope_id] for scope_id in scope_ids):
            bucket = {1: scope.requests, 2: scope.tokens}.get(lesson["dimension"], scope.images)
            if len(scope_ids) == 1 or bucket.per_min is not None:
                delta = deployed.Delta(
                    scope_id=scope.id,
                    epoch=-1,
                    at=now,
                    dimension=lesson["dimension"],
                    limit_per_min=lesson.get("limit_per_min"),
                    remaining=lesson.get("remaining"),
                    told_until=None if until_s is None else now + until_s,
                    empty_until=None if empty_s is None else now + empty_s,
                )
                tables.deltas.append(delta)
    if is_final:
        del tables.slots[item.key]
