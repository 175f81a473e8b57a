"""One event that cannot be written keeps no other from its receiver."""

import asyncio
import datetime
import random
import types
import uuid
from typing import Any, cast

from heddle.config import settings
from heddle.core import outbox as law
from heddle.engine import deliver, sweep
from heddle.engine import parts as parts_module
from heddle.ports import courier, outbox


class _Clock:
    rng = random.Random(7)

    def monotonic_s(self) -> float:
        return 1.0

    def unix_s(self) -> float:
        return 1.0


class _Courier:
    """Take every letter."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def send(self, letter: courier.Letter) -> courier.Answered:
        self.bodies.append(letter.body)
        return courier.Answered(status=200, retry_after_s=None)


def due(seq: int) -> outbox.DueEvent:
    return outbox.DueEvent(
        id=law.EventId(run_id=uuid.UUID(int=seq), seq=seq),
        fence=1,
        receiver=outbox.Receiver(tenant_id=seq, address="https://shop.example"),
        url="https://shop.example/hook",
        type="run.succeeded",
        at=datetime.datetime(2026, 11, 29, tzinfo=datetime.UTC),
        tries=0,
        failures=0,
        body=None,
        view=None,
        submitted_as=uuid.UUID(int=seq),
        is_whole=True,
        is_disabled=False,
        keys=(),
    )


async def test_events_when_one_cannot_be_written_then_it_is_dead_and_the_next_is_sent() -> None:
    there = _Courier()

    def compose(event: outbox.DueEvent) -> str:
        return {2: "well"}[event.id.seq]

    parts = types.SimpleNamespace(settings=settings.Settings(), clock=_Clock(), courier=there, compose=compose)
    deliverer = deliver.Deliverer(cast("parts_module.Parts", parts), cast("sweep.Sweeper", cast("Any", None)))

    deliverer._begin(due(1))
    deliverer._begin(due(2))
    await asyncio.wait(deliverer._flights)

    assert there.bodies == [b"well"]
    states = {write.id.seq: (write.state, write.error) for write in deliverer._writes}
    assert states[2] == (law.EventState.DELIVERED, None)
    assert states[1][0] is law.EventState.DEAD
    assert "could not be written" in (states[1][1] or "")
