"""What steers runs from the shell does what was asked and nothing else, and gives the key to nobody but the service."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from heddle import cli
from heddle.cli import complaints, remote

SENT: list[tuple[str, str, Any, str | None]] = []
PREVIEW = {"dry_run": True, "matched": 1, "looked_at": 1, "is_whole": True, "sample": ["run-1"]}
DONE = {"id": "o", "action": "reprioritise", "state": "done", "progress": 1.0, "matched": 0, "changed": 0}
OPERATION = {**DONE, "unchanged": 0, "looked_at": 1}


class Service(http.server.BaseHTTPRequestHandler):
    """Answer as the contract does; point elsewhere at one path, and break off at another."""

    def do_GET(self) -> None:
        self._keep(None)
        self.send_response(307)
        self.send_header("Location", "/v1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        self._keep(body)
        if self.path == "/v1/runs":
            self.close_connection = True
            return
        is_preview = isinstance(body, dict) and body.get("dry_run")
        written = json.dumps(PREVIEW if is_preview else OPERATION).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)

    def _keep(self, body: Any) -> None:
        SENT.append((self.command, self.path, body, self.headers["Idempotency-Key"]))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    SENT.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv(remote.URL_VARIABLE, f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv(remote.KEY_VARIABLE, "hd_x")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_steer_when_a_dry_run_of_one_run_is_asked_for_then_nothing_is_done_to_it(
    action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.main(["runs", action, "run-1", "--dry-run"])

    ((method, path, body, _),) = SENT
    assert (status, method, path) == (complaints.Exit.DONE, "POST", "/v1/operations")
    assert body == {"action": action, "filter": {"run_ids": ["run-1"]}, "dry_run": True}
    assert "nothing was done" in capsys.readouterr().out


def test_steer_when_another_tenant_is_named_for_one_run_then_it_is_asked_for_under_that_name() -> None:
    cli.main(["runs", "cancel", "run-1", "--tenant", "acme", "--no-wait"])

    ((_, path, body, _),) = SENT
    assert (path, body["tenant"], body["filter"]) == ("/v1/operations", "acme", {"run_ids": ["run-1"]})


def test_reprioritise_when_the_named_run_is_not_there_then_it_is_not_said_to_be_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = cli.main(["runs", "reprioritise", "run-1", "--to", "batch", "--json"])

    told = capsys.readouterr()
    assert status == complaints.Exit.UNWELL
    assert json.loads(told.out) == OPERATION
    assert "there is no run run-1" in told.err


def test_operations_when_one_is_stopped_then_it_is_asked_to_stop_and_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, object]] = []

    def get(_self: remote.Api, path: str, **query: object) -> dict[str, Any]:
        asked.append((path, query))
        return {**OPERATION, "state": "stopped"}

    monkeypatch.setattr(remote.Api, "get", get)

    status = cli.main(["operations", "stop", "o 1", "--tenant", "acme"])

    assert status == complaints.Exit.DONE
    assert [path for _, path, _, _ in SENT] == ["/v1/operations/o%201/stop?tenant=acme"]
    assert asked == [("/v1/operations/o%201", {"tenant": "acme"})]
    assert capsys.readouterr().out.startswith("reprioritise: stopped, 0 runs changed")


def test_bulk_when_the_watch_is_interrupted_then_told_that_the_work_goes_on_and_what_ends_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def get(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(remote.Api, "get", get)
    monkeypatch.setitem(OPERATION, "state", "running")

    status = cli.main(["runs", "cancel", "--label", "shoot=spring"])

    assert status == complaints.Exit.INTERRUPTED
    assert "`heddle operations stop o` ends it" in capsys.readouterr().err


def test_watch_when_the_run_went_on_as_another_then_the_last_of_its_chain_is_watched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = dict.fromkeys(("total", "done", "running", "waiting", "failed", "attempts", "retries"), 0)
    usual = {"workflow": "w", "version": 1, "steps": counts, "cost": "0.00", "degraded": False, "output": None}
    found = {
        "/v1/runs/first": {**usual, "id": "first", "state": "succeeded", "continued_last": "last"},
        "/v1/runs/last": {**usual, "id": "last", "state": "failed", "continued_last": None},
    }
    shown = {path: {**each, "shown_state": each["state"]} for path, each in found.items()}
    monkeypatch.setattr(remote.Api, "get", lambda _self, path: shown[path])

    status = cli.main(["runs", "watch", "first"])

    assert status == complaints.Exit.UNWELL
    assert "run:      last" in capsys.readouterr().out


def test_submit_when_no_answer_comes_then_told_the_key_under_which_it_is_safe_to_repeat(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = cli.main(["runs", "submit", "shoot"])

    ((_, _, _, key),) = SENT
    told = capsys.readouterr().err
    assert status == complaints.Exit.UNREACHABLE
    assert f"the same command with --idempotency-key {key} does it once" in told


def test_send_when_the_answer_points_elsewhere_then_the_key_does_not_go_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = cli.main(["runs", "list"])

    assert status == complaints.Exit.API_REFUSED
    assert "answers HTTP 307, and not as Heddle's API does; check HEDDLE_API_URL" in capsys.readouterr().err
    assert [path for _, path, _, _ in SENT] == ["/v1/runs?limit=20"]


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "http://", "http://[::1", "http://127.0.0.1:99999", "http://127.0.0.1:0", "http://a b", "http://é"],
)
def test_main_when_the_address_can_be_none_then_one_sentence_names_the_variable(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(remote.URL_VARIABLE, url)

    status = cli.main(["runs", "list"])

    told = capsys.readouterr().err
    assert status == complaints.Exit.REFUSED
    assert told.startswith(f"heddle: {remote.URL_VARIABLE} is ")
    assert len(told.splitlines()) == 1


def test_main_when_the_key_holds_a_line_end_then_the_variable_is_named_and_the_key_is_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(remote.KEY_VARIABLE, "hd_secret\n")

    status = cli.main(["runs", "list"])

    told = capsys.readouterr().err
    assert status == complaints.Exit.REFUSED
    assert told.startswith(f"heddle: {remote.KEY_VARIABLE} holds a line end")
    assert "hd_secret" not in told


def test_steer_when_the_operation_was_stopped_then_the_reason_is_told_and_the_status_is_unwell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(OPERATION, "state", "stopped")
    monkeypatch.setitem(OPERATION, "reason", "10 tries in a row failed, the last with CheckViolation: no")

    status = cli.main(["runs", "cancel", "--workflow", "shoot"])

    assert status == complaints.Exit.UNWELL
    assert "o was stopped: 10 tries in a row failed, the last with CheckViolation: no" in capsys.readouterr().err
