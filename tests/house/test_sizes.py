"""The size of files and functions, and the paragraph that opens each module."""

import ast
import pathlib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("src", "tests", "bench", "examples")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
FORBIDDEN_NAMES = frozenset({"utils", "util", "common", "helpers", "misc", "manager"})
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _files(*folders: str) -> list[pathlib.Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def _functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _shown(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_files_then_each_has_at_most_400_lines() -> None:
    sizes = {_shown(path): len(path.read_text().splitlines()) for path in _files(*FOLDERS)}

    assert {path: lines for path, lines in sizes.items() if lines > FILE_LINES_MAX} == {}


def test_functions_then_each_has_at_most_60_lines() -> None:
    too_long = [
        f"{_shown(path)}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in _files(*FOLDERS)
        for node in _functions(ast.parse(path.read_text()))
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]

    assert too_long == []


def test_modules_of_the_house_then_each_opens_with_a_paragraph() -> None:
    silent = [
        _shown(path)
        for path in _files("src")
        if "migrations" not in path.parts and not ast.get_docstring(ast.parse(path.read_text()))
    ]

    assert silent == []


def test_names_of_modules_then_each_says_what_is_in_it() -> None:
    assert [_shown(path) for path in _files(*FOLDERS) if path.stem in FORBIDDEN_NAMES] == []


@pytest.mark.parametrize("folder", ["core", "engine"])
def test_rooms_without_a_clock_then_no_module_sleeps(folder: str) -> None:
    calls = [
        f"{_shown(path)}:{node.lineno}"
        for path in _files(f"src/heddle/{folder}")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep"}
    ]

    assert calls == []
