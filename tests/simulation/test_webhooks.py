"""Bar B6 on a virtual clock: 5,000 runs, receivers that fail in every way, 80 hours, and one that hangs."""

import asyncio
import random
import statistics
import types
import uuid
from collections.abc import Sequence
from typing import Any, cast

import pytest

from heddle.client import letters
from heddle.config import settings
from heddle.core import outbox
from heddle.core.policy import delivery
from heddle.engine import deliver, supervise
from heddle.engine import parts as parts_module
from heddle.ports import records
from heddle.providers import courier
from heddle.testing.memory import store as memory_store
from heddle.testing.simulation import loop as loop_module
from tests.simulation.receivers import Internet, Manner, Receiver

HOUR_S = 3_600.0
SECRET_KEY = "of the simulation"
EVENTS_EACH = 25
# Of 200 receivers: 30 % answer 500, 10 % hang, 5 % ask for a pause, 2 % redirect, 1 % are gone.
SHARES = {Manner.SICK: 60, Manner.HANGING: 20, Manner.PAUSING: 10, Manner.MOVED: 4, Manner.GONE: 2, Manner.WELL: 104}


class Town:
    """Hold workers that only deliver, the store that they share, and the receivers."""

    def __init__(self, receivers: Sequence[Receiver], *, seed: int, workers: int, look_s: float) -> None:
        self.loop = loop_module.VirtualLoop()
        self.receivers = list(receivers)
        self.memory = memory_store.Memory(
            now_s=lambda: loop_module.START_UNIX_S + self.loop.time(), rng=random.Random(f"{seed}.store")
        )
        salt = uuid.UUID(int=seed)
        self.memory.tables.secrets[1, 1] = (salt, self.memory.tables.now_s(), None)
        secret = outbox.secret(secret_key=SECRET_KEY, tenant_id=1, version=1, salt=salt)
        self.internet = Internet(self.receivers, loop=self.loop, rng=random.Random(f"{seed}.net"), secret=secret)
        self.doors = memory_store.MemoryDoors(self.memory)
        self.deliverers = [self._deliverer(f"{seed}.{number}", look_s) for number in range(workers)]

    def _deliverer(self, seed: str, look_s: float) -> tuple[parts_module.Parts, deliver.Deliverer]:
        clock = loop_module.VirtualClock(self.loop, rng=random.Random(seed))
        nothing = cast("Any", types.SimpleNamespace())
        made = parts_module.Parts(
            settings=settings.Settings(secret_key=SECRET_KEY, webhook_look_s=look_s),
            store=memory_store.MemoryStore(self.memory),
            pulse=nothing,
            doorbell=nothing,
            compute=nothing,
            blobs=nothing,
            clock=clock,
            build_provider=nothing,
            callback_url=nothing,
            courier=courier.HttpCourier(
                connections=cast("Any", self.internet), now_s=clock.unix_s, is_private_allowed=False
            ),
            compose=letters.composer(public_url="https://heddle.example", predictions=None),
            name=seed,
        )
        made.is_alive.set()
        return made, deliver.Deliverer(made, cast("Any", types.SimpleNamespace(is_leader=False)))

    async def arrive(self, *, events_each: int, within_s: float, rng: random.Random) -> dict[str, float]:
        """End runs at drawn times, and give when each event came to be, by its id."""
        moments = sorted(
            (rng.random() * within_s, number, receiver.url)
            for number in range(events_each)
            for receiver in self.receivers
        )
        owner = records.Tenant(id=1, name="default")
        for moment_s, _, url in moments:
            await asyncio.sleep(max(0.0, moment_s - self.loop.time()))
            new = records.NewRun(tenant=owner, workflow="shoot", version=1, input={}, webhook_url=url)
            self.doors.cancel(tenant=owner, run_id=self.doors.submit(new).run_id)
        return {
            str(outbox.EventId(*key)): row.at - loop_module.START_UNIX_S
            for key, row in self.memory.tables.outbox.items()
        }

    def live(self, *, events_each: int, within_s: float, until_s: float, seed: int) -> dict[str, float]:
        """Deliver what arrives, until a time; give when each event came to be."""

        async def day() -> dict[str, float]:
            stages = [
                asyncio.create_task(supervise.forever(parts, "deliver", each.one_pass))
                for parts, each in self.deliverers
            ]
            born = await self.arrive(events_each=events_each, within_s=within_s, rng=random.Random(f"{seed}.arrivals"))
            await asyncio.sleep(until_s - self.loop.time())
            for stage in stages:
                stage.cancel()
            await asyncio.gather(*stages, return_exceptions=True)
            for _, each in self.deliverers:
                await each.close()
            return born

        try:
            return self.loop.run_until_complete(day())
        finally:
            self.loop.close()

    def states(self, receiver: Receiver) -> list[tuple[str, int]]:
        """Give where a receiver's events are, with their tries."""
        rows = self.memory.tables.outbox.values()
        return [(row.state, row.tries) for row in rows if row.url == receiver.url]


def late_tries(receiver: Receiver) -> list[float]:
    """Give the tries that began while the receiver had asked for a pause."""
    return [
        each.began_s
        for each in receiver.tries
        for asked_s, until_s in receiver.pauses
        if asked_s < each.began_s < until_s
    ]


def spans(receiver: Receiver) -> list[tuple[int, float]]:
    """Give of each event how often it was tried, and over how long."""
    ids = {each.message_id for each in receiver.tries}
    found = [[each.began_s for each in receiver.of(message_id)] for message_id in sorted(ids)]
    return [(len(moments), max(moments) - min(moments)) for moments in found]


@pytest.mark.slow
def test_bar_when_5000_runs_meet_receivers_that_fail_for_80_hours_then_every_promise_is_kept() -> None:
    receivers = [
        Receiver(name=f"{manner.name.lower()}-{number}", manner=manner)
        for manner, count in SHARES.items()
        for number in range(count)
    ]
    town = Town(receivers, seed=1, workers=2, look_s=20.0)
    born = town.live(events_each=EVENTS_EACH, within_s=600.0, until_s=80 * HOUR_S, seed=1)
    of = {manner: [each for each in receivers if each.manner is manner] for manner in Manner}

    assert len(born) == 5_000
    assert town.memory.errors == []
    # Whoever is well, or becomes well, has each event, signed, under its one id.
    for receiver in (*of[Manner.WELL], *of[Manner.PAUSING]):
        assert {each.message_id for each in receiver.tries if each.status == 204} <= set(born)
        assert len({each.message_id for each in receiver.tries if each.status == 204}) == EVENTS_EACH
        assert town.states(receiver) == [("delivered", len(receiver.of(each))) for each in _ids(town, receiver)]
    assert all(each.is_signed for receiver in receivers for each in receiver.tries)
    # Pauses are kept, by all events of the receiver and both workers.
    assert [late_tries(receiver) for receiver in of[Manner.PAUSING]] == [[]] * len(of[Manner.PAUSING])
    # Redirects are followed by nobody, and fail like anything else.
    assert town.internet.strangers == []
    # An address that is gone gets nothing after it has said so.
    for receiver in of[Manner.GONE]:
        said_s = min(each.ended_s for each in receiver.tries)
        assert [each for each in receiver.tries if each.began_s > said_s] == []
        assert {state for state, _ in town.states(receiver)} == {"disabled"}
    # What never succeeds is tried ten times over three days, and then given up.
    for receiver in (*of[Manner.SICK], *of[Manner.HANGING], *of[Manner.MOVED]):
        assert town.states(receiver) == [("dead", delivery.OPTIONS.tries_max)] * EVENTS_EACH
        assert min(count for count, _ in spans(receiver)) >= 10
        assert min(span_s for _, span_s in spans(receiver)) >= 72 * HOUR_S


def _ids(town: Town, receiver: Receiver) -> list[str]:
    rows = town.memory.tables.outbox.items()
    return [str(outbox.EventId(*key)) for key, row in rows if row.url == receiver.url]


def _p99_s(*, is_one_hanging: bool) -> float:
    """Give the 99th percentile of the time from an event to its arrival, at the receivers that are well."""
    first = Receiver(name="first", manner=Manner.HANGING if is_one_hanging else Manner.WELL)
    others = [Receiver(name=f"well-{number}", manner=Manner.WELL) for number in range(49)]
    town = Town([first, *others], seed=2, workers=2, look_s=1.0)
    born = town.live(events_each=40, within_s=100.0, until_s=300.0, seed=2)
    waits_s = [each.ended_s - born[each.message_id] for receiver in others for each in receiver.tries]
    assert len(waits_s) == 49 * 40
    return statistics.quantiles(waits_s, n=100)[98]


def test_receiver_when_one_hangs_then_the_p99_of_the_others_grows_by_a_tenth_at_most() -> None:
    without, beside = _p99_s(is_one_hanging=False), _p99_s(is_one_hanging=True)

    assert beside <= 1.1 * without, f"{without:.3f} s without, {beside:.3f} s beside one that hangs"
