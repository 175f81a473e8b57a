"""Start, watch and end one child process of the supervisor, with everything it started itself.

A child leads a session of its own, so the terminal's Ctrl-C reaches only the supervisor, which decides the order. It
waits at a gate, a line on its standard input, until the watchdog knows it: a supervisor killed in between leaves
nothing behind, since the gate's end of file makes the waiting shell exit. This module refuses to decide when a child is
started again, which `heddle.service.supervisor` does.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from heddle.service import watchdog

GATE = 'read -r _ || exit 1; exec "$@" </dev/null'
WATCHDOG_TIMEOUT_S = 10.0
LOG_BYTES_MAX = 16 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One process to keep running.

    env is the child's whole environment. log_path None shares our output; a log over 16 MiB is moved to `.1` at a
    start. `ready` is asked until it says yes before the next child is started, for at most ready_timeout_s. Adjacent
    children of one stage are stopped together. A child with may_finish that ends with status 0 is not started again.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log_path: pathlib.Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 30.0
    ready: Callable[[], bool] | None = None
    ready_timeout_s: float = 60.0
    stage: str | None = None
    may_finish: bool = False


class Watchdog:
    """Our end of the pipe to the process that ends our children when we are killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: dict[int, bytes] = {}

    def guard(self, *, pid: int, spec: ChildSpec) -> None:
        """Make a child known before it is let through its gate."""
        line = f"+ {pid} {int(spec.stop_signal)} {spec.stop_timeout_s}\n".encode()
        self.check()
        self._lines[pid] = line
        self._write(line)

    def forget(self, pid: int) -> None:
        """Say that a child has ended, so that its number may belong to somebody else."""
        self._lines.pop(pid, None)
        self._write(f"- {pid}\n".encode())

    def check(self) -> None:
        """Start the watchdog unless it runs, and tell a new one of every child."""
        if self._process is not None and self._process.poll() is None:
            return
        command = [sys.executable, "-I", "-S", str(pathlib.Path(watchdog.__file__))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)
        self._write(b"".join(self._lines.values()))

    def close(self) -> None:
        """Close the pipe; with no child left the watchdog ends at once."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=WATCHDOG_TIMEOUT_S)

    def _write(self, data: bytes) -> None:
        """Write to the watchdog; one that has died is replaced by the next check, which tells it everything."""
        if self._process is not None and self._process.stdin is not None and data:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(data)


class Child:
    """One running process; made by `start`."""

    def __init__(self, *, spec: ChildSpec, process: subprocess.Popen[bytes]) -> None:
        self._spec = spec
        self._process = process

    @property
    def pid(self) -> int:
        """The number of the process itself; no wrapper stays in between."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return None while it runs, then its exit status, negative for a signal; kill what it left running."""
        status = self._process.poll()
        if status is not None:
            self._end_group()
        return status

    def ask_to_stop(self) -> None:
        """Send the stop signal."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(self._spec.stop_signal)

    def kill(self) -> None:
        """Kill it and everything in its process group."""
        self._end_group()

    def _end_group(self) -> None:
        """Kill what is left of the group, such as a web server's workers, which would keep its port."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def start(*, spec: ChildSpec, guard: Watchdog) -> Child:
    """Start a child at its gate, make it known to the watchdog, and let it through.

    A program that does not exist ends the child with status 127 and a line in its log.
    """
    with _log_file(spec.log_path) as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", GATE, "sh", *spec.argv],
            env=dict(spec.env),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT if log is not None else None,
            start_new_session=True,
            bufsize=0,
        )
    guard.guard(pid=process.pid, spec=spec)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"go\n")
    process.stdin.close()
    return Child(spec=spec, process=process)


def status_words(status: int) -> str:
    """Say how a process ended."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


@contextlib.contextmanager
def _log_file(path: pathlib.Path | None) -> Iterator[IO[bytes] | None]:
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_name(f"{path.name}.1"))
    with path.open("ab") as file:
        yield file
