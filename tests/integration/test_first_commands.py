"""Commands of somebody who has just begun: one sentence that says what to do, and findings under their own names."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from heddle.cli import complaints
from tests import pg


def heddle(
    *arguments: str, database: pg.Database, folder: pathlib.Path, workflows: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run one command with nothing of ours in its environment but the address of the database, and a module's name."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("HEDDLE_")}
    return subprocess.run(
        [sys.executable, "-m", "heddle.cli", *arguments],
        env={**settings, "DATABASE_URL": database.dsn, "HEDDLE_STATE_DIR": str(folder), "HEDDLE_WORKFLOWS": workflows},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["audit", "keys create --name shop", "retention"])
def test_command_when_the_database_has_no_tables_then_one_sentence_says_to_migrate(
    command: str, empty_database: pg.Database, tmp_path: pathlib.Path
) -> None:
    done = heddle(*command.split(), database=empty_database, folder=tmp_path)

    assert done.returncode == complaints.Exit.REFUSED, done.stderr
    assert done.stderr.startswith("heddle: the database has none of Heddle's tables")
    assert "heddle migrate" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_doctor_when_the_database_has_no_tables_then_each_finding_has_its_name(
    empty_database: pg.Database, tmp_path: pathlib.Path
) -> None:
    done = heddle("doctor", "--json", database=empty_database, folder=tmp_path)

    wrong = {each["name"] for each in json.loads(done.stdout) if each["problem"]}
    assert wrong == {"history", "migrations", "partitions", "workers", "leader"}


def test_command_when_the_module_of_workflows_is_not_found_then_one_sentence_says_where_it_is_looked_for(
    empty_database: pg.Database, tmp_path: pathlib.Path
) -> None:
    done = heddle("audit", database=empty_database, folder=tmp_path, workflows="no_such_workflows")

    assert done.returncode == complaints.Exit.REFUSED
    assert "the module 'no_such_workflows', which cannot be found" in done.stderr
    assert "PYTHONPATH=." in done.stderr
    assert len(done.stderr.splitlines()) == 1
