"""The one sentence that says what a run waits for."""

from typing import Any

import pytest

from heddle.store import reading


def why(**call: Any) -> str:
    """Ask about a run with one open call."""
    given = {"ordinal": 3, "name": "nap", "note": "", "purpose": None, "held_s": None, "in_line": 0, "endpoints": None}
    return reading.why(("running", None, False, "shoot", None, 1, False, 1, True, [{**given, **call}]))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("sleep", "sleep 'nap' (call 3) sleeps for 4.0 s more."),
        ("step", "step 'nap' (call 3) waits for 4.0 s more before it is tried again."),
    ],
)
def test_why_when_a_call_waits_for_its_time_then_a_sleep_is_not_called_a_retry(kind: str, said: str) -> None:
    assert why(kind=kind, state="waiting", due_in_s=4.0) == said
