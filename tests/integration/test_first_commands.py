"""Commands of somebody who has just begun: one sentence that says what to do, findings under their own names, and keys
that are made, found again and revoked.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import pytest

from heddle.cli import complaints
from heddle.client import keys
from heddle.store import statements
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


def test_command_when_a_module_of_workflows_prints_then_its_answer_is_json_all_the_same(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "talkative.py").write_text("print('library 1.0 loaded')\n")

    done = heddle("keys", "list", "--json", database=database, folder=tmp_path, workflows="talkative")

    assert done.returncode == complaints.Exit.DONE, done.stderr
    assert isinstance(json.loads(done.stdout), list)
    assert "library 1.0 loaded" in done.stderr


def test_command_when_the_module_of_workflows_is_not_found_then_one_sentence_says_where_it_is_looked_for(
    empty_database: pg.Database, tmp_path: pathlib.Path
) -> None:
    done = heddle("audit", database=empty_database, folder=tmp_path, workflows="no_such_workflows")

    assert done.returncode == complaints.Exit.REFUSED
    assert "the module 'no_such_workflows', which cannot be found" in done.stderr
    assert "PYTHONPATH=." in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_key_when_it_is_revoked_twice_then_it_is_refused_and_the_audit_trail_has_it_once(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return heddle(*words, database=database, folder=tmp_path)

    made = run("keys", "create", "--tenant", "keyed", "--name", "<shop> ✂")
    (listed,) = json.loads(run("keys", "list", "--tenant", "keyed", "--json").stdout)
    revoked = [run("keys", "revoke", str(listed["id"])) for _ in range(2)]
    (again,) = json.loads(run("keys", "list", "--tenant", "keyed", "--json").stdout)
    trail = json.loads(run("audit", "--json").stdout)

    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() not in json.dumps(listed)
    assert (listed["name"], listed["scopes"], listed["revoked_at"]) == ("<shop> ✂", "read write", None)
    assert [each.returncode for each in revoked] == [0, 0], revoked[0].stderr
    assert revoked[0].stdout == revoked[1].stdout
    assert again["revoked_at"] is not None
    subjects = [each["subject"] for each in trail if each["action"] == "revoke_key"]
    assert subjects == [f"tenant keyed key {listed['id']} <shop> ✂"]
    with database.connect() as connection:
        hashed = keys.key_hash(made.stdout.strip())
        living = connection.execute(statements.load("api_key"), {"key_hash": hashed, "now": listed["created_at"]})
        assert living.fetchall() == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("keys revoke 99999999999999999999", "there is no API key 99999999999999999999"),
        ("keys list --tenant nobody", "there is no tenant 'nobody'"),
        ("keys list --limit 0", "limit must be from 1 to 1000"),
        ("keys create --tenant Acme! --name x", "tenant must be 1 to 100 of a-z 0-9 _ . -"),
        ("keys create --name= --scopes read", "name must be 1 to 200 printable characters"),
        ("drain endpoint one --timeout-s nan", "timeout_s must be from 0 to 604800"),
    ],
)
def test_keys_when_what_is_named_is_not_there_then_one_sentence_says_so(
    command: str, said: str, database: pg.Database, tmp_path: pathlib.Path
) -> None:
    done = heddle(*command.split(), database=database, folder=tmp_path)

    assert done.returncode == complaints.Exit.REFUSED, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["audit", "retention"])
def test_command_when_the_database_does_not_answer_then_one_sentence_says_so(
    command: str, database: pg.Database, tmp_path: pathlib.Path
) -> None:
    away = dataclasses.replace(database, dsn="postgresql://heddle@127.0.0.1:1/heddle")

    done = heddle(command, database=away, folder=tmp_path)

    assert done.returncode == complaints.Exit.UNREACHABLE, done.stderr
    assert done.stderr.startswith("heddle: the database of DATABASE_URL cannot be reached (")
    assert len(done.stderr.splitlines()) == 1


def write(folder: pathlib.Path, endpoint: str) -> None:
    """Write a deployment whose one endpoint has these lines."""
    routes = '[scopes.misspelt]\nconcurrency = 1\n[[routes]]\nmodel = "paint"\nendpoint = "misspelt"\n'
    (folder / "heddle.toml").write_text(f'[endpoints.misspelt]\nurl = "http://127.0.0.1:9/"\n{endpoint}\n{routes}')


def test_migrate_when_an_adapter_is_misspelt_then_the_file_is_refused_and_nothing_is_changed(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    write(tmp_path, 'adapter = "htpp"')

    done = heddle("migrate", database=database, folder=tmp_path)

    assert done.returncode == complaints.Exit.REFUSED, done.stderr
    assert "[endpoints.misspelt] adapter is 'htpp'; known are: anthropic, cog, " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    with database.connect() as connection:
        assert connection.execute("select from heddle_endpoint where name = 'misspelt'").fetchall() == []


def test_migrate_when_a_secret_is_not_set_here_then_it_is_applied_with_a_note(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    write(tmp_path, 'adapter = "http"\nsecret = "env:COMES_LATER"')

    done = heddle("migrate", database=database, folder=tmp_path)

    assert done.returncode == complaints.Exit.DONE, done.stderr
    assert "note: [endpoints.misspelt] secret is env:COMES_LATER, and the environment has no COMES_LATER" in done.stdout
