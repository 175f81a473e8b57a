"""The one sentence that says what a run waits for, from facts written down."""

from typing import Any

import pytest

from heddle.core import reasons, run, why
from heddle.core.policy import lineup

Cause, Confidence = reasons.Cause, reasons.Confidence


def line(queued: int, *, weight: int = 1) -> lineup.TenantLine:
    return lineup.TenantLine(queued=queued, oldest_age_s=1.0, weight=weight)


def lane(tenants: dict[int, lineup.TenantLine], *, drained_per_s: float = 10.0) -> lineup.LaneLoad:
    return lineup.LaneLoad(
        kind="step",
        name="mask",
        version=1,
        priority=run.Priority.STANDARD,
        queued=sum(each.queued for each in tenants.values()),
        drained_per_s=drained_per_s,
        tenants=tenants,
    )


def call(**given: Any) -> reasons.Call:
    return reasons.Call(**{"ordinal": 3, "kind": "step", "name": "mask", "state": "due", **given})


def explained(*calls: reasons.Call, **given: Any) -> reasons.Explanation:
    facts: dict[str, Any] = {
        "state": run.RunState.RUNNING,
        "workflow": "shoot",
        "version": 1,
        "tenant": 1,
        "weight": 1,
        "workers": 1,
        "is_loaded": True,
        "is_activation_due": False,
        "calls": calls,
    }
    return why.explain(reasons.Run(**{**facts, **given}))


@pytest.mark.parametrize(
    ("kind", "timers", "said"),
    [
        ("sleep", {"sleep": 4.0}, "Sleep 'mask' (call 3) sleeps for 4.0 s more."),
        ("step", {"retry": 4.0}, "Step 'mask' (call 3) waits for 4.0 s more before it is tried again."),
        ("signal", {}, "It waits for the signal 'mask'."),
        ("signal", {"signal": 7_200.0}, "It waits for the signal 'mask' for 2.0 h more at most."),
    ],
)
def test_why_when_a_call_waits_for_its_time_then_it_says_for_what(
    kind: str, timers: dict[str, float], said: str
) -> None:
    assert str(explained(call(kind=kind, state="waiting", timers=timers))) == said


def test_why_when_two_calls_are_open_then_the_one_that_holds_longest_is_told() -> None:
    short = call(state="waiting", timers={"retry": 1.0})
    long = call(ordinal=4, kind="sleep", state="waiting", timers={"sleep": 60.0})

    assert str(explained(short, long)) == "Sleep 'mask' (call 4) sleeps for 60 s more (1 more call is open)."


def test_why_when_one_call_waits_for_a_person_then_it_is_told_before_any_other() -> None:
    asks = call(kind="signal", name="art_director", state="waiting")
    sleeps = call(ordinal=4, kind="sleep", state="waiting", timers={"sleep": 86_400.0})

    found = explained(sleeps, asks)

    assert (found.chain[-1].cause, found.eta) == (Cause.SIGNAL, None)


def test_eta_when_in_line_then_what_is_ahead_by_fair_shares_over_the_drain() -> None:
    waiting = reasons.Place(before=30, lane=lane({1: line(40), 2: line(1_000)}), measured_ago_s=1.0)

    found = explained(call(place=waiting))

    assert str(found) == (
        "Step 'mask' (call 3) is in line for a worker, behind 30 of its tenant's, which has 50 % of a lane where "
        "others have 1,000."
    )
    assert found.eta is not None
    assert (found.eta.until, found.eta.likely_s, found.eta.confidence) == ("starts", 6.1, Confidence.HIGH)


def test_eta_when_nothing_has_moved_then_none_is_given() -> None:
    stuck = reasons.Place(before=30, waited_s=9.0, lane=lane({1: line(40)}, drained_per_s=0.0), measured_ago_s=1.0)

    assert explained(call(place=stuck)).eta is None


@pytest.mark.parametrize(
    ("held_s", "count", "likely_s", "confidence"),
    [
        (0.5, 50, 1.5, Confidence.HIGH),
        (0.5, 5, 1.5, Confidence.MEDIUM),
        (0.5, 1, 1.5, Confidence.LOW),
        (9.0, 50, 9.0, Confidence.LOW),
    ],
)
def test_eta_when_a_worker_holds_it_then_by_how_long_others_were_held(
    held_s: float, count: float, likely_s: float, confidence: reasons.Confidence
) -> None:
    known = reasons.Held(mean_s=2.0, square_s2=4.01, count=count)

    found = explained(call(purpose="execute", held_s=held_s, held=known))

    assert found.eta is not None
    assert (found.eta.likely_s, found.eta.confidence) == (likely_s, confidence)
    assert found.eta.low_s <= likely_s <= found.eta.high_s


def endpoint(name: str, *, tier: int = 0, **scope: Any) -> reasons.Endpoint:
    return reasons.Endpoint(name=name, tier=tier, after_s=30.0, scopes=(reasons.Scope(name=name, **scope),))


def test_why_when_the_first_choice_is_closed_and_the_second_full_then_the_second_is_what_it_waits_for() -> None:
    endpoints = (
        endpoint("first", breaker="open", open_in_s=20.0),
        endpoint("second", tier=1, concurrency=4, in_flight=4),
    )

    found = explained(call(kind="model", endpoints=endpoints, place=reasons.Place(before=0)))

    assert found.chain[0].cause is Cause.SLOTS_FULL
    assert "one of the 4 slots of scope 'second' (endpoint 'second'), where 4 are in flight" in str(found)


@pytest.mark.parametrize(
    ("scope", "said", "likely_s"),
    [
        ({"frozen_in_s": 40.0}, "endpoint 'first' has asked to be sent nothing for 40 s more (scope 'first')", 40.0),
        ({"is_short": True}, "the tokens or images a minute of scope 'first' (endpoint 'first') is too little", 0.1),
        ({"frozen_in_s": -1.0, "rate_in_s": 7.0, "per_min": 2}, "may send 2 requests a minute", 7.0),
    ],
)
def test_why_when_a_limit_leaves_no_room_then_which_and_until_when(
    scope: dict[str, Any], said: str, likely_s: float
) -> None:
    found = explained(call(kind="model", endpoints=(endpoint("first", **scope),), place=reasons.Place(before=0)))

    assert found.chain[0].cause is Cause.RATE_LIMITED
    assert said in str(found)
    assert found.eta is not None
    assert found.eta.likely_s == likely_s


def test_why_when_every_endpoint_is_closed_then_the_one_that_opens_first_leads() -> None:
    endpoints = (
        endpoint("first", breaker="open", open_in_s=200.0),
        endpoint("second", paused_in_s=5.0),
    )

    found = explained(call(kind="model", endpoints=endpoints))

    assert [reason.cause for reason in found.chain] == [Cause.PAUSED, Cause.BREAKER_OPEN]
    assert found.eta is not None
    assert found.eta.likely_s == 5.0


@pytest.mark.parametrize(
    ("given", "of_run", "said"),
    [
        (
            {"endpoints": (reasons.Endpoint(name="studio", tier=0, after_s=30.0, scopes=(), is_paused=True),)},
            {},
            "endpoint",
        ),
        ({"is_model_paused": True}, {}, "model"),
        ({}, {"is_tenant_paused": True}, "tenant"),
        ({}, {"is_sending_paused": True}, "sending"),
    ],
)
def test_why_when_an_operator_has_paused_it_then_what_and_nobody_can_tell_until_when(
    given: dict[str, Any], of_run: dict[str, Any], said: str
) -> None:
    found = explained(call(kind="model", place=reasons.Place(before=0), **given), **of_run)

    assert (found.chain[-1].cause, found.eta) == (Cause.PAUSED, None)
    assert f"`heddle resume {said}`" in str(found)


def test_why_when_sending_is_paused_then_a_step_of_our_own_stands_in_line() -> None:
    found = explained(call(place=reasons.Place(before=0)), is_sending_paused=True)

    assert found.chain[-1].cause is Cause.IN_LINE


def test_why_when_the_tenant_is_paused_then_its_next_activation_waits_for_that() -> None:
    found = explained(is_activation_due=True, place=reasons.Place(before=0), is_tenant_paused=True)

    assert str(found) == (
        "The next activation of 'shoot' waits, because its tenant is paused; `heddle resume tenant` lets it go on."
    )
    assert found.eta is None


def test_why_when_the_run_is_over_then_how() -> None:
    assert str(explained(state=run.RunState.FAILED, error="boom")) == "The run has failed (boom)."


def test_why_when_no_worker_is_alive_but_a_person_is_asked_then_the_person_is_told() -> None:
    assert explained(call(kind="signal", state="waiting"), workers=0).chain[0].cause is Cause.SIGNAL
