"""The command line itself: help, refusals in one sentence, statuses, and nothing heavy loaded for them."""

import http.server
import json
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from heddle import cli
from heddle.cli import complaints, remote

PROBLEM = {
    "status": 422,
    "code": "invalid_input",
    "detail": "The request is not valid.",
    "errors": [{"field": "input.photo", "message": "is missing"}],
}


#: As the API words what is wrong with a run: the detail is the first field.
INPUT_PROBLEM = {
    "status": 422,
    "code": "invalid_input",
    "detail": "input.photo Field required (1 more)",
    "errors": [
        {"field": "input.photo", "message": "Field required"},
        {"field": "input.scenes", "message": "Field required"},
    ],
}
#: The path of each answer that is not PROBLEM's.
ANSWERS = {"/input": INPUT_PROBLEM, "/stranger": {"error": {"message": "no such path"}}}


class Refusing(http.server.BaseHTTPRequestHandler):
    """Refuse every request: busy at one path, invalid at the others."""

    def do_GET(self) -> None:
        is_busy = self.path == "/busy"
        body = json.dumps(ANSWERS.get(self.path, PROBLEM)).encode()
        self.send_response(503 if is_busy else 422)
        self.send_header("Content-Type", "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "2")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


@pytest.fixture
def refusing() -> Iterator[remote.Api]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield remote.Api(remote.Address(url=f"http://127.0.0.1:{server.server_address[1]}", key="hd_x"), timeout_s=10)
    server.shutdown()
    thread.join()
    server.server_close()


def test_main_when_nothing_is_asked_then_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main([])

    out = capsys.readouterr().out
    assert status == 0
    assert all(f"    {name} " in out for name in ("up", "demo", "web", "worker", "migrate", "doctor", "runs", "keys"))
    assert "exit status" in out


def test_main_when_a_setting_is_wrong_then_one_sentence_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEDDLE_WORKERS", "many")

    status = cli.main(["runs", "list"])

    assert status == complaints.Exit.REFUSED
    assert capsys.readouterr().err.startswith("heddle: HEDDLE_WORKERS is 'many'")


def test_main_when_no_service_runs_then_it_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("HEDDLE_STATE_DIR", str(tmp_path))
    monkeypatch.delenv(remote.URL_VARIABLE, raising=False)

    status = cli.main(["runs", "list"])

    assert status == complaints.Exit.UNREACHABLE
    assert "heddle up" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "runs list",
        "runs show x",
        "why x",
        "endpoints",
        "schedules",
        "quote shoot",
        "steps unknown",
        "settle x 1 --as failed",
        "audit",
        "retention",
        "doctor",
        "pause endpoint one",
        "drain endpoint one",
        "keys list",
        "keys create --name shop",
        "webhooks list",
        "spend show",
        "worker",
        "web",
        "gateway",
    ],
)
def test_main_when_there_is_no_service_in_the_folder_then_it_says_so_and_makes_nothing(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    for name in ("DATABASE_URL", "HEDDLE_DATABASE_URL", remote.URL_VARIABLE, remote.KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEDDLE_STATE_DIR", str(tmp_path / ".heddle"))
    monkeypatch.setenv("HEDDLE_WEB_PORT_SHARED", "true")
    monkeypatch.setenv("HEDDLE_GATEWAY_PORT", str(_free_port()))

    status = cli.main(command.split())

    told = capsys.readouterr().err
    assert status == complaints.Exit.UNREACHABLE
    assert f" in {tmp_path / '.heddle'}; " in told
    assert "`heddle up`" in told
    assert len(told.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


def test_main_when_a_pair_is_malformed_then_the_option_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(remote.URL_VARIABLE, "http://127.0.0.1:1")
    monkeypatch.setenv(remote.KEY_VARIABLE, "hd_x")

    status = cli.main(["runs", "submit", "shoot", "--artifact", "photo"])

    assert status == complaints.Exit.REFUSED
    assert "--artifact is 'photo'" in capsys.readouterr().err


def test_rotate_when_no_key_for_signing_is_known_then_no_secret_is_derived_from_a_new_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/heddle")
    monkeypatch.setenv("HEDDLE_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("HEDDLE_SECRET_KEY", raising=False)

    status = cli.main(["webhooks", "rotate"])

    told = capsys.readouterr()
    assert (status, told.out) == (complaints.Exit.REFUSED, "")
    assert "HEDDLE_SECRET_KEY is not set" in told.err
    assert list(tmp_path.iterdir()) == []


def test_worded_when_the_database_answers_and_gives_up_then_it_is_not_said_to_be_away() -> None:
    import psycopg

    given_up = complaints.worded(psycopg.errors.LockNotAvailable("canceling statement\ndue to lock timeout"))
    away = complaints.worded(psycopg.OperationalError("connection refused"))

    assert given_up is not None
    assert away is not None
    assert given_up[0].startswith("the database answers and gave this up (canceling statement due to lock timeout)")
    assert away[0].startswith("the database of DATABASE_URL cannot be reached (connection refused)")
    assert given_up[1] == away[1] == complaints.Exit.UNREACHABLE


def test_send_when_refused_then_the_fields_are_named(refusing: remote.Api) -> None:
    with pytest.raises(remote.ApiRefused) as refused:
        refusing.get("/v1/runs")

    assert refused.value.status == complaints.Exit.API_REFUSED
    assert refused.value.code == "invalid_input"
    assert "input.photo: is missing" in str(refused.value)


def test_send_when_the_detail_is_the_first_field_then_it_is_said_once(refusing: remote.Api) -> None:
    with pytest.raises(remote.ApiRefused) as refused:
        refusing.get("/input")

    assert str(refused.value) == "input.photo: Field required; input.scenes: Field required"


def test_send_when_something_else_answers_then_the_address_is_named(refusing: remote.Api) -> None:
    with pytest.raises(remote.ApiRefused) as refused:
        refusing.get("/stranger")

    assert f"{refusing.address.url} answers HTTP 422" in str(refused.value)
    assert remote.URL_VARIABLE in str(refused.value)


def test_send_when_busy_then_it_may_be_asked_again_after_the_stated_time(refusing: remote.Api) -> None:
    with pytest.raises(remote.Unreachable) as busy:
        refusing.get("/busy")

    assert busy.value.retry_after_s == 2.0


def test_send_when_nobody_listens_then_it_says_so() -> None:
    api = remote.Api(remote.Address(url="http://127.0.0.1:1", key="hd_x"), timeout_s=5)

    with pytest.raises(remote.Unreachable, match="does not answer"):
        api.get("/v1/runs")


def test_help_then_neither_django_nor_a_driver_is_loaded() -> None:
    program = (
        "import sys; from heddle import cli; cli.main([]); "
        "print([name for name in ('django', 'psycopg', 'aiohttp', 'granian') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("command", "variable", "words"),
    [
        ("web", "HEDDLE_WEB_PORT", "HEDDLE_WEB_PORT_SHARED=true"),
        ("gateway", "HEDDLE_GATEWAY_PORT", "name another port with HEDDLE_GATEWAY_PORT"),
    ],
)
def test_server_when_its_port_is_taken_then_refused_in_one_sentence_with_the_port_and_what_to_do(
    command: str,
    variable: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv(variable, str(port))
        monkeypatch.setenv("HEDDLE_STATE_DIR", str(tmp_path))

        status = cli.main([command])

    told = capsys.readouterr().err
    assert status == complaints.Exit.REFUSED
    assert f"port {port} of 127.0.0.1 is taken" in told
    assert words in told
    assert len(told.splitlines()) == 1
