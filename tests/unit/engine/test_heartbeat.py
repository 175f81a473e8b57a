"""The heartbeat's watch over the loop: it ends a process whose loop stands still, and no other."""

import asyncio
import os
import types
from typing import cast

import pytest

from heddle.config import settings
from heddle.engine import heartbeat
from heddle.engine import parts as parts_module


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic_s(self) -> float:
        return self.now_s


class _Ended(BaseException):
    """Stand for the end of the process."""


class _Watch:
    """A heartbeat that is asked to look at a loop which answers only when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = _Clock()
        parts = types.SimpleNamespace(clock=self.clock, settings=settings.Settings(loop_lag_max_s=60.0), name="one")
        self.heart = heartbeat.Heartbeat(
            cast("parts_module.Parts", parts), known=lambda _: None, declared_dead=lambda _: None
        )
        self.loop = asyncio.new_event_loop()
        self.heart._loop = self.loop

        def end(_status: int) -> None:
            raise _Ended

        monkeypatch.setattr(os, "_exit", end)

    def look(self, *, after_s: float) -> None:
        self.clock.now_s += after_s
        self.heart._watch_loop()

    def look_on(self, *, times: int) -> None:
        for _ in range(times):
            self.look(after_s=1.0)


def test_loop_when_it_stands_still_for_too_long_then_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = _Watch(monkeypatch)

    with pytest.raises(_Ended):
        watch.look_on(times=70)

    assert 60.0 <= watch.clock.now_s - 1_000.0 <= 62.0


def test_loop_when_the_whole_process_stood_still_then_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = _Watch(monkeypatch)
    watch.look(after_s=0.25)

    watch.look(after_s=100.0)
    watch.look(after_s=0.25)

    assert watch.clock.now_s == 1_100.5


class _Pulse:
    """Break in a way that nobody foresaw, then beat; ``refused`` are ids that are declared dead."""

    def __init__(self) -> None:
        self.beats = 0
        self.refused: set[int] = set()

    def beat(self, *, worker: int, **_: object) -> bool:
        self.beats += 1
        if self.beats == 1:
            raise RuntimeError("can't start new thread")
        return worker not in self.refused

    def is_lost(self) -> bool:
        return False

    def close(self) -> None:
        """Hold nothing."""


def parts_of(pulse: _Pulse) -> types.SimpleNamespace:
    """Give what a heartbeat knows of its worker, number 7."""
    return types.SimpleNamespace(
        clock=_Clock(),
        settings=settings.Settings(heartbeat_s=5.0),
        name="one",
        worker=7,
        hold=(),
        is_draining=False,
        pulse=pulse,
    )


def test_beat_when_it_breaks_in_an_unforeseen_way_then_the_thread_beats_on() -> None:
    pulse = _Pulse()
    parts = parts_of(pulse)
    heart = heartbeat.Heartbeat(cast("parts_module.Parts", parts), known=lambda _: None, declared_dead=lambda _: None)

    waits_s = [heart._guarded_beat(), heart._guarded_beat()]

    assert (waits_s, pulse.beats) == ([1.0, 5.0], 2)


async def test_beat_when_the_first_under_an_id_is_taken_then_that_is_told_once_and_a_refused_one_otherwise() -> None:
    pulse, told = _Pulse(), list[tuple[str, int]]()
    parts = parts_of(pulse)
    heart = heartbeat.Heartbeat(
        cast("parts_module.Parts", parts),
        known=lambda worker: told.append(("known", worker)),
        declared_dead=lambda worker: told.append(("dead", worker)),
    )
    heart._loop = asyncio.get_running_loop()

    for worker, refused in ((7, ()), (7, ()), (7, ()), (7, (7,)), (8, (7,)), (8, (7,))):
        parts.worker, pulse.refused = worker, set(refused)
        heart._guarded_beat()
        await asyncio.sleep(0)

    assert told == [("known", 7), ("dead", 7), ("known", 8)]
