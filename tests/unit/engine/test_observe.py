"""What the ends of runs and the starts of steps do to the numbers, and which disk is the fullest."""

import math
import pathlib
import random
import shutil
import threading
import types
from typing import Any, cast

import prometheus_client.parser
import pytest

from heddle.config import settings
from heddle.engine import observe, sweep
from heddle.engine import parts as parts_module
from heddle.ports import store
from heddle.telemetry import recorder
from tests.unit.engine import claims


def value(name: str, **labels: str) -> float:
    families = prometheus_client.parser.text_string_to_metric_families(recorder.render()[1].decode())
    return sum(
        sample.value for each in families for sample in each.samples if (sample.name, sample.labels) == (name, labels)
    )


def slo(key: str) -> tuple[float, float]:
    return value("heddle_slo_valid_total", slo=key), value("heddle_slo_bad_total", slo=key)


def grown(before: tuple[float, float], after: tuple[float, float]) -> tuple[float, float]:
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.parametrize(
    ("state", "counted"), [("succeeded", (1, 0)), ("failed", (1, 0)), ("expired", (1, 1)), ("cancelled", (0, 0))]
)
def test_ended_when_a_run_is_over_then_only_a_passed_deadline_breaks_the_promise(
    state: str, counted: tuple[float, float]
) -> None:
    before = slo("time_to_result")

    observe.ended([store.EndedRun(workflow="shoot", state=state, priority="batch", duration_s=2.0)])

    assert grown(before, slo("time_to_result")) == counted


@pytest.mark.parametrize(
    ("purpose", "priority", "waited_s", "counted"),
    [
        ("activate", "interactive", 1.9, (1, 0)),
        ("activate", "interactive", 2.1, (1, 1)),
        ("activate", "standard", 2.1, (1, 0)),
        ("activate", "batch", 61.0, (1, 1)),
        ("execute", "interactive", 9.0, (0, 0)),
        ("poll", "interactive", 9.0, (0, 0)),
    ],
)
def test_started_when_it_has_waited_then_the_promise_of_its_class_is_judged_by_activations(
    purpose: str, priority: str, waited_s: float, counted: tuple[float, float]
) -> None:
    before = slo("start_freshness")
    starts = value("heddle_start_latency_seconds_count", priority=priority)

    observe.started(claims.claimed(purpose=purpose, priority=priority, waited_s=waited_s))

    assert grown(before, slo("start_freshness")) == counted
    assert value("heddle_start_latency_seconds_count", priority=priority) - starts == (purpose != "poll")


def test_free_ratio_when_a_directory_is_not_made_yet_then_its_disk_counts_all_the_same(tmp_path: pathlib.Path) -> None:
    ratio = observe._free_ratio((tmp_path / "not" / "made", tmp_path))

    assert 0 < ratio <= 1


class House:
    """Hold an observer whose endpoint's breaker is open."""

    rng = random.Random(0)

    def __init__(self, directory: pathlib.Path) -> None:
        self.sweeper = types.SimpleNamespace(is_leader=True)
        self.endpoints = {7: types.SimpleNamespace(row=claims.endpoint(name="sick"))}
        parts = types.SimpleNamespace(
            settings=settings.Settings(state_dir=str(directory)),
            clock=self,
            compute=types.SimpleNamespace(size=0),
            endpoints=self.endpoints,
            store=self,
        )
        self.observer = observe.Observer(cast("parts_module.Parts", parts), cast("sweep.Sweeper", self.sweeper))

    def monotonic_s(self) -> float:
        return 1.0

    async def sleep(self, delay_s: float) -> None:
        """Take no time."""

    async def gauges(self, **_: Any) -> store.Gauges:
        return store.Gauges(
            ready={},
            leases={},
            slots={"sick": 3},
            late_timers=0,
            workers_alive=2,
            unknown_attempts=4,
            breakers={"sick": "open"},
            oldest_transaction_s=0.0,
            partitions_ahead_s=1e6,
        )


async def test_gauges_when_an_endpoint_is_removed_then_its_breaker_is_not_shown_as_open_for_ever(
    tmp_path: pathlib.Path,
) -> None:
    house = House(tmp_path)
    await house.observer.one_pass()
    before = value("heddle_breaker_state", endpoint="sick")
    house.endpoints.clear()

    await house.observer.one_pass()

    assert (before, value("heddle_breaker_state", endpoint="sick")) == (2, 0)
    assert value("heddle_endpoint_in_flight_steps", endpoint="sick") == 0


async def test_gauges_when_another_leads_then_what_this_one_has_shown_is_taken_back(tmp_path: pathlib.Path) -> None:
    house = House(tmp_path)
    await house.observer.one_pass()
    before = value("heddle_attempts_unknown")
    house.sweeper.is_leader = False

    await house.observer.one_pass()

    assert before == 4
    assert math.isnan(value("heddle_attempts_unknown"))
    assert math.isnan(value("heddle_breaker_state", endpoint="sick"))


async def test_gauges_when_a_disk_cannot_be_asked_then_the_others_are_shown_all_the_same(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(_directory: object) -> None:
        raise OSError("Stale file handle")

    monkeypatch.setattr(shutil, "disk_usage", stale)
    errors = value("heddle_stage_errors_total", stage="observe")
    house = House(tmp_path)

    await house.observer.one_pass()

    assert value("heddle_attempts_unknown") == 4
    assert value("heddle_stage_errors_total", stage="observe") == errors + 1


async def test_gauges_when_a_disk_hangs_then_the_others_are_shown_and_one_thread_waits(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked = threading.Event(), []

    def hangs(_directory: object) -> object:
        asked.append(1)
        answers.wait(30)
        return types.SimpleNamespace(free=1, total=4)

    monkeypatch.setattr(shutil, "disk_usage", hangs)
    monkeypatch.setattr(observe, "DISK_LOOK_S", 0.01)
    house = House(tmp_path)

    for _ in range(3):
        await house.observer.one_pass()
    shown, count = value("heddle_attempts_unknown"), len(asked)
    answers.set()
    monkeypatch.setattr(observe, "DISK_LOOK_S", 10.0)
    await house.observer.one_pass()

    assert (shown, count) == (4, 1)
    assert value("heddle_disk_free_ratio") == 0.25


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("succeeded", []),
        ("failed", [("WARNING", "run.failed")]),
        ("expired", [("WARNING", "run.expired")]),
        ("cancelled", [("INFO", "run.cancelled")]),
    ],
)
def test_ended_when_a_run_did_not_succeed_then_the_log_says_so(
    state: str, said: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="heddle"):
        observe.ended([store.EndedRun(workflow="shoot", state=state, priority="batch", duration_s=2.0)])

    assert told(caplog) == said


def test_breakers_when_one_turns_then_it_is_told_once_and_a_new_leader_tells_of_those_not_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watcher = object.__new__(observe.Observer)
    watcher._breakers = None

    with caplog.at_level("INFO", logger="heddle"):
        for states in ({"a": "closed", "b": "open"}, {"a": "open", "b": "open"}, {"a": "half_open", "b": "closed"}):
            watcher._tell_breakers(states)

    assert [name for _, name in told(caplog)] == [
        "breaker.opened",
        "breaker.opened",
        "breaker.probed",
        "breaker.closed",
    ]


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [(f"00-{'a' * 32}-{'b' * 16}-01", "a" * 32), (None, None), ("not a trace", None)],
)
def test_bound_when_a_step_is_worked_on_then_lines_carry_its_ids_and_its_callers_trace(
    traceparent: str | None, trace_id: str | None
) -> None:
    with observe.bound(claims.claimed(traceparent=traceparent)) as ids:
        assert (ids.run_id, ids.step, ids.attempt, ids.trace_id) == (str(claims.RUN), 3, 2, trace_id)
