"""Standard output that cannot take what is printed: a reader that has gone, a full disk, a terminal without a sign."""

import os
import pathlib
import subprocess
import sys

import pytest

from heddle.cli import complaints

FULL = pathlib.Path("/dev/full")
COMMAND = [sys.executable, "-m", "heddle.cli"]
# Buffered, as a person's are: what is printed is written when the process ends.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.parametrize("words", [[], ["--help"], ["runs", "list", "--help"]])
def test_command_when_its_reader_has_gone_then_it_ends_well_and_says_nothing(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [*COMMAND, *words], env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (complaints.Exit.DONE, b"")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_command_when_the_disk_is_full_then_one_sentence_says_so() -> None:
    with FULL.open("wb") as full:
        done = subprocess.run(COMMAND, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)

    assert done.returncode == complaints.Exit.UNWELL
    assert done.stderr == b"heddle: the answer cannot be written: No space left on device\n"


def test_command_when_an_argument_is_not_utf_8_then_one_sentence_names_it() -> None:
    environment = {**ENVIRONMENT, "HEDDLE_API_URL": "http://127.0.0.1:1", "HEDDLE_API_KEY": "hd_x"}

    done = subprocess.run(
        [*COMMAND, "runs", "show", b"caf\xe9"], env=environment, capture_output=True, timeout=60, check=False
    )

    assert done.returncode == complaints.Exit.REFUSED
    assert done.stderr == b"heddle: the argument caf\\xe9 is not UTF-8\n"


def test_command_when_the_terminal_lacks_a_sign_then_an_escape_stands_for_it() -> None:
    program = "from heddle.cli import output; output.take_any_text(); print('\\u2713 done')"
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "latin-1"}

    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (0, b"\\u2713 done\n"), done.stderr
