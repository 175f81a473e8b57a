"""Write what became of leased steps: settle, in Python.

The order is that of ``settle.sql``: facts of the attempts (never fenced), the steps whose fence matches, their
successors, limits given back, events, wake-ups and the end of runs with nothing left open.
"""

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from heddle.testing.memory import books, deployed, endings, verdicts
from heddle.testing.memory import tables as tables_module
from heddle.testing.memory.tables import Key, Rows, Statement, StepRow, Tables
from heddle.testing.memory.verdicts import Verdict

ENDED = frozenset({"done", "rejected", "late", "abandoned"})
_STATE_AFTER = {
    "complete": "succeeded",
    "fail": "failed",
    "retry": "waiting",
    "poll": "pending",
    "release": "due",
    "reconcile": "unknown",
    "bury": "unknown",
}
_SILENT = deployed.Shown(is_silent=True)
_EVENT_AFTER = {"retry": "step.retried", "poll": "step.pending", "release": "step.released"}


@dataclasses.dataclass(slots=True, kw_only=True)
class _Fact:
    """Hold what was written about one attempt."""

    step: StepRow
    number: int
    endpoint_id: int | None
    state: str
    cost: int
    step_state: str
    is_news: bool
    is_end: bool = False
    is_booked: bool = False
    is_estimated: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """Hold the places that the settling worker has for local steps that become due."""

    worker: int | None
    claim_id: uuid.UUID | None
    groups: dict[int, int]
    places: Sequence[int]


def settle(
    tables: Tables,
    *,
    worker: int | None,
    claim_id: uuid.UUID | None,
    direct_lanes: Sequence[int],
    direct_groups: Sequence[int],
    direct_places: Sequence[int],
    **arrays: Sequence[Any],
) -> Rows:
    """Write a batch of verdicts."""
    groups = dict(zip(direct_lanes, direct_groups, strict=True))
    offer = _Offer(worker=worker, claim_id=claim_id, groups=groups, places=direct_places)
    batch = verdicts.read(arrays)
    freed = _free(tables, batch)
    facts = _write_facts(tables, batch, freed)
    done = [(item, step, _move(tables, item, step)) for item, step in _moving(tables, freed)]
    _note(facts, freed)
    salvaged = _salvage(tables, facts, freed)
    _let_go(tables, facts, freed)
    news, moved = [news for _, _, news in done], endings.follow(tables, [step for _, step, _ in done])
    leased = _lease_or_queue(tables, [step for step in moved if step.state == "due"], offer)
    news += [endings.News(step=step, event="step.skipped", is_end=True) for step in moved if step.state == "skipped"]
    news += [endings.News(step=fact.step, event=None, cost=fact.cost) for fact in facts if fact.is_booked]
    woken, ended, parents = endings.judge(tables, news)
    late: dict[str, int] = {}
    for fact in facts:
        if fact.state == "late":
            late[str(fact.endpoint_id)] = late.get(str(fact.endpoint_id), 0) + 1
    readied = sum(step.state == "due" for step in moved) - len(leased) + woken
    readied += sum(item.verdict == "release" for item, _, _ in done)
    timed = sum(item.verdict in ("retry", "poll", "reconcile") for item, _, _ in done)
    timed += sum(step.state == "waiting" for step in moved) + parents + salvaged
    counts = (len(done), len(batch) - len(done), late or None, readied, timed)
    return [(*counts, ended or None, leased or None, _charged(facts) or None)]


def settle_results(tables: Tables, **given: Any) -> Rows:
    """Write the results of local steps, none of which leaves an attempt."""
    same: dict[str, Any] = {"verdicts": "complete", "locals": True, "breakers": 1, "delays": 0.0}
    nothing = ("attempt_states", "faults", "handles", "notes", "costs")
    count = len(given["run_ids"])
    given |= {name: [same.get(name)] * count for name in (*same, *nothing)}
    return settle(tables, **given)


def settle_call(tables: Tables, **arrays: Sequence[Any]) -> Rows:
    """Write the results of runs that are one call and end with it; give those that were as plain as they seemed."""
    kept = [place for place, run_id in enumerate(arrays["run_ids"]) if _is_plain(tables, run_id, place, arrays)]
    if not kept:
        return [(None, None, None)]
    plain = {name: [values[place] for place in kept] for name, values in arrays.items()}
    same = {
        "ordinals": 1,
        "verdicts": "complete",
        "attempt_states": "done",
        "locals": False,
        "breakers": 1,
        "delays": 0.0,
    }
    for name, value in same.items():
        plain[name] = [value] * len(kept)
    for name in ("faults", "handles", "notes", "freezes"):
        plain[name] = [None] * len(kept)
    (found,) = settle(tables, worker=None, claim_id=None, direct_lanes=[], direct_groups=[], direct_places=[], **plain)
    return [(plain["run_ids"], found[5], found[7])]


def _is_plain(tables: Tables, run_id: uuid.UUID, place: int, arrays: Mapping[str, Sequence[Any]]) -> bool:
    run, step, lease = tables.runs.get(run_id), tables.step(run_id, 1), tables.leases.get((run_id, 1))
    tried = None if step is None else step.tries.get(arrays["numbers"][place])
    return (
        (run is not None and step is not None and lease is not None and tried is not None)
        and (lease.fence == arrays["fences"][place] and step.state == "due" and tried.state in ("reserved", "sending"))
        and (run.is_live and run.is_call and run.stopping is None and run.parent_run is None)
        and (
            run.function_state == "returned" and (run.open, run.planned, run.failed) == (1, 1, 0) and not run.is_broken
        )
    )


def _charged(facts: Sequence[_Fact]) -> list[list[int]]:
    """Add up what was newly charged: endpoint, nano-USD, how many estimates."""
    sums: dict[int, list[int]] = {}
    for fact in facts:
        if fact.is_booked and fact.endpoint_id is not None:
            entry = sums.setdefault(fact.endpoint_id, [fact.endpoint_id, 0, 0])
            entry[1], entry[2] = entry[1] + fact.cost, entry[2] + int(fact.is_estimated)
    return list(sums.values())


def _salvage(tables: Tables, facts: Sequence[_Fact], freed: Mapping[Key, Verdict]) -> int:
    """Have calls of unknown outcome looked after at once whose outcome came late; tell how many."""
    keys = {
        (fact.step.run_id, fact.step.ordinal)
        for fact in facts
        if fact.step_state == "unknown" and fact.state in ("done", "accepted")
    } - set(freed)
    for key in keys:
        tables.set_timer((*key, "reconcile"), tables.now_s())
    return len(keys)


def _let_go(tables: Tables, facts: Sequence[_Fact], freed: Mapping[Key, Verdict]) -> None:
    """Let go of slots; have a job asked to stop that was accepted after its call had been stopped."""
    for fact in facts:
        if fact.step_state == "cancelled" and fact.state == "accepted" and fact.is_news:
            assert fact.endpoint_id is not None, "an accepted attempt has an endpoint"
            lane = tables.endpoints[fact.endpoint_id].poll_lane
            tables.put_ready(lane, fact.step.tenant_id, fact.step.run_id, fact.step.ordinal)
    for item in freed.values():
        if not item.is_local:
            verdicts.give_back(tables, item)
            if item.verdict == "poll" and not item.is_over:
                _take_slot_again(tables, item)
            if item.verdict not in ("poll", "reconcile"):
                # What a callback made due while the job was sent or asked after goes with the lease.
                tables.timers.pop((*item.key, "poll"), None)
                tables.timers.pop((*item.key, "reconcile"), None)
    for fact in facts:
        if fact.is_end:
            key = (fact.step.run_id, fact.step.ordinal)
            tables.free_slot(key, is_claimed=True, shown=_SILENT)
            tables.timers.pop((*key, "reconcile"), None)


def _take_slot_again(tables: Tables, item: Verdict) -> None:
    """Take a slot for a job that is found after its call was given up, above the limit if it must."""
    tried = tables.runs[item.run_id].steps[item.ordinal].tries.get(item.number)
    if item.key in tables.slots or tried is None or tried.endpoint_id is None:
        return
    tables.slots[item.key] = deployed.SlotRow(endpoint_id=tried.endpoint_id)
    for scope_id in tables.endpoints[tried.endpoint_id].scope_ids:
        epoch = tables.scopes[scope_id].breaker_epoch
        tables.deltas.append(deployed.Delta(scope_id=scope_id, epoch=epoch, at=tables.now_s(), released=-1))


def holds(lease: tables_module.LeaseRow, fence: int) -> bool:
    """Tell whether a lease is the one that a fence names: the check that makes a late writer harmless."""
    return lease.fence == fence


def _lease_or_queue(tables: Tables, due: Sequence[StepRow], offer: _Offer) -> list[list[Any]]:
    """Lease to the settling worker what it has places for, where nobody waits in the lane; put the rest in line."""
    due = sorted(due, key=lambda step: (step.run_id, step.ordinal))
    open_lanes = {step.lane for step in due if step.kind == "step" and step.lane not in tables.ready}
    paused = {tenant.id for tenant in tables.tenants.values() if tenant.paused_at is not None}
    used: dict[int | None, int] = {}
    leased: list[list[Any]] = []
    for step in due:
        group = offer.groups.get(step.lane) if step.lane in open_lanes and step.tenant_id not in paused else None
        used[group] = used.get(group, 0) + 1
        if group is None or offer.worker is None or used[group] > offer.places[group - 1]:
            tables.put_ready(step.lane, step.tenant_id, step.run_id, step.ordinal)
            continue
        fence = tables.next("fence")
        tables.leases[step.run_id, step.ordinal] = tables_module.LeaseRow(
            run_id=step.run_id,
            ordinal=step.ordinal,
            worker_id=offer.worker,
            fence=fence,
            claim_id=offer.claim_id,
            number=step.attempts + 1,
            lane=step.lane,
            tenant_id=step.tenant_id,
            endpoint_id=None,
            purpose="execute",
            claimed_at=tables.now_s(),
        )
        leased.append(_leased_row(tables, step, fence))
    return leased


def _leased_row(tables: Tables, step: StepRow, fence: int) -> list[Any]:
    row = tables.runs[step.run_id]
    outputs = {str(parent): row.steps[parent].output for parent in step.parents or ()}
    deadline_in_s = None if row.deadline_at is None else row.deadline_at - tables.now_s()
    if deadline_in_s is not None and deadline_in_s <= 0 and row.stopping is None:
        deadline_in_s = 1e-6  # What became due after the deadline is not begun.
    head = [str(step.run_id), step.ordinal, fence, step.attempts + 1, step.tenant_id, step.name, step.version]
    about = [step.input, step.options, step.attempts_before, step.epoch, step.crashes, step.parents, outputs or None]
    return [*head, *about, row.workflow, row.version, row.traceparent, deadline_in_s, row.priority]


def _free(tables: Tables, batch: Sequence[Verdict]) -> dict[Key, Verdict]:
    """Take the leases whose fence matches, and note local tries."""
    freed: dict[Key, Verdict] = {}
    for item in batch:
        step, lease = tables.step(item.run_id, item.ordinal), tables.leases.get(item.key)
        if step is None or lease is None or not holds(lease, item.fence) or item.key in freed:
            continue
        item.is_over = step.state not in tables_module.OPEN - {"blocked"}
        freed[item.key] = item
        del tables.leases[item.key]
        if not item.is_over:
            step.started_at, step.worker_id = lease.claimed_at, lease.worker_id
        # A local step that succeeds at once leaves no attempt: its own row says who ran it, from when to when.
        is_plain = item.verdict == "complete" and item.number == 1
        if item.is_local and item.attempt_state is not None and not is_plain and item.number not in step.tries:
            step.tries[item.number] = tables_module.AttemptRow(
                number=item.number,
                endpoint_id=None,
                worker_id=lease.worker_id,
                fence=item.fence,
                state=item.attempt_state,
                fault=item.fault,
                started_at=lease.claimed_at,
                finished_at=tables.now_s(),
            )
    return freed


def _write_facts(tables: Tables, batch: Sequence[Verdict], freed: dict[Key, Verdict]) -> list[_Fact]:
    """Write what is known of sent attempts, whoever says so."""
    facts: list[_Fact] = []
    written: set[tuple[uuid.UUID, int, int]] = set()
    for item in batch:
        step = tables.step(item.run_id, item.ordinal)
        tried = None if step is None else step.tries.get(item.number)
        if item.is_local or step is None or tried is None or tried.state in ENDED:
            continue
        if (item.run_id, item.ordinal, item.number) in written:
            continue
        written.add((item.run_id, item.ordinal, item.number))
        holder = freed.get(item.key)
        is_late = holder is None or holder.is_over
        assert item.attempt_state is not None, "a verdict on a sent attempt says how it stands"
        told, before = item.attempt_state, tried.state
        if holder is None and told in ("rejected", "unknown") and step.state in ("pending", "unknown"):
            # Somebody else asks after the job: what a worker that lost it says closes nothing.
            told = before if before in ("accepted", "unknown") else told
        tables.move_attempt(tried, _attempt_state(told, before, step.state, holder), of=step)
        tried.handle = item.handle or tried.handle
        tried.fault = item.fault if item.fault is not None else tried.fault
        tried.result = item.output if is_late else None
        is_guess = item.attempt_state == "accepted" and tried.state == "late" and tried.sent_at is not None
        if item.cost is not None:
            tried.cost_nano_usd = item.cost
        elif tried.cost_nano_usd is None and (item.is_billed or is_guess):
            tried.cost_nano_usd = tried.price_nano_usd
        if item.attempt_state == "accepted" and tried.accepted_at is None:
            tried.accepted_at = tables.now_s()
        if item.attempt_state == "unknown" and tried.unknown_at is None:
            tried.unknown_at = tables.now_s()
        tried.finished_at = tables.now_s() if told in ENDED else None
        fact = _Fact(
            step=step,
            number=item.number,
            endpoint_id=tried.endpoint_id,
            state=tried.state,
            cost=0,
            step_state=step.state,
            is_news=item.handle is not None or (holder is not None and holder.is_over),
            is_end=holder is None and step.state == "cancelled" and tried.state in ("done", "rejected", "late"),
        )
        closed = books.close(
            tables, step, tried, is_guess=is_guess, is_as_reserved=item.is_billed and item.cost is None
        )
        fact.cost, fact.is_booked, fact.is_estimated = (
            closed.charged or 0,
            closed.charged is not None,
            closed.is_estimated,
        )
        facts.append(fact)
    return facts


def _attempt_state(told: str, before: str, step_state: str, holder: Verdict | None) -> str:
    if step_state == "unknown":
        return told
    if told == "accepted" and (step_state == "cancelled" or before == "accepted"):
        return "accepted"
    if told in ("done", "accepted") and (holder is None or holder.is_over):
        return "late"
    return told


def _moving(tables: Tables, freed: dict[Key, Verdict]) -> list[tuple[Verdict, StepRow]]:
    """List the steps that a verdict moves."""
    found = [(item, tables.step(item.run_id, item.ordinal)) for item in freed.values() if not item.is_over]
    return [(item, step) for item, step in found if step is not None]


def _move(tables: Tables, item: Verdict, step: StepRow) -> endings.News:
    """Carry a verdict out on its step, with its timer or its place in line."""
    verdict, now = item.verdict, tables.now_s()
    tables.move_step(step, _STATE_AFTER[verdict])
    step.output = item.output if verdict == "complete" else None
    if verdict in ("complete", "release"):
        step.fault = None
    elif verdict != "poll" and not (verdict == "retry" and item.attempt_state is None):
        step.fault = item.fault
    step.note = "" if verdict == "complete" else item.note or ""
    step.attempts = max(step.attempts, item.number - int(verdict == "release" and item.is_local))
    step.attempts_before += int(verdict == "release" and not item.is_local)
    step.finished_at = now if verdict in ("complete", "fail") else None
    if verdict in ("retry", "poll", "reconcile"):
        key = (step.run_id, step.ordinal, verdict)
        tables.set_timer(key, min(tables.timers.get(key, now + item.delay_s), now + item.delay_s))
    if step.state == "due":
        tables.put_ready(step.lane, step.tenant_id, step.run_id, step.ordinal)
    if step.state in ("succeeded", "failed"):
        is_failed = step.state == "failed"
        return endings.News(
            step=step,
            event=f"step.{step.state}",
            is_end=True,
            is_good=not is_failed,
            is_failure=is_failed and not step.is_detached,
            is_fallback=not is_failed and item.tier > 0,
        )
    detail = {"delay_s": item.delay_s, "fault": step.fault}
    return endings.News(step=step, event=_EVENT_AFTER.get(verdict, "step.unknown"), detail=detail)


def _note(facts: Sequence[_Fact], freed: dict[Key, Verdict]) -> None:
    """Count attempts and money on the steps of facts: those the verdict moved, and those that had moved on."""
    for fact in facts:
        holder = freed.get((fact.step.run_id, fact.step.ordinal))
        fact.step.cost_nano_usd += fact.cost
        if holder is None or holder.is_over:
            fact.step.attempts = max(fact.step.attempts, fact.number)


STATEMENTS: dict[str, Statement] = {
    "settle": settle,
    "settle_call": settle_call,
    "settle_results": settle_results,
}
