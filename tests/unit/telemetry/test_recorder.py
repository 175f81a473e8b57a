"""Prove that the recorder records what the catalogue has, refuses the rest, and adds processes up."""

import dataclasses
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from heddle.telemetry import context, multiprocess, recorder
from heddle.telemetry.catalog import events, metrics

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def text_of(own: recorder.Recorder, accept: str = "") -> str:
    return own.render(accept=accept)[1].decode()


def test_count_is_rendered_with_its_labels() -> None:
    own = recorder.Recorder()

    own.count(metrics.COMMITS, 2, stage="settle")
    own.count(metrics.COMMITS, stage="settle")

    assert 'heddle_commits_total{stage="settle"} 3.0' in text_of(own)


def test_counters_with_known_labels_begin_at_zero() -> None:
    text = text_of(recorder.Recorder())

    assert 'heddle_commits_total{stage="claim"} 0.0' in text
    assert 'heddle_slo_bad_total{slo="time_to_result"} 0.0' in text


def test_gauge_nobody_set_is_absent() -> None:
    assert "heddle_database_up " not in text_of(recorder.Recorder())


def test_histogram_has_the_buckets_of_the_catalogue() -> None:
    own = recorder.Recorder()

    own.observe(metrics.START_LATENCY, 0.012, priority="interactive")

    assert 'heddle_start_latency_seconds_bucket{le="0.015",priority="interactive"} 1.0' in text_of(own)
    assert 'heddle_start_latency_seconds_bucket{le="0.01",priority="interactive"} 0.0' in text_of(own)


def test_order_of_labels_does_not_matter() -> None:
    own = recorder.Recorder()

    own.count(metrics.RUNS_FINISHED, workflow="a", state="failed")
    own.count(metrics.RUNS_FINISHED, state="failed", workflow="a")

    assert 'heddle_runs_finished_total{state="failed",workflow="a"} 2.0' in text_of(own)


def test_creation_times_are_left_out() -> None:
    own = recorder.Recorder()
    own.count(metrics.CLAIMS_EMPTY)

    assert "_created" not in text_of(own)
    assert "_created" not in text_of(own, OPENMETRICS)


def test_exemplar_names_the_bound_trace_in_openmetrics() -> None:
    own = recorder.Recorder()
    trace = context.Trace(trace_id="a" * 32, span_id="b" * 16, is_sampled=True)

    with context.bind(trace=trace):
        own.observe(metrics.START_LATENCY, 0.5, priority="batch")

    assert f'# {{trace_id="{"a" * 32}"}} 0.5' in text_of(own, OPENMETRICS)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({}, "takes the labels"),
        ({"stage": "settle", "tenant": "brand"}, "takes the labels"),
        ({"queue": "a"}, "takes the labels"),
        ({"stage": "settel"}, "not one of"),
        ({"stage": 1}, "is text, not int"),
    ],
)
def test_labels_the_catalogue_lacks_are_refused(labels: dict[str, str], said: str) -> None:
    with pytest.raises(recorder.CatalogueError, match=said):
        recorder.Recorder().count(metrics.COMMITS, 1, **labels)


def test_metric_the_catalogue_lacks_is_refused() -> None:
    foreign = dataclasses.replace(metrics.CLAIMS_EMPTY, name="heddle_mine_total")

    with pytest.raises(recorder.CatalogueError, match="not in the catalogue"):
        recorder.Recorder().count(foreign)


def test_metric_of_another_kind_is_refused() -> None:
    with pytest.raises(recorder.CatalogueError, match="is a gauge, not a counter"):
        recorder.Recorder().count(metrics.DATABASE_UP)


def test_label_past_its_bound_is_written_as_other() -> None:
    own = recorder.Recorder()
    bound = metrics.RUNS_ADMITTED.labels[0].values_max

    for number in range(bound + 50):
        own.count(metrics.RUNS_ADMITTED, workflow=f"workflow_{number}")

    text = text_of(own)
    assert text.count("heddle_runs_admitted_total{") == bound + 1
    assert 'heddle_runs_admitted_total{workflow="other"} 50.0' in text
    assert 'heddle_labels_overflowed_total{metric="heddle_runs_admitted_total"} 50.0' in text
    assert 'heddle_events_total{event="label.overflowed"} 1.0' in text


def test_event_is_counted_and_logged_at_its_level(caplog: pytest.LogCaptureFixture) -> None:
    own = recorder.Recorder()

    with caplog.at_level(logging.INFO, logger="heddle"):
        own.event(events.STEP_FAILED, endpoint="a", fault="budget", reason="spent")
        own.event(events.CALLBACK_REPEATED, endpoint="a")

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", "step.failed")]
    assert 'heddle_events_total{event="callback.repeated"} 1.0' in text_of(own)


def test_event_field_the_catalogue_lacks_is_refused() -> None:
    with pytest.raises(recorder.CatalogueError, match="has no field colour"):
        recorder.Recorder().event(events.RUN_FAILED, colour="red")


def test_event_the_catalogue_lacks_is_refused() -> None:
    foreign = dataclasses.replace(events.RUN_FAILED, name="run.sung")

    with pytest.raises(recorder.CatalogueError, match="not in the catalogue"):
        recorder.Recorder().event(foreign)


def run_python(code: str, *arguments: str, directory: Path) -> str:
    environment = os.environ | {multiprocess.ENVIRONMENT: str(directory), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


WORKER = """
import os, sys
from heddle.telemetry import recorder
from heddle.telemetry.catalog import metrics
recorder.count(metrics.COMMITS, int(sys.argv[1]), stage="settle")
recorder.set(metrics.ENDPOINT_IN_FLIGHT, int(sys.argv[1]), endpoint="relight")
recorder.set(metrics.DATABASE_UP, 1)
recorder.observe(metrics.BATCH_SIZE, 10, stage="claim")
print(os.getpid())
"""
WEB = """
from heddle.telemetry import recorder
print(recorder.render()[1].decode())
"""


def test_web_process_shows_what_workers_recorded(tmp_path: Path) -> None:
    multiprocess.prepare(directory=tmp_path, environment={})
    first, second = (int(run_python(WORKER, amount, directory=tmp_path)) for amount in ("2", "5"))

    both = run_python(WEB, directory=tmp_path)
    multiprocess.forget(directory=tmp_path, pid=second)
    after_death = run_python(WEB, directory=tmp_path)

    assert first != second
    assert 'heddle_commits_total{stage="settle"} 7.0' in both
    assert 'heddle_endpoint_in_flight_steps{endpoint="relight"} 5.0' in both
    assert 'heddle_batch_size_items_count{stage="claim"} 2.0' in both
    assert "heddle_database_up 1.0" in both
    assert 'heddle_commits_total{stage="settle"} 7.0' in after_death
    assert 'heddle_endpoint_in_flight_steps{endpoint="relight"} 2.0' in after_death


def test_prepare_begins_with_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").write_bytes(b"old")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    environment: dict[str, str] = {}

    multiprocess.prepare(directory=tmp_path, environment=environment)

    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    assert environment == {multiprocess.ENVIRONMENT: str(tmp_path)}


def test_variable_set_after_the_import_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(multiprocess.ENVIRONMENT, str(tmp_path))

    with pytest.raises(RuntimeError, match="before importing"):
        recorder.Recorder().count(metrics.CLAIMS_EMPTY)
