"""The package gives its names lazily and brings nothing heavy with it."""

import ast
import pathlib
import subprocess
import sys

import pytest

import heddle

PACKAGE = pathlib.Path(heddle.__file__).parent
HEAVY = ("django", "psycopg", "aiohttp", "pydantic", "asyncio")
PROGRAM = """
import sys
import heddle
early = [name for name in {heavy!r} if name in sys.modules]
from heddle import Artifact, Call, Retry, StepFailed, all_of, model, now, patched, random, signal, sleep, step, workflow
late = [name for name in ("django", "psycopg", "aiohttp") if name in sys.modules]
print(early, late)
"""


def test_import_when_heddle_is_loaded_then_nothing_heavy_comes_with_it() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(heavy=HEAVY)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=PACKAGE.parent,
    )

    assert ran.stdout.split() == ["[]", "[]"]


def test_names_when_declared_for_type_checkers_then_they_are_those_that_are_loaded() -> None:
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert imported.keys() == set(heddle.__all__)
    for name, place in imported.items():
        module, _, attribute = place.rpartition(".")
        assert getattr(heddle, name) is getattr(sys.modules[module], attribute)


def test_name_when_there_is_none_then_the_public_names_are_listed() -> None:
    with pytest.raises(AttributeError, match="heddle has no name 'workflows'"):
        heddle.workflows  # noqa: B018 - what is tested

    assert "workflow" in dir(heddle)
