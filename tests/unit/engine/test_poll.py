"""A call in doubt is asked after, unless its worker has told meanwhile that its attempt came to nothing."""

import asyncio
import types
from typing import Any, cast

from heddle.config import settings
from heddle.core import faults, settle
from heddle.engine import hold, poll
from tests.unit.engine import claims


class House:
    """Hold a poller whose endpoint must not be asked, and keep what was concluded."""

    def __init__(self) -> None:
        self.concluded: list[settle.Outcome] = []
        endpoint = types.SimpleNamespace(row=claims.endpoint(name="shop"), provider=None)
        parts = types.SimpleNamespace(
            endpoints={7: endpoint}, hold=hold.Hold(), clock=self, settings=settings.Settings()
        )
        self.poller = poll.Poller(cast("Any", parts), cast("Any", self))

    def monotonic_s(self) -> float:
        return 1.0

    async def request(self, *_: Any) -> Any:
        return types.SimpleNamespace(callback_url=None, artifacts=None)

    def conclude(self, _claimed: Any, outcome: settle.Outcome, *_: Any, **__: Any) -> None:
        self.concluded.append(outcome)


def test_act_when_the_attempt_was_rejected_meanwhile_then_nothing_is_sent_under_it_and_the_call_is_tried_anew() -> None:
    house = House()
    claimed = claims.claimed(purpose="poll", state="unknown", attempt_state="rejected", endpoint_id=7)

    asyncio.run(house.poller.act(claimed))

    (outcome,) = house.concluded
    assert isinstance(outcome, settle.Faulted)
    assert outcome.fault.fault is faults.Fault.NOT_SENT
