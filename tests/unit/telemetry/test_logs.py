"""Prove that lines carry their ids, keep secrets, and stay within their limit."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from heddle.telemetry import context, log_limit, logs, recorder
from heddle.telemetry.catalog import events


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("heddle").setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines_of(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_line_is_json_with_time_level_event_and_ids() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    trace = context.Trace(trace_id="a" * 32, span_id="b" * 16, is_sampled=True)

    with context.bind(run_id="r1", step=2, attempt=1, tenant="brand", trace=trace):
        recorder.event(events.STEP_FAILED, endpoint="studio", fault="budget", reason=None)

    (line,) = lines_of(stream)
    assert str(line.pop("ts")).endswith("Z")
    assert line == {
        "level": "warning",
        "event": "step.failed",
        "run_id": "r1",
        "step": 2,
        "attempt": 1,
        "tenant": "brand",
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "endpoint": "studio",
        "fault": "budget",
    }


def test_library_lines_have_the_same_form() -> None:
    stream = io.StringIO()
    logging.getLogger("django.server").addHandler(logging.StreamHandler(io.StringIO()))
    logs.configure(stream=stream)

    with context.bind(run_id="r1"):
        logging.getLogger("django.server").warning("GET %s", "/v1/runs?token=abcdef123")
        structlog.get_logger("aiohttp.client").info("closed", peer="a")

    first, second = lines_of(stream)
    assert (first["logger"], first["event"], first["run_id"]) == (
        "django.server",
        "GET /v1/runs?token=[redacted]",
        "r1",
    )
    assert (second["logger"], second["event"], second["peer"]) == ("aiohttp.client", "closed", "a")


def test_exception_is_written_with_its_traceback_redacted() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)

    try:
        raise ConnectionError("postgres://heddle:hunter22@db.example/heddle refused")
    except ConnectionError as error:
        recorder.event(events.DATABASE_LOST, address="db.example:5432", error=error)

    (line,) = lines_of(stream)
    assert str(line["error"]).startswith("ConnectionError: postgres://[redacted]@db.example")
    assert "test_logs.py" in str(line["exception"])
    assert "hunter22" not in stream.getvalue()


def test_level_is_kept_and_debug_shows_the_rest() -> None:
    quiet, loud = io.StringIO(), io.StringIO()

    logs.configure(stream=quiet)
    recorder.event(events.CALLBACK_REPEATED, endpoint="a")
    logs.configure(stream=loud, level="debug")
    recorder.event(events.CALLBACK_REPEATED, endpoint="a")

    assert quiet.getvalue() == ""
    assert lines_of(loud)[0]["event"] == "callback.repeated"


def test_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        logs.configure(level="LOUD")


def test_console_lines_cannot_be_forged() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream, log_format=logs.LogFormat.CONSOLE)

    logging.getLogger("django.request").warning("Not Found: /a\n2026-01-01 [info] run.succeeded \x1b[2J")

    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b[2J" not in stream.getvalue()


def test_flood_of_one_event_is_held_back_and_reported() -> None:
    stream = io.StringIO()
    handler = logs.configure(stream=stream, lines_max=3, window_s=3600)

    for _ in range(10):
        recorder.event(events.DATABASE_LOST, error="refused")
    recorder.event(events.DATABASE_BACK)
    handler.close()

    lines = lines_of(stream)
    assert [line["event"] for line in lines] == ["database.lost"] * 3 + ["database.back", "log.suppressed"]
    assert (lines[-1]["suppressed_event"], lines[-1]["count"]) == ("database.lost", 7)


def test_limit_reports_when_its_window_is_over() -> None:
    limit = log_limit.LineLimit(lines_max=2, window_s=10, names_max=10)

    limit.roll(now_s=0)
    passed = [limit.may_pass(name="a") for _ in range(5)]

    assert passed == [True, True, False, False, False]
    assert limit.roll(now_s=9.9) == ()
    assert limit.roll(now_s=10) == (log_limit.Suppressed(name="a", count=3),)
    assert limit.may_pass(name="a")


def test_limit_holds_few_names_when_many_come() -> None:
    limit = log_limit.LineLimit(lines_max=1, window_s=10, names_max=2)

    passed = [limit.may_pass(name=f"name_{number}") for number in range(100)]

    assert sum(passed) == 3


def test_value_that_json_lacks_is_written_as_text() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)

    recorder.event(events.LOOP_LAGGED, lag_s=float("inf"), reason="\ud800 lone")

    assert lines_of(stream)[0]["lag_s"] == "inf"
