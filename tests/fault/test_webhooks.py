"""Workers killed while they tell a receiver: each event arrives, signed, under one id; few arrive twice."""

import collections
import http.server
import threading
import time
from collections.abc import Iterator

import pytest

from heddle.core import outbox
from heddle.ports import records
from tests import webhook_checks
from tests.fault import harness, programs

EVENTS = 40
KILLS = 2
ANSWER_S = 0.15
AT_ONCE = 4
ENVIRONMENT = {"HEDDLE_WEBHOOK_PRIVATE_ALLOWED": "1", "HEDDLE_WEBHOOK_TIMEOUT_S": "2", "HEDDLE_WEBHOOK_LOOK_S": "0.05"}
DELIVERED = "select count(*) from heddle_outbox where state = 'delivered'"


class Receiver(http.server.ThreadingHTTPServer):
    """Take webhooks, each after a moment in which a worker can die, and remember them."""

    daemon_threads = True

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes, float]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Give the address."""
        return f"http://127.0.0.1:{self.server_address[1]}/hooks"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Remember the request, and answer it a moment later."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append((dict(self.headers.items()), body, time.time()))
        threading.Event().wait(ANSWER_S)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def test_workers_when_killed_while_they_deliver_then_every_event_arrives_and_few_twice(
    site: harness.Site, receiver: Receiver
) -> None:
    for _ in range(EVENTS):
        new = records.NewRun(tenant=site.tenant, workflow="sums", version=1, input={}, webhook_url=receiver.url)
        site.doors.cancel(tenant=site.tenant, run_id=site.doors.submit(new).run_id)

    for kill in range(KILLS):
        worker = site.start_worker(f"mortal-{kill}", **ENVIRONMENT)
        seen = len(receiver.received)
        programs.until(lambda seen=seen: len(receiver.received) >= seen + 6, what="the worker delivers")  # type: ignore[misc]
        worker.kill()
    site.start_worker("heir", **ENVIRONMENT)
    programs.until(lambda: site.value(DELIVERED) == EVENTS, what="everything is delivered")

    with site.database.connect() as connection:
        salt = connection.execute("select salt from heddle_webhook_secret").fetchall()[0][0]
    secret = outbox.secret(secret_key=programs.SECRET_KEY, tenant_id=site.tenant.id, version=1, salt=salt)
    counts = collections.Counter(
        {name.lower(): value for name, value in headers.items()}["webhook-id"] for headers, _, _ in receiver.received
    )
    assert len(counts) == EVENTS
    assert sum(counts.values()) - EVENTS <= KILLS * AT_ONCE
    assert all(
        webhook_checks.is_signed(secret=secret, headers=headers, body=body, now_s=at_s)
        for headers, body, at_s in receiver.received
    )
