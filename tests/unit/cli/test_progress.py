"""Progress: a bar for a person at a terminal, short plain lines for a log."""

import io

import pytest

from heddle.cli import progress, table


class Terminal(io.StringIO):
    """Stand for a terminal that speaks UTF-8."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def standing(done: int) -> progress.Standing:
    return progress.Standing(title="shoot", done=done, running=1, waiting=0, failed=0, total=4, note="$0.12")


def test_progress_when_nobody_watches_then_it_writes_one_line_and_the_last_one() -> None:
    stream = io.StringIO()

    with progress.Progress(stream) as bar:
        for done in range(4):
            bar.show(standing(done))
        bar.show(standing(4), is_last=True)

    assert stream.getvalue().splitlines() == [
        "shoot: 0/4 done | 1 running | 0 waiting | 0 failed | $0.12",
        "shoot: 4/4 done | 1 running | 0 waiting | 0 failed | $0.12",
    ]


def test_progress_when_a_person_watches_then_lines_come_above_the_bar_and_it_ends_on_a_line() -> None:
    stream = Terminal()

    with progress.Progress(stream) as bar:
        bar.show(standing(2))
        bar.say("worker-1: was ended by SIGKILL")

    drawn = stream.getvalue()
    assert "━" in drawn
    assert "\r\x1b[2Kworker-1: was ended by SIGKILL\nshoot" in drawn
    assert drawn.endswith("\n")


def test_progress_when_quiet_then_it_writes_nothing() -> None:
    stream = io.StringIO()

    with progress.Progress(stream, is_quiet=True) as bar:
        bar.say("a line")
        bar.show(standing(1), is_last=True)

    assert stream.getvalue() == ""


def test_columns_then_each_is_as_wide_as_its_widest_cell() -> None:
    assert table.columns([("a", "bb"), ("ccc", "d")], heads=("X", "Y")) == "X    Y\na    bb\nccc  d"


def test_progress_when_no_colour_is_wanted_then_the_bar_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()

    with progress.Progress(stream) as bar:
        bar.show(standing(2))

    assert "━" in stream.getvalue()
    assert "\x1b[3" not in stream.getvalue()


def test_progress_when_the_terminal_knows_no_commands_then_lines_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()

    with progress.Progress(stream) as bar:
        bar.show(standing(2), is_last=True)

    assert stream.getvalue() == "shoot: 2/4 done | 1 running | 0 waiting | 0 failed | $0.12\n"
