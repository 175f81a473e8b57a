"""`heddle spend …` and `heddle quote` as a person types them."""

import datetime
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from heddle.config import deployment
from heddle.store import apply
from tests import pg

TODAY = datetime.datetime.now(datetime.UTC).date().isoformat()
TOML = """
[endpoints.studio]
adapter = "http"
url = "http://127.0.0.1:9/"
price_usd = "0.04"
spend_accounts = ["ours"]
"""


@pytest.fixture(autouse=True)
def deployed(database: pg.Database) -> None:
    with database.connect() as connection, connection.cursor() as cursor:
        apply.apply(cursor, deployment.parse(TOML, file="heddle.toml"))


def heddle(
    database: pg.Database, folder: pathlib.Path, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    given = {
        **os.environ,
        "DATABASE_URL": database.dsn,
        "HEDDLE_STATE_DIR": str(folder / "state"),
        "HEDDLE_SECRET_KEY": "a secret of tests",
        **environ,
    }
    command = [sys.executable, "-m", "heddle.cli", *arguments]
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False, cwd=folder)


def test_spend_when_a_report_is_imported_then_show_compares_it_and_tells_what_does_not_fit(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "costs.csv").write_text(f"time,amount,key\n{TODAY},2.5,ours\n{TODAY},0.5,stolen\n")

    kept = heddle(database, tmp_path, "spend", "import", "costs.csv", "--endpoint", "studio")
    shown = heddle(database, tmp_path, "spend", "show", "--days", "2")
    listed = heddle(database, tmp_path, "spend", "show", "--json")

    assert (kept.returncode, kept.stdout.split(";")[0]) == (0, "2 days and accounts of studio kept")
    assert shown.returncode == 1
    assert [line.split() for line in shown.stdout.splitlines()[1:2]] == [["studio", TODAY, "0", "0.00", "3.00", "3.00"]]
    assert "an account that spend_accounts does not name" in shown.stdout
    assert json.loads(listed.stdout)["studio"]["alarms"] == ["diverging", "unknown_key"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("import", "bad.csv", "--endpoint", "studio"), "line 2 has the amount 'much'"),
        (("import", "good.csv", "--endpoint", "nowhere"), "there is no endpoint 'nowhere'"),
        (("refund", "01a226eb-61b8-7f08-bfaa-957983c2cbdd", "1", "--amount-usd", "1"), "has no charge"),
    ],
)
def test_spend_when_it_makes_no_sense_then_one_sentence_says_so(
    database: pg.Database, tmp_path: pathlib.Path, arguments: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "bad.csv").write_text(f"time,amount\n{TODAY},much\n")
    (tmp_path / "good.csv").write_text(f"time,amount\n{TODAY},1\n")

    refused = heddle(database, tmp_path, "spend", *arguments)

    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr


ANSWERS = {
    "shoot": {
        "workflow": "shoot",
        "basis": "history",
        "runs": 40,
        "median_cost": "0.12",
        "p95_cost": "0.25",
        "highest_cost": "0.30",
    },
    "new": {"workflow": "new", "basis": "no_history"},
    "paint": {
        "model": "paint",
        "basis": "price",
        "low_cost": "0.04",
        "high_cost": "0.05",
        "expected_wait_s": 2.0,
        "routes": [{"endpoint": "studio", "tier": 0, "cost": "0.04"}],
    },
}


class Quoting(http.server.BaseHTTPRequestHandler):
    """Quote what is named."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(ANSWERS[asked.get("workflow") or asked["model"]]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quoting)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("shoot",), "shoot: 0.12 USD in the middle, 0.25 for 95 of 100, 0.30 at most, by its last 40 runs"),
        (("new",), "new: no run of it has succeeded lately, so nobody can tell what one costs"),
        (("paint", "--model"), "paint: 0.04 to 0.05 USD a call; it would wait for about 2 s"),
    ],
)
def test_quote_when_asked_then_one_sentence_tells_the_cost(
    database: pg.Database, tmp_path: pathlib.Path, service: str, arguments: tuple[str, ...], sentence: str
) -> None:
    told = heddle(database, tmp_path, "quote", *arguments, HEDDLE_API_URL=service, HEDDLE_API_KEY="hd_x")

    assert (told.returncode, told.stdout.splitlines()[0]) == (0, sentence)
