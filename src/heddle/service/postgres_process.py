"""See, signal and await the server process of one cluster, whoever started it.

This module reads what PostgreSQL writes about itself and asks the operating system; it refuses to decide when a server
is to be started or stopped, which `heddle.service.postgres` does with what is found here.
"""

import dataclasses
import os
import pathlib
import signal
import subprocess
import time

POLL_INTERVAL_S = 0.02
# Linux shows its processes here; elsewhere `ps` is asked.
PROCESSES = pathlib.Path("/proc")
FILE_TIMEOUT_S = 5.0
EXIT_TIMEOUT_S = 5.0
# postmaster.pid: process, data directory, start time, port, socket directory, addresses, shared memory, status.
PORT_LINE = 3
SOCKET_LINE = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Postmaster:
    """What postmaster.pid says of a server: its process, port and socket directory."""

    pid: int
    port: int
    socket_directory: pathlib.Path


def find_postmaster(data: pathlib.Path) -> Postmaster | None:
    """Return the running server of a data directory, or None when there is none or its process is something else.

    A server that has just been started writes its file line by line, so a live one with an incomplete file is waited
    for.
    """
    deadline_s = time.monotonic() + FILE_TIMEOUT_S
    while True:
        lines = _read_lines(data / "postmaster.pid")
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else None
        if pid is None or not is_server(pid=pid, data=data):
            return None
        if len(lines) > SOCKET_LINE and lines[PORT_LINE].strip().isdigit() and lines[SOCKET_LINE].startswith("/"):
            return Postmaster(pid=pid, port=int(lines[PORT_LINE]), socket_directory=pathlib.Path(lines[SOCKET_LINE]))
        if time.monotonic() > deadline_s:
            return None
        time.sleep(POLL_INTERVAL_S)


def forget_stranger(*, data: pathlib.Path, socket_directory: pathlib.Path) -> None:
    """Remove lock files whose process is no server of this directory, which PostgreSQL would take for a running one.

    The caller holds the cluster's lock. Cases: the killed server is still ending, and is waited for so that its port is
    free; it has ended and its parent, not we, has not reaped it; a container's restart gave its number to another
    program. Orphaned backends of the old server stay excluded: PostgreSQL finds their shared memory by the data
    directory's inode and not by these files.
    """
    locks = [data / "postmaster.pid", *socket_directory.glob(".s.PGSQL.*.lock")]
    for path in locks:
        lines = _read_lines(path)
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else None
        if pid is not None:
            deadline_s = time.monotonic() + EXIT_TIMEOUT_S
            while _is_ending(pid) and time.monotonic() < deadline_s:
                time.sleep(POLL_INTERVAL_S)
            if is_server(pid=pid, data=data):
                continue
        path.unlink(missing_ok=True)


def is_server(*, pid: int, data: pathlib.Path) -> bool:
    """Say whether this process is alive, no zombie, and the server of this data directory."""
    command = _command_of(pid)
    return "postgres" in command and str(data) in command


def wait_gone(*, pid: int, data: pathlib.Path, timeout_s: float, child: subprocess.Popen[bytes] | None) -> bool:
    """Wait until the server has ended, reaping it when it is our child; False when timeout_s passes first."""
    deadline_s = time.monotonic() + timeout_s
    while is_server(pid=pid, data=data):
        if child is not None:
            child.poll()
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_INTERVAL_S)
    if child is not None:
        child.poll()
    return True


def send(*, pid: int, number: signal.Signals) -> None:
    """Signal a server that may have ended meanwhile."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _command_of(pid: int) -> str:
    """Return a live process's command line, empty for none and for a zombie."""
    if PROCESSES.is_dir():
        try:
            return (PROCESSES / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    question = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(question, check=False, stdout=subprocess.PIPE, timeout=10).stdout.decode(errors="replace")


def _is_ending(pid: int) -> bool:
    """Say whether a process has lost its memory, and with it its name, but not yet its open files."""
    if not PROCESSES.is_dir():
        return False
    try:
        state = (PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"} and not _command_of(pid)


def _read_lines(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []
