"""News of a call that comes by another way or too late: callbacks early, twice or never; results after the lease."""

import http.server
import json
import queue
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from heddle.client import tokens
from heddle.ports import operators
from heddle.store import operators as operators_store
from tests.fault import harness, programs

MAILBOX_MAX = 100


class Mailbox(http.server.ThreadingHTTPServer):
    """A receiver of the provider's callbacks that hands each one to the product's door, as often as it is told to."""

    def __init__(self, site: harness.Site) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.site = site
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.copies = 1
        self.answers: queue.Queue[bool] = queue.Queue(MAILBOX_MAX)
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()

    def take(self) -> bool:
        """Wait for a callback and tell whether the door had not known it."""
        return self.answers.get(timeout=programs.WAIT_S)

    def close(self) -> None:
        """Stop receiving."""
        self.shutdown()
        self.server_close()
        self._thread.join(timeout=programs.WAIT_S)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Mailbox

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        _, _, endpoint, token = self.path.split("/")
        attempt_id = tokens.read_callback_token(secret_key=programs.SECRET_KEY, token=token)
        for _ in range(self.server.copies):
            is_new = self.server.site.doors.callback(
                endpoint=endpoint, attempt_id=str(attempt_id), event_id=self.headers["webhook-id"]
            )
            self.server.answers.put_nowait(is_new)
        connections.close_all()
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture(scope="module")
def mailbox(site: harness.Site) -> Iterator[Mailbox]:
    made = Mailbox(site)
    yield made
    made.close()


def environment(mailbox: Mailbox) -> dict[str, str]:
    return {"FAULT_COMPUTE": "none", "HEDDLE_PUBLIC_URL": mailbox.url}


def test_callback_when_it_comes_twice_then_it_is_kept_once_and_ends_the_wait(
    site: harness.Site, mailbox: Mailbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mailbox.copies = 2
    with harness.simulator(tmp_path_factory.mktemp("provider"), latency_ms=300) as provider:
        # The next poll by itself would come long after this test has given up.
        site.configure(harness.simulated_endpoint("studio", provider.url, model="paint", poll_after_s=3_000))
        worker = site.start_worker("called", HEDDLE_POLL_AFTER_MAX_S="3600", **environment(mailbox))
        run_id = site.submit("pictures", first=1, count=1)

        news = [mailbox.take(), mailbox.take()]
        run = site.ended(run_id)[0]
        worker.kill()

        assert news == [True, False]
        assert run.output == [1]
        assert provider.payments_by_seed() == {1: 1}


def test_callback_when_it_comes_before_the_accept_is_settled_then_the_poll_finds_the_result(
    site: harness.Site, mailbox: Mailbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mailbox.copies = 1
    with harness.simulator(tmp_path_factory.mktemp("provider"), latency_ms=30) as provider:
        site.configure(harness.simulated_endpoint("studio", provider.url, model="paint", poll_after_s=1))
        run_id = site.submit("pictures", first=2, count=1)
        # This worker dies with the answer read and not committed, so that nothing is settled before the callback.
        doomed = site.launch_worker("k5", **{**site.armed("K5", kills=1), **environment(mailbox)})
        doomed.exit_code()

        is_new = mailbox.take()
        state = site.steps(run_id)[0].state
        heir = site.start_worker("heir", **environment(mailbox))
        run = site.ended(run_id)[0]
        heir.kill()

        assert (is_new, state) == (True, "due")
        assert run.output == [2]
        assert provider.payments_by_seed() == {2: 1}


def test_callback_when_none_comes_then_the_poll_finds_the_result(
    site: harness.Site, mailbox: Mailbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with harness.simulator(tmp_path_factory.mktemp("provider"), latency_ms=100, rate="callback_lost=1") as provider:
        site.configure(harness.simulated_endpoint("studio", provider.url, model="paint", poll_after_s=0.2))
        worker = site.start_worker("polling", **environment(mailbox))

        run = site.ended(site.submit("pictures", first=3, count=1))[0]
        worker.kill()

        assert run.output == [3]
        assert mailbox.answers.empty()


class PaidServer(http.server.ThreadingHTTPServer):
    """A synchronous endpoint that takes money at once and answers when its gate is opened; it can be asked nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _PaidHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.payments: list[int] = []
        self.gate = threading.Event()
        self.answered = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self.gate.set()
        self.shutdown()
        self.server_close()
        self._thread.join(timeout=programs.WAIT_S)


class _PaidHandler(http.server.BaseHTTPRequestHandler):
    server: PaidServer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.payments.append(asked["number"])
        self.server.gate.wait(programs.WAIT_S)
        body = json.dumps({"answer": asked["number"] * 10}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.answered.set()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture
def paid() -> Iterator[PaidServer]:
    made = PaidServer()
    yield made
    made.close()


def oracle(paid: PaidServer, *, unknown_policy: str) -> str:
    return f"""
[models.guess]
unknown_policy = "{unknown_policy}"
[endpoints.oracle]
adapter = "http"
url = "{paid.url}"
timeout_s = 60
price_usd = "0.01"
paid = true
[[routes]]
model = "guess"
endpoint = "oracle"
"""


def test_result_when_it_comes_after_the_lease_then_it_is_booked_and_nothing_is_bought_again(
    site: harness.Site, paid: PaidServer
) -> None:
    site.configure(oracle(paid, unknown_policy="at_least_once"))
    # However slow this machine is, the late news is there before the call would be sent again.
    slow = {"FAULT_COMPUTE": "none", "HEDDLE_SEND_MARGIN_S": "60"}
    # Both are up before the call is taken: the time until it may be sent again begins with the claim.
    pair = {name: site.start_worker(name, **slow) for name in ("one", "other")}
    run_id = site.submit("guesses", number=4)
    programs.until(lambda: paid.payments, what="the call is in flight")

    holder = site.value("select w.name from heddle_lease l join heddle_worker w on w.id = l.worker_id")
    zombie, heir = pair.pop(holder), pair.popitem()[1]
    zombie.send(signal.SIGSTOP)
    site.until_row("select true from heddle_step where run_id = %s and state = 'unknown'", [run_id], what="reclaim")
    paid.gate.set()
    paid.answered.wait(programs.WAIT_S)
    zombie.send(signal.SIGCONT)
    run = site.ended(run_id)[0]
    programs.until(lambda: zombie.said("write.fenced"), what="the late write is counted")
    heir.kill()
    zombie.kill()

    assert run.output == {"answer": 40}
    assert paid.payments == [4]
    assert (
        site.value("select sum(amount_nano_usd) from heddle_ledger where run_id = %s and kind = 'charge'", [run_id])
        == 10_000_000
    )
    assert run.cost_nano_usd == 10_000_000


def test_result_when_it_comes_after_an_operator_had_the_call_made_again_then_nothing_is_bought_again(
    site: harness.Site, paid: PaidServer
) -> None:
    site.configure(oracle(paid, unknown_policy="at_most_once"))
    slow = {"FAULT_COMPUTE": "none", "HEDDLE_SEND_MARGIN_S": "60"}
    pair = {name: site.start_worker(name, **slow) for name in ("one", "other")}
    run_id = site.submit("guesses", number=5)
    programs.until(lambda: paid.payments, what="the call is in flight")
    holder = site.value(
        "select w.name from heddle_lease l join heddle_worker w on w.id = l.worker_id where l.run_id = %s", [run_id]
    )
    zombie, heir = pair.pop(holder), pair.popitem()[1]
    zombie.send(signal.SIGSTOP)
    site.until_row("select true from heddle_step where run_id = %s and state = 'unknown'", [run_id], what="reclaim")

    # While the endpoint is paused, the call stands in line to be made again.
    by_hand = operators_store.DjangoOperators()
    by_hand.pause(kind=operators.Kind.ENDPOINT, name="oracle", actor="test")
    by_hand.settle_unknown(run_id=run_id, ordinal=1, verdict="retry", output=None, cost_nano_usd=None, actor="test")
    site.until_row("select true from heddle_step where run_id = %s and state = 'due'", [run_id], what="the retry")
    paid.gate.set()
    paid.answered.wait(programs.WAIT_S)
    zombie.send(signal.SIGCONT)
    run = site.ended(run_id)[0]
    by_hand.resume(kind=operators.Kind.ENDPOINT, name="oracle", actor="test")
    heir.kill()
    zombie.kill()

    assert run.output == {"answer": 50}
    assert paid.payments == [5]
    assert run.cost_nano_usd == 10_000_000
    assert [attempt.state.value for attempt in site.steps(run_id)[0].attempts] == ["late"]
