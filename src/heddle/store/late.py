"""Write what is heard late of paid calls that were given up: of an attempt that was closed before anybody knew what
became of it, since an operator had it made again or its model is bought ``at_least_once``.

It is booked, and where the call was not sent again yet, a result ends it, and a job is asked after. Neighbours:
``store.settling`` for the words of workers, ``store.django`` for callbacks, ``store.by_hand`` for operators; below,
``store/sql/settle_late.sql``.
"""

import dataclasses
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from heddle.core import ids
from heddle.ports import store
from heddle.store import connections, partitions, rows

GIVEN_UP: Final = frozenset({"rejected", "abandoned"})
"""States of an attempt of which news may come that nobody counted on; releases before this one abandoned what an
operator had made again.
"""
_RANKS: Final[Mapping[str | None, int]] = {"done": 2, "rejected": 1}


def is_news(item: store.Settlement) -> bool:
    """Tell whether a verdict says of a paid call that it cost something, or may."""
    if item.is_local:
        return False
    is_costly = item.is_billed or bool(item.cost_nano_usd)
    return item.attempt_state in ("done", "accepted") or (item.attempt_state == "rejected" and is_costly)


def parameters(news: Iterable[store.Settlement]) -> dict[str, Any]:
    """Write the parameters of late_lock and settle_late; of two words about one attempt a result counts."""
    ranked = sorted(news, key=lambda item: _RANKS.get(item.attempt_state, 0))
    batch = list({(item.run_id, item.ordinal, item.number): item for item in ranked}.values())
    return {
        "run_ids": [item.run_id for item in batch],
        "ordinals": [item.ordinal for item in batch],
        "numbers": [item.number for item in batch],
        "attempt_states": [item.attempt_state for item in batch],
        "outputs": [item.output for item in batch],
        "handles": [item.handle for item in batch],
        "costs": [item.cost_nano_usd for item in batch],
        "billed": [item.is_billed for item in batch],
    }


def told_by_callback(named: ids.AttemptId, handle: str | None) -> store.Settlement:
    """Give what a believed callback says: that the provider took the job."""
    return store.Settlement(
        run_id=named.run_id,
        ordinal=named.ordinal,
        fence=0,
        number=named.number,
        verdict="poll",
        attempt_state="accepted",
        is_local=False,
        handle=handle,
    )


async def hear(pool: connections.Connections, news: Sequence[store.Settlement]) -> store.SettleReport:
    """Write late news in a transaction of its own. A second call finds it written, and changes nothing."""
    run_ids = sorted({item.run_id for item in news})

    async def work(transaction: connections.Transaction) -> store.SettleReport:
        given = parameters(news)
        await transaction.send("lock_runs", {"run_ids": run_ids})
        await transaction.send("lock_budgets", {"runs": run_ids})
        await transaction.send("late_lock", given)
        (found,) = await transaction.rows("settle_late", given)
        saved = _saved(news, found[0])
        if not saved:
            return rows.settle_report((0, 0, found[1], 0, found[2], None, None, found[3]), news)
        ends = rows.settlements(saved) | rows.direct(None)
        ((settled, _, _, readied, timed, ended, _, _),) = await transaction.rows("settle", ends)
        return rows.settle_report((settled, 0, found[1], readied, timed + found[2], ended, None, found[3]), saved)

    return await pool.run(work, stage="settle", suffix=partitions.suffix_of(run_ids))


def hear_at_door(run: Callable[[str, dict[str, Any]], Sequence[Sequence[Any]]], news: store.Settlement) -> None:
    """Write late news that saves no result by itself, by ``run``, in the transaction of who holds the run."""
    given = parameters([news])
    run("lock_budgets", {"runs": [news.run_id]})
    run("late_lock", given)
    run("settle_late", given)


def _saved(news: Sequence[store.Settlement], found: Sequence[Sequence[Any]] | None) -> list[store.Settlement]:
    """Give the results that end their calls after all, under the leases that they got for it."""
    fences = {(uuid.UUID(run_id), ordinal, number): fence for run_id, ordinal, number, fence in found or ()}
    by_attempt = {(item.run_id, item.ordinal, item.number): item for item in news if item.attempt_state == "done"}
    return [dataclasses.replace(by_attempt[key], fence=fence) for key, fence in fences.items()]
