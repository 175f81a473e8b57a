"""Write what is heard late of attempts that were given up: settle_late, in Python; see ``store.late``.

Neighbours: settling ends the calls whose results are saved here; books keeps the ledger.
"""

import dataclasses
import json
import uuid
from collections.abc import Sequence
from typing import Any

from heddle.testing.memory import books, deployed
from heddle.testing.memory import tables as tables_module
from heddle.testing.memory.tables import AttemptRow, Rows, Statement, StepRow, Tables

_CLOSED = frozenset({"rejected", "abandoned"})
_SENT_AGAIN = frozenset({"sending", "accepted", "unknown", "done"})
_SILENT = deployed.Shown(is_silent=True)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """Hold one word about an attempt that was closed without it."""

    step: StepRow
    tried: AttemptRow
    told: str
    output: Any
    cost: int | None
    is_billed: bool
    is_unsent: bool
    is_only: bool

    @property
    def is_result(self) -> bool:
        """Tell whether it is the result of the call."""
        return self.told == "done"

    @property
    def rank(self) -> tuple[bool, int]:
        """Tell which of several words about one call counts: a result, and of the latest attempt."""
        return self.is_result, self.tried.number

    @property
    def may_save(self) -> bool:
        """Tell whether the call need not be made again."""
        is_job = self.told == "accepted" and self.tried.handle is not None
        return self.is_unsent and (self.is_result or (is_job and self.is_only))


def late_lock(_tables: Tables, **_parameters: Any) -> Rows:
    """Keep claims out: here nobody else claims."""
    return []


def settle_late(
    tables: Tables,
    *,
    run_ids: Sequence[uuid.UUID],
    ordinals: Sequence[int],
    numbers: Sequence[int],
    attempt_states: Sequence[str],
    outputs: Sequence[str | None],
    handles: Sequence[str | None],
    costs: Sequence[int | None],
    billed: Sequence[bool],
) -> Rows:
    """Book attempts, and call off what would be made again."""
    words = zip(run_ids, ordinals, numbers, attempt_states, outputs, handles, costs, billed, strict=True)
    heard = [found for word in words if (found := _heard(tables, *word)) is not None]
    best: dict[tables_module.Key, _Heard] = {}
    for each in heard:
        key = (each.step.run_id, each.step.ordinal)
        if each.may_save and (key not in best or each.rank > best[key].rank):
            best[key] = each
    late: dict[str, int] = {}
    charged: dict[int, list[int]] = {}
    for each in heard:
        is_saved = best.get((each.step.run_id, each.step.ordinal)) is each
        if is_saved and not each.is_result:
            continue
        endpoint_id = each.tried.endpoint_id
        late[str(endpoint_id)] = late.get(str(endpoint_id), 0) + 1
        change, is_estimated = _book(tables, each)
        if change > 0 and endpoint_id is not None:
            sums = charged.setdefault(endpoint_id, [endpoint_id, 0, 0])
            sums[1], sums[2] = sums[1] + change, sums[2] + int(is_estimated)
        each.tried.result = None if is_saved else each.output
        tables.move_attempt(each.tried, "late", of=each.step)
    saved = [_call_off(tables, each) for each in best.values()]
    fences = [row for row in saved if row is not None]
    return [(fences or None, late or None, len(saved) - len(fences), list(charged.values()) or None)]


def _heard(
    tables: Tables,
    run_id: uuid.UUID,
    ordinal: int,
    number: int,
    told: str,
    output: str | None,
    handle: str | None,
    cost: int | None,
    is_billed: bool,
) -> _Heard | None:
    """Give a word that is news, with the handle written to its attempt; None for one that is not."""
    step = tables.step(run_id, ordinal)
    tried = None if step is None else step.tries.get(number)
    if step is None or tried is None or tried.sent_at is None or tried.state not in _CLOSED:
        return None
    is_given_up = tried.state == "abandoned" or (tried.fault or {}).get("fault") == "sent_unknown"
    if told != "done" and not is_given_up:
        return None
    tried.handle = handle or tried.handle
    if told == "accepted" and tried.accepted_at is None:
        tried.accepted_at = tables.now_s()
    again = [each.state for each in step.tries.values() if each.number > number]
    return _Heard(
        step=step,
        tried=tried,
        told=told,
        output=None if output is None else json.loads(output),
        cost=cost,
        is_billed=is_billed,
        is_unsent=step.state in ("due", "waiting") and not _SENT_AGAIN & set(again),
        is_only=not again and number == step.attempts,
    )


def _book(tables: Tables, heard: _Heard) -> tuple[int, bool]:
    """Book what an attempt cost beside what was charged; tell the difference, and whether it is an estimate."""
    step, tried = heard.step, heard.tried
    known = tried.cost_nano_usd
    if heard.told == "accepted":
        amount = tried.price_nano_usd if known is None else known
    elif heard.cost is not None:
        amount = heard.cost
    else:
        amount = tried.price_nano_usd if known is None and heard.is_billed else known
    is_list_priced = tried.endpoint_id is not None and tables.endpoints[tried.endpoint_id].is_list_priced
    is_estimated = heard.told == "accepted" and known is None and is_list_priced
    change = books.adjust(tables, step, tried, cost=amount or 0, is_estimated=is_estimated)
    if change is not None:
        tried.cost_nano_usd = amount or 0
        step.cost_nano_usd = max(0, step.cost_nano_usd + change)
        run = tables.runs[step.run_id]
        run.cost_nano_usd = max(0, run.cost_nano_usd + change)
    return change or 0, is_estimated


def _call_off(tables: Tables, heard: _Heard) -> list[Any] | None:
    """Take a call out of line that is not made again; lease it for its result, or have its job asked after."""
    step, key, now = heard.step, (heard.step.run_id, heard.step.ordinal), tables.now_s()
    for each in step.tries.values():
        if each.number > heard.tried.number and each.state == "reserved":
            tables.move_attempt(each, "abandoned", of=step)
            each.finished_at = now
    queue = tables.ready.get(step.lane, {}).get(step.tenant_id, [])
    tables.remove_ready([row for row in queue if (row.run_id, row.ordinal) == key])
    tables.leases.pop(key, None)
    tables.free_slot(key, is_claimed=True, shown=_SILENT)
    for kind in ("retry", "poll", "reconcile"):
        tables.timers.pop((*key, kind), None)
    if not heard.is_result:
        tables.move_step(step, "unknown")
        tables.set_timer((*key, "reconcile"), now)
        return None
    fence = tables.next("fence")
    tables.leases[key] = tables_module.LeaseRow(
        run_id=step.run_id,
        ordinal=step.ordinal,
        worker_id=heard.tried.worker_id or 0,
        fence=fence,
        claim_id=None,
        number=heard.tried.number,
        lane=step.lane,
        tenant_id=step.tenant_id,
        endpoint_id=heard.tried.endpoint_id,
        purpose="poll",
        claimed_at=heard.tried.started_at,
    )
    return [str(step.run_id), step.ordinal, heard.tried.number, fence]


STATEMENTS: dict[str, Statement] = {"late_lock": late_lock, "settle_late": settle_late}
