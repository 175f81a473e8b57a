"""Start programs for the fault tests, signal them, read their logs, and wait, never without a deadline."""

import base64
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHONPATH = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
SECRET_KEY = "a secret of the fault tests"
API_KEY = "a-key-for-tests"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
WAIT_S = float(os.environ.get("FAULT_WAIT_S", "60"))
LOOK_S = 0.02
PRICE_USD = "0.04"
PRICE_NANO_USD = 40_000_000
# Short leases, so that deaths are noticed soon; everything else as small as keeps its meaning.
SETTINGS = {
    "HEDDLE_LEASE_S": "2",
    "HEDDLE_HEARTBEAT_S": "0.5",
    "HEDDLE_SESSION_GONE_S": "1",
    "HEDDLE_SEND_WINDOW_S": "1",
    "HEDDLE_SEND_MARGIN_S": "0.2",
    "HEDDLE_SWEEP_INTERVAL_S": "0.25",
    "HEDDLE_POLL_INTERVAL_S": "0.25",
    "HEDDLE_COMPUTE_PROCESSES": "1",
    "HEDDLE_LOG_FORMAT": "json",
    "HEDDLE_SECRET_KEY": SECRET_KEY,
    "HEDDLE_WORKFLOWS": "tests.fault.workflows",
}
Found = TypeVar("Found")


def seed() -> int:
    """Give the seed of this test and print it: HEDDLE_SEED repeats one."""
    chosen = int(os.environ.get("HEDDLE_SEED") or random.SystemRandom().randrange(2**31))
    print(f"seed {chosen}: repeat with HEDDLE_SEED={chosen}")
    return chosen


def until(
    question: Callable[[], Found | None], *, what: str, timeout_s: float = WAIT_S, look_s: float = LOOK_S
) -> Found:
    """Ask until the answer is true, and give it. Raises AssertionError at the deadline."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(look_s)


@dataclasses.dataclass(slots=True, kw_only=True)
class Program:
    """A process with its log; ``exit_file`` is where whoever collects it writes how it ended."""

    name: str
    pid: int
    log: pathlib.Path

    def is_up(self) -> bool:
        return self.status() is None

    def status(self) -> int | None:
        """Give the exit status, negative for a signal; None while it runs."""
        path = pathlib.Path(f"{self.log}.exit")
        return int(path.read_text()) if path.exists() else None

    def ended_at_s(self) -> float:
        """Tell when it was found to have ended (seconds since 1970)."""
        return pathlib.Path(f"{self.log}.exit").stat().st_mtime

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill -9 and wait until it is gone."""
        if self.is_up():
            self.send(signal.SIGKILL)
            self.exit_code()

    def exit_code(self) -> int:
        """Wait until it has ended."""
        until(lambda: not self.is_up(), what=f"{self.name} ends:\n{self.tail()}")
        status = self.status()
        assert status is not None
        return status

    def said(self, event: str) -> list[dict[str, Any]]:
        """Give the log lines of an event."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == event:
                    found.append(entry)
        return found

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join(f"    {line[:400]}" for line in lines)


class Nursery:
    """The process that workers are forked from (tests/fault/entry.py); one for a session of tests."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def bear(self, *, name: str, log: pathlib.Path, folder: pathlib.Path, environment: Mapping[str, str]) -> Program:
        """Fork a worker."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fault.entry"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": PYTHONPATH},
            )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"name": name, "log": str(log), "folder": str(folder), "environment": dict(environment)}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return Program(name=name, pid=int(self._process.stdout.readline()), log=log)

    def close(self) -> None:
        """End it and what it bore."""
        if self._process is not None:
            self._process.communicate(timeout=WAIT_S)
