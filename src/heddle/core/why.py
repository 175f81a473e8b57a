"""Say in one sentence what a run waits for, down to the cause, and when that will probably be over.

Facts come in as they were read in one moment; nothing here reads or waits. Of all open calls the one that will hold the
run the longest is told: one whose end nobody can tell before every other. An estimate is made of what was measured (how
fast a lane moves, how long steps were held) and of known times (timers, pauses, breakers); where neither is there, none
is given. Neighbours: the store reads the facts, the doors show the explanation.
"""

import math

from heddle.core import run as run_law
from heddle.core.policy import lineup
from heddle.core.reasons import Call, Cause, Confidence, Endpoint, Eta, Explanation, Place, Reason, Run

DEPTH_MAX = 5
"""How many child runs an explanation goes down; each is one look at the store."""
LINE_MAX = 10_000
"""The furthest place in a tenant's line that is counted."""
_TENANT_PAUSED = "its tenant is paused; `heddle resume tenant` lets it go on"


Found = tuple[tuple[Reason, ...], Eta | None]


def explain(run: Run) -> Explanation:
    """Explain what a run waits for."""
    chain, eta = _of_run(run)
    sentence = ": ".join(reason.clause for reason in chain) + "."
    return Explanation(sentence=sentence[:1].upper() + sentence[1:], chain=chain, eta=eta)


def _of_run(run: Run) -> Found:
    if run.state in run_law.TERMINAL:
        return _one(Cause.OVER, f"the run has {run.state.value}" + (f" ({run.error})" if run.error else "")), None
    if run.activating_s is not None:
        return _one(Cause.ACTIVATING, f"a worker is running the function of {run.workflow!r} at this moment"), _soon(
            "goes on"
        )
    starts_in_s = run.timers.get("start")
    if starts_in_s is not None and starts_in_s > 0 and run.state is run_law.RunState.QUEUED:
        return _one(Cause.START_TIME, f"the run is to start in {_time(starts_in_s)}"), _known("starts", starts_in_s)
    if run.workers == 0 and (run.is_activation_due or any(_needs_worker(call) for call in run.calls)):
        return _one(Cause.NO_WORKER, "no worker is alive; start one with `heddle worker` (or `heddle up`)"), None
    if run.is_activation_due and not run.is_loaded:
        clause = (
            f"no living worker has loaded version {run.version} of {run.workflow!r}; "
            "start one that has, or cancel the run"
        )
        return _one(Cause.NOT_LOADED, clause), None
    if run.is_activation_due and run.is_tenant_paused:
        return _one(Cause.PAUSED, f"the next activation of {run.workflow!r} waits, because {_TENANT_PAUSED}"), None
    if run.is_activation_due and not run.stopping:
        return _in_line(f"the next activation of {run.workflow!r}", run.place, run)
    found = [_of_call(call, run) for call in run.calls]
    if not found:
        return _one(Cause.ENDING, "nothing is open and the run is about to end"), _soon("ends")
    chain, eta = max(found, key=lambda each: math.inf if each[1] is None else each[1].likely_s)
    if len(found) > 1:
        last = chain[-1]
        more = f"{last.clause} ({len(found) - 1} more call{'s are' if len(found) > 2 else ' is'} open)"
        chain = (*chain[:-1], Reason(cause=last.cause, clause=more))
    if run.stopping:
        return (Reason(cause=Cause.STOPPING, clause=f"the run is stopping ({run.stopping})"), *chain), eta
    return chain, eta


def _needs_worker(call: Call) -> bool:
    return not (call.kind == "signal" or call.purpose)


def _of_call(call: Call, run: Run) -> Found:
    named = f"{call.kind} {call.name!r} (call {call.ordinal})"
    match call.state:
        case "unknown":
            return _of_unknown(call, named)
        case "pending":
            return _of_pending(call, named)
        case "waiting":
            return _of_waiting(call, named)
        case _ if call.purpose:
            return _of_held(call, named)
        case _ if not call.is_loaded:
            return _one(Cause.NOT_LOADED, f"no living worker has loaded {named}; start one that has"), None
        case _ if (pause := _pause(call, run)) is not None:
            return _one(Cause.PAUSED, f"{named} waits, because {pause}"), None
        case _ if call.kind == "model":
            return _of_model(call, named, run)
        case _:
            return _in_line(named, call.place, run)


def _pause(call: Call, run: Run) -> str | None:
    """Say which pause keeps a due call from being claimed; its end is an operator's to decide."""
    if run.is_tenant_paused:
        return _TENANT_PAUSED
    if call.is_model_paused:
        return "its model is paused; `heddle resume model` lets it go on"
    if run.is_sending_paused and call.kind == "model":
        return "all sending is paused since a restore; `heddle resume sending` ends that"
    return None


def _of_unknown(call: Call, named: str) -> Found:
    since = "" if call.unknown_ago_s is None else f" for {_time(call.unknown_ago_s)}"
    where = "the provider" if call.endpoint is None else f"endpoint {call.endpoint!r}"
    due_in_s = call.timers.get("reconcile")
    if due_in_s is None and not call.purpose:
        clause = f"whether {where} took {named} has not been known{since}; it has to be settled by a person"
        return _one(Cause.OUTCOME_UNKNOWN, clause), None
    again = "just now" if due_in_s is None or due_in_s <= 0 else f"in {_time(due_in_s)}"
    clause = f"whether {where} took {named} has not been known{since}; it is looked up {again}, not sent again blindly"
    return _one(Cause.OUTCOME_UNKNOWN, clause), None


def _of_pending(call: Call, named: str) -> Found:
    where = "the provider" if call.endpoint is None else f"endpoint {call.endpoint!r}"
    since = "" if call.accepted_ago_s is None else f" for {_time(call.accepted_ago_s)}"
    note = f" ({call.note})" if call.note else ""
    looked = "" if call.looked_ago_s is None else f", asked last {_time(call.looked_ago_s)} ago"
    due_in_s = call.timers.get("poll", 0.0)
    again = "and again just now" if due_in_s <= 0 else f"and again in {_time(due_in_s)}"
    clause = f"{where} has worked on {named}{since}{note}{looked} {again}"
    return _one(Cause.AT_PROVIDER, clause), None


def _of_waiting(call: Call, named: str) -> Found:
    due_in_s = next((call.timers[kind] for kind in ("retry", "sleep", "signal", "child") if kind in call.timers), None)
    match call.kind:
        case "signal":
            left = "" if due_in_s is None else f" for {_time(due_in_s)} more at most"
            return _one(Cause.SIGNAL, f"it waits for the signal {call.name!r}{left}"), None
        case "workflow":
            return _of_child(call, named)
        case "sleep" if due_in_s is not None:
            return _one(Cause.SLEEPING, f"{named} sleeps for {_time(due_in_s)} more"), _known("wakes", due_in_s)
        case _ if due_in_s is not None and call.fault is None and call.note:
            clause = f"{named} {call.note}; it looks again in {_time(due_in_s)}"
            return _one(Cause.RETRY_TIME, clause), _known("looks_again", due_in_s)
        case _ if due_in_s is not None:
            why = "" if call.fault is None else f" after {call.fault}"
            clause = f"{named} waits for {_time(due_in_s)} more before it is tried again{why}"
            return _one(Cause.RETRY_TIME, clause), _known("tried_again", due_in_s)
        case _:
            return _one(Cause.ENDING, f"{named} is about to begin"), _soon("starts")


def _of_child(call: Call, named: str) -> Found:
    link = Reason(cause=Cause.CHILD, clause=f"it waits for {named} to end, run {call.child_run}")
    if call.child is None:
        return (link,), None
    return (link, *call.child.chain), call.child.eta


def _of_held(call: Call, named: str) -> Found:
    chain = _one(Cause.HELD, f"a worker has been on {named} for {_time(call.held_s)}")
    known = call.held
    if known is None:
        return chain, None
    left_s = known.mean_s - call.held_s
    spread_s = max(known.deviation_s, 0.05 * known.mean_s, 0.05)
    if left_s > -2 * spread_s:
        is_steady = known.count >= 10 and known.deviation_s < 0.3 * known.mean_s
        confidence = Confidence.HIGH if is_steady else Confidence.MEDIUM if known.count >= 3 else Confidence.LOW
        low_s, high_s = max(0.0, left_s - 2 * spread_s), max(0.0, left_s) + 3 * spread_s + 1.0
        return chain, Eta(until="ends", likely_s=max(0.0, left_s), low_s=low_s, high_s=high_s, confidence=confidence)
    # It takes longer than others did: about as long again as it has taken (Lindy), within a wide range.
    return chain, Eta(until="ends", likely_s=call.held_s, low_s=0.0, high_s=10 * call.held_s, confidence=Confidence.LOW)


def _of_model(call: Call, named: str, run: Run) -> Found:
    if not call.endpoints and call.regions:
        clause = (
            f"no endpoint that serves the model {call.name!r} lies in the regions of its tenant "
            f"({', '.join(call.regions)}); name them with `regions` in heddle.toml and run `heddle migrate`"
        )
        return _one(Cause.NO_ROUTE, clause), None
    if not call.endpoints:
        clause = f"no endpoint serves the model {call.name!r}; add a route to heddle.toml and run `heddle migrate`"
        return _one(Cause.NO_ROUTE, clause), None
    closed = {each.name: _closed(each, named) for each in call.endpoints}
    if all(found is not None for found in closed.values()):
        blocked = [found for found in closed.values() if found is not None]
        reason, eta = min(blocked, key=lambda each: math.inf if each[1] is None else each[1].likely_s)
        others = tuple(link for chain, _ in blocked for link in chain if chain is not reason)
        return (*reason, *others[:3]), eta
    tier = min(each.tier for each in call.endpoints if closed[each.name] is None)
    usable = [each for each in call.endpoints if each.tier == tier and closed[each.name] is None]
    full = [_full(each, named) for each in usable]
    if any(found is None for found in full):
        return _in_line(named, call.place, run)
    reason_, until_s = min((found for found in full if found is not None), key=lambda each: each[1])
    line, eta = _in_line(named, call.place, run)
    if eta is None:
        eta = _known("starts", until_s) if until_s > 0 else None
    elif until_s > eta.likely_s:
        eta = Eta(
            until="starts",
            likely_s=until_s,
            low_s=min(until_s, eta.low_s),
            high_s=until_s + eta.high_s,
            confidence=Confidence.MEDIUM,
        )
    return (reason_, *line), eta


def _closed(endpoint: Endpoint, named: str) -> Found | None:
    """Tell what keeps an endpoint from being sent anything; None when it may be."""
    if endpoint.is_paused:
        clause = f"{named} waits, because endpoint {endpoint.name!r} is paused; `heddle resume endpoint` lets it go on"
        return _one(Cause.PAUSED, clause), None
    for scope in endpoint.scopes:
        of = f"endpoint {endpoint.name!r}" + ("" if scope.name == endpoint.name else f" (scope {scope.name!r})")
        if scope.paused_in_s is not None and scope.paused_in_s > 0:
            clause = f"{named} waits, because {of} is paused for {_time(scope.paused_in_s)} more"
            return _one(Cause.PAUSED, clause), _known("starts", scope.paused_in_s, high_more_s=60.0)
        if scope.breaker == "open" and (scope.open_in_s or 0.0) > 0:
            opened_s = scope.open_in_s or 0.0
            clause = f"{named} waits, because the breaker of {of} is open for {_time(opened_s)} more"
            return _one(Cause.BREAKER_OPEN, clause), Eta(
                until="starts",
                likely_s=opened_s,
                low_s=opened_s,
                high_s=opened_s + 300.0,
                confidence=Confidence.LOW,
            )
        if scope.breaker == "half_open" and (scope.probe_in_s or 0.0) > 0:
            clause = f"{named} waits, because one probe is out to see whether {of} is well again"
            return _one(Cause.PROBE_OUT, clause), Eta(
                until="starts",
                likely_s=(scope.probe_in_s or 0.0) / 2,
                low_s=0.0,
                high_s=300.0,
                confidence=Confidence.LOW,
            )
        if scope.concurrency == 0:
            return _one(Cause.PAUSED, f"{named} waits, because {of} is given no slot at all"), None
    return None


def _full(endpoint: Endpoint, named: str) -> tuple[Reason, float] | None:
    """Tell which scope of an endpoint has no room, and in how many seconds it is known to have some (0: not known)."""
    for scope in endpoint.scopes:
        if scope.frozen_in_s is not None and scope.frozen_in_s > 0:
            clause = (
                f"{named} waits, because endpoint {endpoint.name!r} has asked to be sent nothing for "
                f"{_time(scope.frozen_in_s)} more (scope {scope.name!r})"
            )
            return Reason(cause=Cause.RATE_LIMITED, clause=clause), scope.frozen_in_s
        if scope.concurrency is not None and scope.in_flight >= scope.concurrency:
            slots = f"the {scope.concurrency} slots" if scope.concurrency > 1 else "the one slot"
            clause = (
                f"{named} waits for one of {slots} of scope {scope.name!r} (endpoint {endpoint.name!r}), "
                f"where {scope.in_flight} are in flight"
            )
            if scope.concurrency == 1:
                clause = clause.replace("for one of the one slot", "for the one slot")
            return Reason(cause=Cause.SLOTS_FULL, clause=clause), 0.0
        if scope.rate_in_s is not None and scope.rate_in_s > 0:
            clause = (
                f"{named} waits, because scope {scope.name!r} (endpoint {endpoint.name!r}) may send {scope.per_min} "
                f"requests a minute and the next in {_time(scope.rate_in_s)}"
            )
            return Reason(cause=Cause.RATE_LIMITED, clause=clause), scope.rate_in_s
        if scope.is_short:
            clause = (
                f"{named} waits, because what is left of the tokens or images a minute of scope {scope.name!r} "
                f"(endpoint {endpoint.name!r}) is too little for what is in line"
            )
            return Reason(cause=Cause.RATE_LIMITED, clause=clause), 0.0
    return None


def _in_line(named: str, place: Place, run: Run) -> Found:
    """Tell where something stands in its line, and when its turn probably comes."""
    if place.before is None:
        if place.lane is None or place.lane.queued == 0:
            return _one(Cause.IN_LINE, f"{named} is about to be taken by a worker"), _soon("starts")
        clause = f"{named} is in line behind more than {LINE_MAX:,} of its tenant's"
        return _one(Cause.IN_LINE, clause), _of_line(place, place.lane.tenants.get(run.tenant), run)
    others = "" if place.lane is None else _others(place.lane, run)
    before = f"behind {place.before:,} of its tenant's" if place.before else "first of its tenant's"
    clause = f"{named} is in line for a worker, {before}{others}"
    return _one(Cause.IN_LINE, clause), _of_line(place, None, run)


def _others(lane: lineup.LaneLoad, run: Run) -> str:
    others = lane.queued - lineup.line_of(lane, run.tenant).queued
    if others <= 0:
        return ""
    weights = {tenant: line.weight for tenant, line in lane.tenants.items()} | {run.tenant: run.weight}
    total = sum(weights.values()) + (0 if lane.rest is None else lane.rest.weight)
    return f", which has {100 * run.weight / total:.0f} % of a lane where others have {others:,}"


def _of_line(place: Place, own: lineup.TenantLine | None, run: Run) -> Eta | None:
    """Estimate when the turn comes: what is ahead by fair shares, over how fast the lane moves."""
    lane = place.lane
    if lane is None or lane.drained_per_s <= 0 or place.measured_ago_s > 30.0:
        # Nothing has moved here lately: a line that is short and new is taken at once, of another nothing is known.
        is_fresh = not place.before and place.waited_s < 1.0
        return _soon("starts") if is_fresh else None
    before = place.before if place.before is not None else (LINE_MAX if own is None else own.queued)
    ahead = _ahead(lane, before, run)
    likely_s = ahead / lane.drained_per_s
    is_fresh = place.measured_ago_s < 5.0
    confidence = (
        Confidence.HIGH
        if is_fresh and likely_s < 60.0 and ahead >= 20
        else Confidence.MEDIUM
        if is_fresh
        else Confidence.LOW
    )
    return Eta(
        until="starts",
        likely_s=likely_s,
        low_s=max(0.0, likely_s * 0.5 - 1.0),
        high_s=likely_s * 2.0 + 2.0,
        confidence=confidence,
    )


def _ahead(lane: lineup.LaneLoad, before: int, run: Run) -> float:
    turns = (before + 1) / run.weight
    others = [line for tenant, line in lane.tenants.items() if tenant != run.tenant]
    if lane.rest is not None:
        others.append(lane.rest)
    return before + sum(min(float(line.queued), line.weight * turns) for line in others)


def _one(cause: Cause, clause: str) -> tuple[Reason, ...]:
    return (Reason(cause=cause, clause=clause),)


def _soon(until: str) -> Eta:
    return Eta(until=until, likely_s=0.1, low_s=0.0, high_s=2.0, confidence=Confidence.MEDIUM)


def _known(until: str, due_in_s: float, *, high_more_s: float = 2.0) -> Eta:
    """Estimate by a time that is set: it comes then, and a moment later at most."""
    due_in_s = max(0.0, due_in_s)
    return Eta(
        until=until,
        likely_s=due_in_s,
        low_s=max(0.0, due_in_s - 0.5),
        high_s=due_in_s + high_more_s,
        confidence=Confidence.HIGH if high_more_s <= 2.0 else Confidence.MEDIUM,
    )


def _time(seconds: float) -> str:
    """Write a time as a person says it."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"
