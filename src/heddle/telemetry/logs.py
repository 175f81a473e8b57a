"""Write log lines: one JSON object a line for machines, or coloured text for a person at a terminal.

Every line, ours or a library's, passes the same way: limited per event, stamped with UTC time and the ids bound in the
context, redacted, rendered. Only the service and the command line call ``configure``: inside another Django project the
host's own logging stays as it is, and gets our events as ordinary records. Before it: the recorder and every library
that logs. After: stderr.
"""

import datetime as dt
import enum
import json
import logging
import re
import sys
import time
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from heddle.telemetry import context, log_limit, recorder, redaction
from heddle.telemetry.catalog import events, metrics

LINES_MAX: Final = 500
WINDOW_S: Final = 10.0
NAMES_MAX: Final = 500
"""At most 50 lines a second of one event on average; up to 500 names are told apart."""

LIBRARY_LOGGERS: Final = ("django", "django.server", "aiohttp", "asyncio", "granian", "_granian", "py.warnings")
"""Loggers that libraries give handlers of their own; they lose them, so that no line is written twice or in another
form."""

_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_EVENT_NAMES: Final = frozenset(event.name for event in events.ALL)


class LogFormat(enum.StrEnum):
    """Name how lines look; ``auto`` is ``console`` on a terminal and ``json`` elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


def configure(
    *,
    log_format: LogFormat = LogFormat.AUTO,
    level: str = "INFO",
    stream: TextIO | None = None,
    lines_max: int = LINES_MAX,
    window_s: float = WINDOW_S,
) -> logging.Handler:
    """Send all logging of this process, structlog's and the standard library's, through one handler on ``stream``
    (stderr).

    ``level`` is a name of the logging module, for Heddle's lines; libraries write from INFO, and from WARNING when
    ``level`` is higher. ``lines_max`` lines of one event pass in each window of ``window_s`` seconds. A second call
    replaces the first. Returns the handler. Raises ValueError for an unknown level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level {level!r} is not known; use DEBUG, INFO, WARNING or ERROR")
    target = sys.stderr if stream is None else stream
    is_console = log_format is LogFormat.CONSOLE or (log_format is LogFormat.AUTO and target.isatty())
    limit = log_limit.LineLimit(lines_max=lines_max, window_s=window_s, names_max=NAMES_MAX)
    handler = LineHandler(stream=target, limit=limit)
    handler.setFormatter(_formatter(is_console=is_console, has_colours=is_console and target.isatty()))
    root = logging.getLogger()
    for earlier in list(root.handlers):
        root.removeHandler(earlier)
        earlier.close()
    root.addHandler(handler)
    root.setLevel(max(number, logging.INFO))
    logging.getLogger(recorder.LOGGER_NAME).setLevel(number)
    for name in LIBRARY_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    return handler


class LineHandler(logging.StreamHandler[TextIO]):
    """Write lines within the limit, and say later how many were held back."""

    def __init__(self, *, stream: TextIO, limit: log_limit.LineLimit) -> None:
        super().__init__(stream)
        self._limit = limit

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, or count it as held back. The logging module holds this handler's lock."""
        for report in self._limit.roll(now_s=time.monotonic()):
            super().emit(_report(report))
        name = _limited_name(record)
        if self._limit.may_pass(name=name):
            super().emit(record)
        else:
            recorder.count(metrics.LOG_LINES_SUPPRESSED, event=name if name in _EVENT_NAMES else recorder.OTHER)

    def close(self) -> None:
        """Report what is still held back, then close. Called by the logging module when the process ends."""
        self.acquire()
        try:
            for report in self._limit.flush():
                super().emit(_report(report))
        finally:
            self.release()
        super().close()


def _limited_name(record: logging.LogRecord) -> str:
    """Name what a line counts as: our event, or a library's logger and level. Messages of libraries have no bound."""
    if hasattr(record, recorder.FIELDS_ATTRIBUTE):
        return record.getMessage()
    return f"{record.name}:{record.levelname}"


def _report(report: log_limit.Suppressed) -> logging.LogRecord:
    event = events.LOG_SUPPRESSED
    record = logging.LogRecord(recorder.LOGGER_NAME, logging.WARNING, "", 0, event.name, None, None)
    setattr(record, recorder.FIELDS_ATTRIBUTE, {"suppressed_event": report.name, "count": report.count})
    return record


def _formatter(*, is_console: bool, has_colours: bool) -> logging.Formatter:
    last: list[Processor]
    if is_console:
        # Plain tracebacks: the rich ones print local variables, and those hold keys and customers' data.
        renderer = structlog.dev.ConsoleRenderer(
            colors=has_colours, exception_formatter=structlog.dev.plain_traceback, timestamp_key="ts", sort_keys=False
        )
        last = [_escape, renderer]
    else:
        last = [_render_json]
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            _stamp,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redact,
            *last,
        ]
    )


def _stamp(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Put time, level, event and ids first, then the fields."""
    record: logging.LogRecord = line["_record"]
    at = dt.datetime.fromtimestamp(record.created, tz=dt.UTC)
    stamped: EventDict = {
        "ts": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "event": line.pop("event", ""),
    }
    if record.name != recorder.LOGGER_NAME:
        stamped["logger"] = record.name
    stamped.update(context.current().bound())
    fields: dict[str, object] = getattr(record, recorder.FIELDS_ATTRIBUTE, {})
    stamped.update({name: value for name, value in fields.items() if value is not None})
    for name, value in line.items():
        stamped.setdefault(name, value)
    return stamped


def _redact(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    redacted = redaction.redact(line)
    assert isinstance(redacted, dict), "a line stays a mapping"
    return redacted


def _escape(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Make control characters visible, so that a logged value cannot move the cursor or forge a line."""
    return {name: _escaped(name, value) if isinstance(value, str) else value for name, value in line.items()}


def _escaped(name: str, text: str) -> str:
    visible = _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)
    return visible if name == "exception" else visible.replace("\n", "\\n")


def _render_json(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    return json.dumps(line, separators=(",", ":"), allow_nan=False)
