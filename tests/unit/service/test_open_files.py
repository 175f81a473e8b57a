"""A worker makes room for its calls among its open files, as far as the system lets it."""

import subprocess
import sys

import pytest

from heddle.config import settings
from heddle.service import open_files

LIMITED = """
import resource
from heddle.service import open_files

resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(open_files.allow({count}), open_files.allow({count}), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits_after(*, soft: int, hard: int, count: int) -> list[int]:
    """Ask a process of its own for room: a hard limit cannot be raised again."""
    code = LIMITED.format(soft=soft, hard=hard, count=count)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return [int(word) for word in found.stdout.split()]


def test_needed_when_the_settings_are_the_defaults_then_a_thousand_calls_fit() -> None:
    assert open_files.needed(settings.Settings()) > 1_000


@pytest.mark.parametrize(
    ("soft", "hard", "count", "allowed"),
    [
        (256, 1_000, 500, 500),
        (256, 300, 500, 300),
        (600, 1_000, 500, 600),
    ],
    ids=["raised", "as far as it may go", "never lowered"],
)
def test_allow_when_asked_for_room_then_the_limit_is(soft: int, hard: int, count: int, allowed: int) -> None:
    first, second, new_soft, new_hard = limits_after(soft=soft, hard=hard, count=count)

    assert (first, second, new_soft, new_hard) == (allowed, allowed, allowed, hard)
