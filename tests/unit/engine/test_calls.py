"""Calls of a door in this process: admitted together, heard of at once, looked for elsewhere."""

import asyncio
import contextlib
import dataclasses
import types
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from heddle.config import settings
from heddle.engine import calls
from heddle.engine import hold as hold_module
from heddle.engine import parts as parts_module
from heddle.ports import calls as calls_port
from heddle.ports import records, store

NEW = records.NewRun(tenant=records.Tenant(id=1, name="t"), workflow="model:m", version=1, input={})


class Bell:
    """Count who is woken."""

    def __init__(self) -> None:
        self.woken = 0
        self.rung = 0

    def wake(self) -> None:
        self.woken += 1

    def ring(self) -> None:
        self.rung += 1


class Store:
    """Admit what it is given as the test says, and know which runs are over."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.over: list[calls_port.EndedCall] = []
        self.looked: list[list[uuid.UUID]] = []
        self.answer: Any = lambda call: records.Submission(run_id=call.run_id, is_replay=False)
        self.gate = asyncio.Event()
        self.gate.set()

    def new_run_id(self) -> uuid.UUID:
        return uuid.uuid4()

    async def submit_calls(
        self, *, calls: Sequence[calls_port.NewCall], offer: calls_port.Offer | None = None
    ) -> calls_port.Admitted:
        assert offer is None, "this worker takes nothing"
        self.batches.append(len(calls))
        await self.gate.wait()
        return calls_port.Admitted(outcomes=[self.answer(call) for call in calls])

    async def ended_calls(self, *, run_ids: Sequence[uuid.UUID]) -> list[calls_port.EndedCall]:
        self.looked.append(list(run_ids))
        return [each for each in self.over if each.run_id in run_ids]


@dataclasses.dataclass(slots=True)
class Desk:
    """Hold what a test looks at."""

    calls: calls.Calls
    store: Store
    bell: Bell
    hold: hold_module.Hold
    now_s: list[float]


@contextlib.asynccontextmanager
async def desk(**limits: Any) -> AsyncIterator[Desk]:
    kept, bell, hold, now_s = Store(), Bell(), hold_module.Hold(), [100.0]

    async def sleep(_: float) -> None:
        now_s[0] += 1.0
        await asyncio.sleep(0)

    parts = types.SimpleNamespace(
        settings=settings.Settings(**limits),
        store=kept,
        doorbell=bell,
        hold=hold,
        claiming=types.SimpleNamespace(expect=lambda: None, offer_calls=lambda *, wanted: None),
        clock=types.SimpleNamespace(monotonic_s=lambda: now_s[0], sleep=sleep),
    )
    made = calls.Calls(cast("parts_module.Parts", parts))
    running = asyncio.create_task(made.run())
    try:
        yield Desk(made, kept, bell, hold, now_s)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_submit_when_several_wait_for_a_commit_then_the_next_one_is_for_all_of_them() -> None:
    async with desk() as made:
        made.store.gate.clear()
        first = asyncio.create_task(made.calls.submit(NEW))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        others = [asyncio.create_task(made.calls.submit(NEW)) for _ in range(5)]
        await asyncio.sleep(0)
        made.store.gate.set()
        await asyncio.gather(first, *others)

        assert made.store.batches == [1, 5]
        assert (made.bell.woken, made.bell.rung) == (2, 0)


async def test_submit_when_this_worker_is_full_then_the_others_are_rung_for() -> None:
    async with desk(worker_in_flight_max=1) as made:
        claimed = types.SimpleNamespace(run_id=uuid.uuid4(), ordinal=1, fence=1)
        made.hold.add(cast("store.Claimed", claimed), kind="send", now_s=0.0)

        await made.calls.submit(NEW)

        assert (made.bell.woken, made.bell.rung) == (0, 1)


async def test_submit_when_the_key_stands_for_another_run_then_that_one_is_watched() -> None:
    async with desk() as made:
        before = uuid.uuid4()
        made.store.answer = lambda _call: records.Submission(run_id=before, is_replay=True)
        made.store.over = [calls_port.EndedCall(run_id=before, state="succeeded", output=7)]

        watch = await made.calls.submit(NEW)

        assert (watch.run_id, watch.is_replay) == (before, True)
        assert (await asyncio.wait_for(watch.ended, 5)).output == 7


@pytest.mark.parametrize("error", [store.StoreLost("away"), calls_port.QuotaFull("runs_per_min")])
async def test_submit_when_it_is_refused_or_the_store_is_lost_then_the_caller_is_told_and_nothing_is_watched(
    error: Exception,
) -> None:
    def refuse(_call: Any) -> Any:
        if isinstance(error, store.StoreLost):
            raise error
        return error

    async with desk() as made:
        made.store.answer = refuse

        with pytest.raises(type(error)):
            await made.calls.submit(NEW)

        assert len(made.calls) == 0


async def test_settled_when_this_worker_wrote_the_end_then_it_is_handed_over_without_a_look() -> None:
    async with desk() as made:
        watch = await made.calls.submit(NEW)
        written = store.Settlement(
            run_id=watch.run_id, ordinal=1, fence=1, number=1, verdict="complete", output='{"a": 1}'
        )
        over = store.EndedRun(
            workflow="model:m", state="succeeded", priority="standard", duration_s=1.0, run_id=watch.run_id
        )

        made.calls.settled([written], store.SettleReport(settled=1, ended=(over,)))

        assert watch.ended.result().output == {"a": 1}
        assert made.store.looked == []


async def test_look_when_this_worker_holds_the_call_then_it_is_not_asked_for() -> None:
    async with desk() as made:
        held, other = await made.calls.submit(NEW), await made.calls.submit(NEW)
        claimed = types.SimpleNamespace(run_id=held.run_id, ordinal=1, fence=1)
        made.hold.add(cast("store.Claimed", claimed), kind="send", now_s=0.0)
        made.store.looked.clear()
        made.store.over = [calls_port.EndedCall(run_id=other.run_id, state="failed", error={"fault": "deadline"})]

        ended = await asyncio.wait_for(other.ended, 5)

        assert ended.state == "failed"
        assert all(held.run_id not in asked for asked in made.store.looked)


async def test_pieces_when_nobody_listens_then_the_adapter_is_not_asked_for_any() -> None:
    async with desk() as made:
        heard: list[Any] = []
        deaf = await made.calls.submit(NEW)
        listening = await made.calls.submit(NEW, take_piece=lambda number, piece: heard.append((number, piece)))

        assert made.calls.on_piece(cast("Any", types.SimpleNamespace(run_id=deaf.run_id, number=1))) is None
        tell = made.calls.on_piece(cast("Any", types.SimpleNamespace(run_id=listening.run_id, number=2)))
        assert tell is not None
        tell("a")
        made.calls.forget(listening)
        tell("b")

        assert heard == [(2, "a")]
