"""Lines that are logged while a request is answered carry its caller's trace."""

import logging
from collections.abc import Iterator

import django.test
import pytest

from heddle.telemetry import context


class Seen(logging.Handler):
    """Keep each line's event with the trace that was bound as it was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str | None]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.getMessage(), context.current().trace_id))


@pytest.fixture
def seen() -> Iterator[Seen]:
    made, logger = Seen(), logging.getLogger("heddle")
    logger.addHandler(made)
    yield made
    logger.removeHandler(made)


@pytest.mark.parametrize("is_traced", [True, False])
def test_request_when_it_is_refused_then_the_line_has_its_trace(
    web: django.test.Client, seen: Seen, is_traced: bool
) -> None:
    traced = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"} if is_traced else {}

    answer = web.get("/v1/runs", headers={"authorization": "Bearer wrong", **traced})

    assert answer.status_code == 401
    assert seen.lines == [("key.refused", "a" * 32 if is_traced else None)]
