"""`heddle runs signal` sends one JSON value to one run, and what cannot be one is refused before anything is sent."""

import http.server
import io
import json
import pathlib
import threading
from collections.abc import Iterator

import pytest

from heddle import cli
from heddle.cli import complaints, remote, table

SENT: list[tuple[str, str | None, bytes]] = []


class Taking(http.server.BaseHTTPRequestHandler):
    """Take every signal and keep what was sent."""

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        SENT.append((self.path, self.headers["Idempotency-Key"], content))
        body = b'{"status": "accepted"}'
        self.send_response(202)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


@pytest.fixture(autouse=True)
def taking(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    SENT.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv(remote.URL_VARIABLE, f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv(remote.KEY_VARIABLE, "hd_x")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def test_signal_when_sent_then_its_value_name_and_key_arrive(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["runs", "signal", "run-1", "an editor/é", "--value", '{"ok": "é"}', "--idempotency-key", "k1"]

    status = cli.main(words)

    ((path, key, content),) = SENT
    assert status == complaints.Exit.DONE
    assert (path, key, json.loads(content)) == (
        "/v1/runs/run-1/signals/an%20editor%2F%C3%A9",
        "k1",
        {"ok": "é"},
    )
    assert "run-1: signal an editor/é is kept for it" in capsys.readouterr().out


def test_signal_when_no_value_is_given_then_null_is_sent_under_a_key_of_its_own() -> None:
    for _ in range(2):
        assert cli.main(["runs", "signal", "run-1", "editor", "--json"]) == complaints.Exit.DONE

    assert [content for _, _, content in SENT] == [b"null", b"null"]
    assert len({key for _, key, _ in SENT}) == 2


def test_signal_when_the_value_is_in_a_file_or_on_standard_input_then_it_is_read_from_there(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "value.json").write_text("[1]")
    monkeypatch.setattr("sys.stdin", io.StringIO("[2]"))

    for value in (f"@{tmp_path / 'value.json'}", "-"):
        assert cli.main(["runs", "signal", "run-1", "editor", "--value", value]) == complaints.Exit.DONE

    assert [content for _, _, content in SENT] == [b"[1]", b"[2]"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("approved", "--value is not JSON"),
        ("", "--value is not JSON"),
        ("NaN", "NaN is not a JSON number"),
        ("[" * 100_000, "--value is nested too deep"),
        ("@/no/such/file", "--value cannot be read"),
    ],
)
def test_signal_when_the_value_is_none_then_one_sentence_says_so_and_nothing_is_sent(
    value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.main(["runs", "signal", "run-1", "editor", "--value", value])

    told = capsys.readouterr().err
    assert status == complaints.Exit.REFUSED
    assert said in told
    assert len(told.splitlines()) == 1
    assert SENT == []


def test_columns_when_a_cell_holds_line_ends_or_escape_sequences_then_they_are_shown_and_not_obeyed() -> None:
    shown = table.columns([("a\nb", "\x1b[2Jé"), ("c", "d")])

    assert shown.splitlines() == ["a\\nb  \\x1b[2Jé", "c     d"]


@pytest.mark.parametrize("run_id", ["", "../runs"])
def test_command_when_an_id_can_be_none_then_it_says_so_and_asks_nobody(
    run_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    statuses = [cli.main([*words, run_id]) for words in (["runs", "show"], ["runs", "retry"], ["why"])]

    assert set(statuses) == {complaints.Exit.REFUSED}
    assert f"{run_id!r} is no id" in capsys.readouterr().err
