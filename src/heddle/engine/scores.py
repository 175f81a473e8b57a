"""Add up what the calls of this worker came to, by endpoint and model, until they are posted.

Counted where an outcome is concluded, so that no hot row is touched: a worker posts once a second (``engine.load``),
the leader folds (``engine.routing``). Neighbours: execute and poll before, ``core.policy.scorecard`` says what counts.
"""

import dataclasses

from heddle.core import faults, ids, settle
from heddle.core.policy.scorecard import Card, Count
from heddle.ports import routing, store

CARDS_MAX = 10_000
GRACE_S = 30.0
"""How long after the end of a job its provider may call back: a poll that was sooner proves nothing. Ours."""
PROMISES_MAX = 10_000
"""Jobs whose callbacks this worker waits to count; one more is not counted at all."""
_OURS = frozenset({faults.Fault.CANCELLED, faults.Fault.BUDGET, faults.Fault.DEADLINE})
"""Faults that say nothing of the endpoint or the request."""
_FIRST_SEEN = frozenset({"reserved", "sending"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Tell what is known of one outcome besides itself: how long its call took, None when it gave no result; whether
    its provider was to call back; how long its job stood in the provider's line, None when that was not told.
    """

    latency_s: float | None = None
    is_promised: bool = False
    queue_s: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Name a job that has ended and whose provider was to call back; ``is_kept``: it had called before we asked."""

    key: routing.CardKey
    attempt: ids.AttemptId
    is_kept: bool


class Scores:
    """Hold the cards of this worker. Used from the loop's thread only."""

    def __init__(self) -> None:
        self._cards: dict[routing.CardKey, Card] = {}
        self._promises: list[Promise] = []

    def note(
        self,
        claimed: store.Claimed,
        written: store.Settlement,
        outcome: settle.Outcome,
        answered: Answered,
        *,
        price_nano_usd: int,
    ) -> None:
        """Count one outcome of a call that reached its endpoint, as it is about to be settled. ``price_nano_usd``: what
        its attempt was reserved at, and is charged where the provider does not say.
        """
        if claimed.name is None or claimed.endpoint_id is None:
            return
        card = self._of((claimed.endpoint_id, claimed.name))
        if card is None:
            return
        if answered.queue_s is not None:
            card.add_queue(answered.queue_s)
        is_new = claimed.attempt_state in _FIRST_SEEN
        if is_new and written.verdict in ("reconcile", "bury"):
            card.add(Count.AMBIGUOUS)
        if written.verdict not in ("complete", "fail", "retry", "bury"):
            return
        if not _is_ours(claimed, outcome):
            _count(card, outcome)
        card.add(Count.COST, _cost(written, price_nano_usd))
        if answered.is_promised and claimed.handle is not None and len(self._promises) < PROMISES_MAX:
            attempt = ids.AttemptId(run_id=claimed.run_id, ordinal=claimed.ordinal, number=claimed.number)
            key = (claimed.endpoint_id, claimed.name)
            self._promises.append(Promise(key=key, attempt=attempt, is_kept=claimed.is_called_back))
        if answered.latency_s is not None and written.verdict == "complete":
            card.add_latency(answered.latency_s)

    def take(self) -> dict[routing.CardKey, Card]:
        """Give what was added up, and begin anew."""
        taken, self._cards = self._cards, {}
        return taken

    def take_promises(self) -> list[Promise]:
        """Give the jobs whose callbacks are to be counted when their grace is over, and begin anew."""
        taken, self._promises = self._promises, []
        return taken

    def note_promise(self, promise: Promise, *, is_kept: bool) -> None:
        """Count a job whose provider has, or has not, called back by the end of its grace."""
        card = self._of(promise.key)
        if card is not None:
            card.add(Count.PROMISED)
            card.add(Count.MISSED, float(not is_kept))

    def _of(self, key: routing.CardKey) -> Card | None:
        card = self._cards.get(key)
        if card is None and len(self._cards) < CARDS_MAX:
            card = self._cards[key] = Card()
        return card


def _cost(written: store.Settlement, price_nano_usd: int) -> float:
    if written.cost_nano_usd is not None:
        return float(written.cost_nano_usd)
    return float(price_nano_usd) if written.is_billed or written.verdict == "complete" else 0.0


def _is_ours(claimed: store.Claimed, outcome: settle.Outcome) -> bool:
    """Tell whether an outcome stays unknown only because the worker that sent the call did not wait for its answer."""
    return claimed.is_cut_off and isinstance(outcome, settle.Unknown)


def _count(card: Card, outcome: settle.Outcome) -> None:
    match outcome:
        case settle.Completed():
            card.add(Count.TRIED)
            card.add(Count.OK)
        case settle.Faulted() if outcome.fault.fault in _OURS or outcome.fault.code == faults.INPUT_UNREAD:
            return
        case settle.Faulted():
            card.add(Count.TRIED)
            if outcome.fault.fault is faults.Fault.THROTTLED:
                card.add(Count.THROTTLED)
            elif outcome.fault.code == faults.QUALITY:
                card.add(Count.REJECTED)
            else:
                card.add(Count.FAILED)
        case _:
            card.add(Count.TRIED)
            card.add(Count.FAILED)
