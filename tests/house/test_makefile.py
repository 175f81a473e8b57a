"""The commands that documents promise exist, explain themselves, and are the ones that public checks run."""

import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = re.compile(r"^([a-z-]+):.*## (.+\.)$", re.MULTILINE)
MENTION = re.compile(r"\bmake ([a-z]+(?:-[a-z]+)*)\b")
PINNED_ACTION = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d")


def _targets() -> dict[str, str]:
    return dict(TARGET.findall((ROOT / "Makefile").read_text()))


def _commands(text: str) -> set[str]:
    """Return the targets named in code: in a fence, between backticks or after `run:`."""
    code = re.findall(r"```.*?```|`[^`\n]+`|run: .+|^ {4}make .+$|exec make .+", text, re.DOTALL | re.MULTILINE)
    return {name for piece in code for name in MENTION.findall(piece)}


def test_help_then_it_is_the_default_and_lists_every_target() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make"], check=True, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)

    assert [line.split()[1] for line in done.stdout.splitlines()] == list(_targets())


def test_targets_then_each_phony_one_explains_itself() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert phony is not None
    assert set(phony.group(1).split()) == set(_targets())


def test_documents_then_every_command_they_name_exists() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / ".ci" / "run"]
    documents += (ROOT / ".github" / "workflows").glob("*.yml")
    named = {name: path.name for path in documents for name in _commands(path.read_text())}

    assert {name: where for name, where in named.items() if name not in _targets()} == {}


def test_public_checks_then_every_action_is_pinned_by_its_commit() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()

    assert len(PINNED_ACTION.findall(text)) == text.count("uses:")


def test_entry_of_the_machine_then_it_runs_the_tests() -> None:
    run = ROOT / ".ci" / "run"

    assert os.access(run, os.X_OK)
    assert "HEDDLE_TEST_INSTALL=1" in run.read_text()
    assert "make test" in run.read_text()
