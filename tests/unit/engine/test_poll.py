"""A call in doubt is asked after, unless its worker has told meanwhile what its attempt came to."""

import asyncio
import random
import types
from typing import Any, cast

import pytest

from heddle.config import settings
from heddle.core import attempt, faults, settle
from heddle.core.policy import retry as retry_policy
from heddle.engine import hold, poll
from heddle.ports import store
from tests.unit.engine import claims


class House:
    """Hold a poller and the endpoint that it may ask, and keep what was asked and concluded."""

    def __init__(self) -> None:
        self.concluded: list[settle.Outcome] = []
        self.polled: list[str] = []
        self.answer: settle.Outcome = settle.StillRunning(poll_after_s=1.0, note="queued")
        # It can be polled and nothing else: a send or a look-up would end the test.
        endpoint = types.SimpleNamespace(
            row=claims.endpoint(name="shop"), provider=types.SimpleNamespace(poll=self.poll)
        )
        parts = types.SimpleNamespace(
            endpoints={7: endpoint}, hold=hold.Hold(), clock=self, settings=settings.Settings()
        )
        self.poller = poll.Poller(cast("Any", parts), cast("Any", self))

    def monotonic_s(self) -> float:
        return 1.0

    async def request(self, *_: Any) -> Any:
        return types.SimpleNamespace(callback_url=None, artifacts=None)

    async def poll(self, handle: str, _request: Any) -> settle.Outcome:
        self.polled.append(handle)
        return self.answer

    def conclude(self, _claimed: Any, outcome: settle.Outcome, *_: Any, **__: Any) -> None:
        self.concluded.append(outcome)

    def outcome_of(self, **changes: Any) -> settle.Outcome:
        """Act on a claimed poll; give what was concluded."""
        claimed: store.Claimed = claims.claimed(
            **{"purpose": "poll", "endpoint_id": 7, "attempt_state": "rejected"} | changes
        )
        asyncio.run(self.poller.act(claimed))
        (outcome,) = self.concluded
        return outcome


def test_act_when_the_attempt_was_rejected_meanwhile_then_nothing_is_sent_under_it_and_the_call_is_tried_anew() -> None:
    outcome = House().outcome_of(state="unknown")

    facts = settle.AttemptFacts(number=1, retry=retry_policy.RetryOptions(), idempotency=attempt.IdempotencyClass.A)
    verdict = settle.decide(outcome, facts, rng=random.Random(0))
    assert isinstance(verdict, settle.RetryAt)
    assert not verdict.is_same_attempt
    assert verdict.fault.fault is faults.Fault.NOT_SENT


def test_act_when_the_attempt_was_rejected_and_its_job_is_known_then_the_job_is_asked_after() -> None:
    house = House()

    outcome = house.outcome_of(state="pending", handle="job-1")

    assert house.polled == ["job-1"]
    assert isinstance(outcome, settle.StillRunning)


@pytest.mark.parametrize(
    ("answer", "sent_for_s"),
    [
        (settle.Unknown(message="the provider has forgotten it"), 1.0),
        (settle.StillRunning(poll_after_s=1.0), settings.Settings().job_at_most_s + 1.0),
    ],
    ids=["it is not known", "it does not end"],
)
def test_act_when_a_job_that_was_given_up_cannot_be_asked_after_then_the_call_is_made_again(
    answer: settle.Outcome, sent_for_s: float
) -> None:
    house = House()
    house.answer = answer

    outcome = house.outcome_of(state="unknown", handle="job-9", sent_for_s=sent_for_s)

    assert outcome == settle.Absent(is_certain=True)


@pytest.mark.parametrize("state", ["done", "late"])
def test_act_when_the_answer_came_while_nobody_waited_for_it_then_it_is_taken_and_nobody_is_asked(state: str) -> None:
    house = House()

    outcome = house.outcome_of(state="unknown", attempt_state=state, result={"picture": 7}, handle="job-1")

    assert house.polled == []
    assert outcome == settle.Completed(output={"picture": 7})
