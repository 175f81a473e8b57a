"""Give the fault tests an installation for each file."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests import pg
from tests.fault import figures, harness, programs


@pytest.fixture(scope="session")
def nursery() -> Iterator[programs.Nursery]:
    """Give the process that workers are forked from."""
    made = programs.Nursery()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def site(
    database: pg.Database, nursery: programs.Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[harness.Site]:
    """Give this file an installation without workers on a database of its own."""
    folder: pathlib.Path = tmp_path_factory.mktemp("site")
    with harness.site_on(database, folder, nursery) as made:
        yield made


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was measured in a process beside others (`-n`) to the one that shows it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = figures.SHOWN


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what was measured in a process beside others; one that has crashed hands in nothing."""
    figures.SHOWN.extend(getattr(node, "workeroutput", {}).get("figures", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured, one line for each bar."""
    if figures.SHOWN:
        terminalreporter.section("reliability figures")
        for line in figures.SHOWN:
            terminalreporter.write_line(line)
