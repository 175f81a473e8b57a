"""Judge a day that is over: what was promised to customers, and what providers were paid, by their own ledgers."""

from typing import TYPE_CHECKING

from heddle.core import attempt, outbox, plan
from heddle.testing.memory.tables import RunRow, Tables
from heddle.testing.simulation import provider
from tests.simulation import customers, invariants, workflows

if TYPE_CHECKING:
    from tests.simulation import day as day_module


def broken(day: "day_module.Day") -> list[str]:
    """List the broken promises."""
    tables = day.world.memory.tables
    found = invariants.left_over(tables)
    found += [
        f"{hand.name} holds {len(hand.parts.hold)} leases at the end"
        for hand in day.was_running
        if len(hand.parts.hold)
    ]
    for wanted in day.customers.runs:
        found += _result(day, wanted, tables.runs[wanted.run_id])
    for row in tables.runs.values():
        found += _once(row)
    found += _shared(tables)
    found += _told(day)
    for desk in day.world.desks.values():
        found += _payments(day, desk)
    return found


def _result(day: "day_module.Day", wanted: customers.Wanted, row: RunRow) -> list[str]:
    """Hold a run to its result."""
    kind = {**workflows.KINDS, **workflows.DIRECT, **workflows.HOUSES}[wanted.kind]
    if row.chain_last is not None:
        row = day.world.memory.tables.runs[row.chain_last]
    name = f"run {row.id} of {wanted.kind}({wanted.given})"
    is_stopped = row.state in ("cancelled", "expired")
    if is_stopped and (wanted.is_meddled or row.state in kind.may_end):
        return []
    if row.state == "failed" and wanted.has_deadline:
        # A call is not tried again when the next try would begin after the deadline.
        return []
    if row.state != "succeeded":
        return [f"{name} has not succeeded but {row.state}: {row.error}"]
    found = plan.resolve(row.shape, lambda ordinal: row.steps[ordinal].output)
    if wanted.has_deadline and found in kind.late:
        return []
    return [] if kind.right(wanted.given, found) else [f"{name} gave {found}"]


def _told(day: "day_module.Day") -> list[str]:
    """Hold the end of every run that somebody wanted to know of to one event that arrived, and no other run to any."""
    tables = day.world.memory.tables
    wanted = {
        (row.id, number, name)
        for row in tables.runs.values()
        for number, name, *_ in row.events
        if row.webhook_url is not None
        and name in outbox.EVENT_TYPES
        # A run that goes on as another has not succeeded; what it came to before it was tried again is told.
        and (row.continued_as is None or name != "run.succeeded")
    }
    posted = {(row.run_id, row.seq, row.type): row.state for row in tables.outbox.values()}
    found = [
        f"{name} of run {run_id} was posted: {posted.get((run_id, number, name))}"
        for run_id, number, name in wanted ^ posted.keys()
    ]
    found += [f"the event {key} is {state}" for key, state in posted.items() if state != "delivered"]
    arrived = set(day.world.letters)
    return found + [f"the event {key} never arrived" for key in posted if str(outbox.EventId(*key[:2])) not in arrived]


def _once(row: RunRow) -> list[str]:
    """Hold every call to ending once."""
    ends = [(ordinal, name) for _, name, ordinal, _, _ in row.events if name in ("step.succeeded", "step.failed")]
    ordinals = [ordinal for ordinal, _ in ends]
    epochs = {step.ordinal: step.epoch for step in row.steps.values()}
    return [
        f"call {row.id}.{ordinal} ended {ordinals.count(ordinal)} times"
        for ordinal in sorted(set(ordinals))
        if ordinals.count(ordinal) > 1 + epochs.get(ordinal, len(ordinals))
    ]


def _shared(tables: Tables) -> list[str]:
    """Hold equal calls to one payment: of those that nobody stopped, one was made and the others have its result."""
    made: dict[tuple[int, object], list[str]] = {}
    for row in tables.runs.values():
        is_stopped = any(name in ("run.stopping", "run.expired", "run.cancelled") for _, name, *_ in row.events)
        for step in row.steps.values():
            is_made = step.state == "succeeded" and "reused" not in (step.options or {})
            if step.name == "sim_share_b" and is_made and not is_stopped:
                made.setdefault((step.tenant_id, step.input["number"]), []).append(f"{row.id}.{step.ordinal}")
    return [
        f"the call for {number} was made {len(calls)} times for tenant {tenant}: {calls}"
        for (tenant, number), calls in made.items()
        if len(calls) > 1
    ]


def _payments(day: "day_module.Day", desk: provider.Desk) -> list[str]:
    """Hold the house to what the desk's own ledger says."""
    if not desk.manners.is_paid:
        return []
    tables, found = day.world.memory.tables, []
    paid: dict[str, list[provider.Job]] = {}
    for job in desk.ledger:
        if job.is_paid:
            paid.setdefault(provider.logical_call(job.attempt_id), []).append(job)
    is_c = desk.manners.idempotency is attempt.IdempotencyClass.C
    for call, jobs in paid.items():
        run_id, _, ordinal = call.rpartition(".")
        row = next(row for row in tables.runs.values() if str(row.id) == run_id)
        step = row.steps[int(ordinal)]
        if len(jobs) > 1 + step.epoch and (not is_c or step.name == "sim_guess_c"):
            found.append(f"call {call} was paid {len(jobs)} times at {desk.name}: {[job.attempt_id for job in jobs]}")
        if step.state == "succeeded" and not any(
            (key[:2], key[3]) == ((row.id, int(ordinal)), "charge") for key in tables.ledger
        ):
            found.append(f"call {call} was paid at {desk.name} and is in no ledger of ours")
    limit = next(
        scope.concurrency if scope.concurrency_max is None else scope.concurrency_max
        for scope in tables.scopes.values()
        if scope.name == desk.name
    )
    if limit is not None and not is_c and desk.busiest > limit:
        found.append(f"{desk.name} worked on {desk.busiest} calls at once, and allows {limit}")
    for row in tables.runs.values():
        spent = sum(len(jobs) for call, jobs in paid.items() if call.startswith(str(row.id)))
        if row.max_cost_nano_usd is not None and spent * desk.manners.price_nano_usd > row.max_cost_nano_usd:
            found.append(f"run {row.id} spent {spent} x {desk.manners.price_nano_usd} of {row.max_cost_nano_usd}")
    return found
