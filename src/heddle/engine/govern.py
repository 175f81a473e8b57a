"""Decide for the whole fleet, as the leader, what a claim only applies: slots of adaptive scopes, and retries allowed.

Twice a second it compares what each scope did with what it had done before, asks ``core.policy.concurrency`` and
``core.policy.retry``, and writes two numbers. Nothing urgent waits for it: breakers open and freezes hold by the claim
itself. A new leader knows nothing of before: it goes on from the slots that stand, and grants retries from the floor.
Neighbours: settle appends what calls came to; claim folds it and reads what stands here.
"""

import dataclasses

from heddle.core.policy import concurrency, retry
from heddle.engine import parts as parts_module
from heddle.engine import supervise, sweep
from heddle.ports import govern
from heddle.telemetry import recorder
from heddle.telemetry.catalog import metrics

_BUDGET = retry.RetryBudgetOptions()
_WRITE_EVERY_S = 10.0
"""Age after which an order is written again unchanged: a claim stops believing one after 30 s."""


@dataclasses.dataclass(slots=True, kw_only=True)
class _Known:
    """Remember a scope between two passes."""

    counters: govern.ScopeCounters
    budget: retry.RetryBudget
    limit: concurrency.AdaptiveLimit | None
    order: govern.ScopeOrder | None = None
    written_at_s: float = -_WRITE_EVERY_S


class Governor:
    """Govern for one worker; does something only while it leads."""

    def __init__(self, parts: parts_module.Parts, sweeper: sweep.Sweeper) -> None:
        self._parts = parts
        self._sweeper = sweeper
        self._known: dict[int, _Known] = {}

    async def one_pass(self) -> None:
        """Govern once when leading; wait for the next turn."""
        parts = self._parts
        await parts.is_alive.wait()
        if self._sweeper.is_leader:
            await self._govern()
        else:
            self._known.clear()
        await supervise.rest(parts, parts.settings.govern_interval_s)

    async def _govern(self) -> None:
        started_s = self._parts.clock.monotonic_s()
        counters = await self._parts.store.scope_counters()
        orders = self.orders(counters, now_s=started_s)
        if orders:
            await self._parts.store.govern(orders=orders)
        recorder.observe(metrics.STAGE_DURATION, self._parts.clock.monotonic_s() - started_s, stage="govern")
        recorder.count(metrics.STAGE_ITEMS, len(orders), stage="govern")

    def orders(self, counters: list[govern.ScopeCounters], *, now_s: float) -> list[govern.ScopeOrder]:
        """Give the orders that have changed or grown old. ``now_s``: monotonic seconds."""
        for gone in set(self._known) - {each.id for each in counters}:
            del self._known[gone]
        due = []
        for each in counters:
            known = self._learn(each, now_s=now_s)
            order = govern.ScopeOrder(
                id=each.id,
                concurrency=_slots(each, known.limit),
                retries_upto=each.retries + retry.left(_BUDGET, known.budget, now_s=now_s),
            )
            if order != known.order or now_s - known.written_at_s >= _WRITE_EVERY_S:
                known.order, known.written_at_s = order, now_s
                due.append(order)
        return due

    def _learn(self, now: govern.ScopeCounters, *, now_s: float) -> _Known:
        """Fold what a scope did since the last pass into what is known of it."""
        known = self._known.get(now.id)
        if known is None:
            known = _Known(counters=now, budget=retry.RetryBudget(), limit=_first(now))
            self._known[now.id] = known
            return known
        before, known.counters = known.counters, now
        known.budget = retry.count_sent(
            _BUDGET,
            known.budget,
            first_tries=max(0, now.first_tries - before.first_tries),
            retries=max(0, now.retries - before.retries),
            now_s=now_s,
        )
        known.limit = _adapted(now, before, known.limit, now_s=now_s)
        return known


def _options(scope: govern.ScopeCounters) -> concurrency.ConcurrencyOptions | None:
    if scope.floor is None or scope.ceiling is None:
        return None
    return concurrency.ConcurrencyOptions(floor=scope.floor, ceiling=scope.ceiling)


def _first(scope: govern.ScopeCounters) -> concurrency.AdaptiveLimit | None:
    """Go on from the slots that stand: they are what the leader before had found."""
    options = _options(scope)
    if options is None:
        return None
    return dataclasses.replace(concurrency.start(options), limit=float(scope.concurrency or options.floor))


def _adapted(
    now: govern.ScopeCounters,
    before: govern.ScopeCounters,
    limit: concurrency.AdaptiveLimit | None,
    *,
    now_s: float,
) -> concurrency.AdaptiveLimit | None:
    options = _options(now)
    if options is None:
        return None
    sample = concurrency.Sample(
        ok=max(0, now.finished - before.finished),
        overloaded=max(0, now.throttled - before.throttled),
        latency_sum_s=max(0.0, now.finished_s - before.finished_s),
        in_flight=now.in_flight,
        is_full=now.is_full,
    )
    return concurrency.update(options, limit or _first(now) or concurrency.start(options), sample=sample, now_s=now_s)


def _slots(scope: govern.ScopeCounters, limit: concurrency.AdaptiveLimit | None) -> int | None:
    options = _options(scope)
    return None if options is None or limit is None else concurrency.slots(options, limit)
