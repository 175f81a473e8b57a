"""Every migration says what it locks and for how long, waits for locks no longer than stated, and only adds."""

import ast
import pathlib
import re

import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "src" / "heddle" / "migrations"
MIGRATIONS = sorted(path for path in FOLDER.glob("0*.py"))
LATER = [path for path in MIGRATIONS if path.stem != "0001_initial"]
# Index builds that block writers, rewrites, and removals belong to no release that the one before must survive.
FORBIDDEN = re.compile(
    r"\b(drop\s+(?:table|column)|alter\s+column\s+\w+\s+(?:type|set\s+not\s+null)|rename\s+(?:to|column)|vacuum)\b",
    re.IGNORECASE,
)
TIME = re.compile(r"\b(millisecond|second|minute|ms\b|no time|moment|nothing that exists)", re.IGNORECASE)


def _forward(path: pathlib.Path) -> str:
    text = path.with_suffix(".sql").read_text()
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))


def _name(path: pathlib.Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", MIGRATIONS, ids=_name)
def test_migration_when_read_then_its_docstring_says_what_it_locks_and_for_how_long(path: pathlib.Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text())) or ""

    assert re.search(r"\blocks?\b", said, re.IGNORECASE), "it must say what it locks"
    assert TIME.search(said), "it must say for how long"


@pytest.mark.parametrize("path", LATER, ids=_name)
def test_migration_when_it_changes_what_exists_then_it_bounds_its_wait_for_locks(path: pathlib.Path) -> None:
    text = _forward(path)

    if re.search(r"\balter\s+table\b|\bcreate\s+(unique\s+)?index\b", text, re.IGNORECASE):
        assert re.search(r"set local lock_timeout", text, re.IGNORECASE)


@pytest.mark.parametrize("path", LATER, ids=_name)
def test_migration_when_run_forward_then_it_only_adds(path: pathlib.Path) -> None:
    assert FORBIDDEN.findall(_forward(path)) == []
