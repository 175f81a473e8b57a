"""Start the product's worker, with one crash point in it: `python -m tests.fault.entry`, driven by lines on stdin.

This process imports everything once and forks a worker for each line `{"name", "log", "environment", "folder"}`; it
answers with the worker's process number and writes how each one ended to `<log>.exit`. A test of twenty deaths then
costs twenty forks and not twenty times the imports. When stdin ends, it kills what is left and goes.

FAULT_POINT names where the process ends itself with kill -9: K1 before the intent commits, K2 after it, K3 with the
request partly sent, K4 accepted and the answer not read, K5 answer read and not committed, K6 result committed and its
successors not rung for, K7 in the door's handler of a callback before it commits, K8 during reconcile; several are
joined by `+`. FAULT_MARKS is a folder: each point kills FAULT_KILLS times at most, so that the work ends. Without
FAULT_POINT nothing is changed. FAULT_COMPUTE=none leaves out the pool's processes, for tests without sync steps. With
FAULT_DOOR, a port, the process is the product's web application instead of its worker.
"""

import asyncio
import contextlib
import gc
import importlib
import json
import os
import pathlib
import select
import signal
import socketserver
import sys
import traceback
import urllib.parse
import wsgiref.simple_server
from collections.abc import AsyncIterator, Sequence
from typing import Any

# Much of this is imported for every worker's sake, once; what reads the settings is not: they come with the order.
import django.contrib.admin
import django.db.backends.postgresql.base  # noqa: F401
import uvloop  # noqa: F401
from django.db import transaction

from heddle import cli, wiring  # noqa: F401
from heddle.cli import commands  # noqa: F401
from heddle.compute import pool
from heddle.engine import intent, poll, worker  # noqa: F401
from heddle.ports import compute, store
from heddle.providers import registry, transport  # noqa: F401
from heddle.service import database  # noqa: F401
from heddle.store import django as django_store
from heddle.store import postgres
from heddle.telemetry import logs as telemetry_logs  # noqa: F401

LOOK_S = 0.02
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class CrashPoint:
    """Kill this process at one point, a bounded number of times."""

    def __init__(self, *, name: str, marks: pathlib.Path, kills_max: int) -> None:
        self.name = name
        self._marks = marks
        self._kills_max = kills_max

    def may_strike(self) -> bool:
        """Take one of the kills that are left."""
        for number in range(self._kills_max):
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._marks / f"{self.name}.{number}", os.O_CREAT | os.O_EXCL))
                return True
        return False

    def strike(self) -> None:
        """Die here, if there are kills left."""
        if self.may_strike():
            os.kill(os.getpid(), signal.SIGKILL)


def _before_and_after_intent(point: CrashPoint) -> None:
    record = intent.Intents.record

    async def crashing(self: intent.Intents, claimed: store.Claimed, digest: str) -> intent.Permission:
        if point.name == "K1":
            point.strike()
        permission = await record(self, claimed, digest)
        if point.name == "K2" and permission is intent.Permission.GRANTED:
            point.strike()
        return permission

    intent.Intents.record = crashing  # type: ignore[method-assign]


def _in_the_request(point: CrashPoint) -> None:
    opened = transport.Transport.open

    @contextlib.asynccontextmanager
    async def crashing(self: transport.Transport, call: transport.Call) -> AsyncIterator[Any]:
        is_paid = call.method in ("POST", "PUT") and not call.url.endswith("/cancel")
        if is_paid and point.name == "K3" and point.may_strike():
            await _send_half(call)
            os.kill(os.getpid(), signal.SIGKILL)
        async with opened(self, call) as answer:
            if is_paid and point.name == "K4" and isinstance(answer, transport.Opened):
                point.strike()
            yield answer

    transport.Transport.open = crashing  # type: ignore[method-assign]


async def _send_half(call: transport.Call) -> None:
    parts = urllib.parse.urlsplit(call.url)
    body = call.body or b""
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    head = f"{call.method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in call.headers.items())
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(head.encode() + b"\r\n" + body[: len(body) // 2])
    await writer.drain()


def _around_the_settlement(point: CrashPoint) -> None:
    settle = postgres.PostgresStore.settle

    async def crashing(
        self: postgres.PostgresStore, *, settlements: Sequence[store.Settlement], **more: Any
    ) -> store.SettleReport:
        is_answer = any(not item.is_local and item.verdict in ("complete", "poll") for item in settlements)
        is_result = any(not item.is_local and item.verdict == "complete" for item in settlements)
        if point.name == "K5" and is_answer:
            point.strike()
        report = await settle(self, settlements=settlements, **more)
        if point.name == "K6" and is_result:
            point.strike()
        return report

    postgres.PostgresStore.settle = crashing  # type: ignore[method-assign]


def _in_the_reconcile(point: CrashPoint) -> None:
    reconcile = poll.Poller._reconcile

    async def crashing(self: poll.Poller, *given: Any, **named: Any) -> Any:
        outcome = await reconcile(self, *given, **named)
        point.strike()
        return outcome

    poll.Poller._reconcile = crashing  # type: ignore[method-assign]


def _in_the_callback(point: CrashPoint) -> None:
    together = django_store.DjangoDoors._together

    def crashing(self: django_store.DjangoDoors, inside: Sequence[tuple[str, Any]], **named: Any) -> Any:
        if any(name == "callback_add" for name, _ in inside) and point.may_strike():
            # What the product sends as one message is sent without its end.
            with transaction.atomic():
                together(self, inside, **named)
                os.kill(os.getpid(), signal.SIGKILL)
        return together(self, inside, **named)

    django_store.DjangoDoors._together = crashing  # type: ignore[method-assign]


class NoCompute:
    """Stand in for the compute pool where no step is sync."""

    size = 0
    free = 0

    def __init__(self, _options: object) -> None:
        pass

    async def start(self) -> None:
        """Start nothing."""

    async def run(self, call: compute.ComputeCall) -> compute.ComputeOutcome:
        """Refuse."""
        raise compute.ComputeUnavailable(f"{call.label}: this worker was started without a compute pool")

    async def close(self, drain_s: float) -> None:
        """Close nothing."""


class Threading(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """Serve each request in a thread, as the product's own server does."""

    daemon_threads = True
    request_queue_size = 1_024


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    """Log nothing of its own."""

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def serve(port: int) -> int:
    """Serve the product's web application; what runs it matters less here than how soon it is there again."""
    from heddle.service import wsgi

    server = wsgiref.simple_server.make_server(
        "127.0.0.1", port, wsgi.application, server_class=Threading, handler_class=Quiet
    )
    server.serve_forever()
    return 0


def work(name: str) -> int:
    """Arm the crash points of the environment and run the product's own worker command, or its doors."""
    if os.environ.get("FAULT_COMPUTE") == "none":
        pool.ProcessPool = NoCompute  # type: ignore[misc,assignment]
    for point_name in filter(None, os.environ.get("FAULT_POINT", "").split("+")):
        point = CrashPoint(
            name=point_name, marks=pathlib.Path(os.environ["FAULT_MARKS"]), kills_max=int(os.environ["FAULT_KILLS"])
        )
        ARMS[point_name](point)
    door = os.environ.get("FAULT_DOOR")
    return cli.main(["worker", "--name", name]) if door is None else serve(int(door))


ARMS = {
    "K1": _before_and_after_intent,
    "K2": _before_and_after_intent,
    "K3": _in_the_request,
    "K4": _in_the_request,
    "K5": _around_the_settlement,
    "K6": _around_the_settlement,
    "K7": _in_the_callback,
    "K8": _in_the_reconcile,
}


def _become_worker(order: dict[str, Any]) -> int:
    os.setsid()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    null, log = os.open(os.devnull, os.O_RDONLY), os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for theirs, ours in ((null, 0), (log, 1), (log, 2)):
        os.dup2(theirs, ours)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    try:
        code = work(order["name"])
    except BaseException:  # noqa: BLE001 - the last border of a forked process: told in its log and by its status
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    return code


def _reap(logs: dict[int, str]) -> None:
    for pid in list(logs):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            path = pathlib.Path(logs.pop(pid) + ".exit")
            path.with_suffix(".new").write_text(str(os.waitstatus_to_exitcode(status)))
            path.with_suffix(".new").replace(path)


def main() -> None:
    """Fork workers as asked until stdin ends."""
    importlib.import_module("tests.fault.workflows")
    # What is here already is no garbage: a worker that looks for some when it starts need not go through it again.
    gc.freeze()
    # Only the end of stdin ends this process: a signal to the group of the tests must not leave workers behind.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    logs: dict[int, str] = {}
    lines = b""
    while True:
        is_asked, _, _ = select.select([0], [], [], LOOK_S)
        if is_asked:
            given = os.read(0, 65_536)
            if not given:
                break
            *orders, lines = (lines + given).split(b"\n")
            for line in orders:
                order = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    os._exit(_become_worker(order))
                logs[pid] = order["log"]
                os.write(1, f"{pid}\n".encode())
        _reap(logs)
    for pid in logs:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
