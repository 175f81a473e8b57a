"""Count what jobs did: the same for every contender, about two microseconds a job, without a lock between processes.

Each process has one slot of a file in shared memory: its id, how many jobs it has done, when the first and the last one
were done. What cannot be counted (which job, when exactly) is appended to a log, one short write a line. Times are this
machine's, in nanoseconds since 1970. Standard library only: jobs of every environment import it.
"""

import dataclasses
import fcntl
import mmap
import os
import pathlib
import struct
import threading
import time

VARIABLE = "BENCH_PEERS_TALLY"
SLOT = struct.Struct("qqqq")
SLOTS = 1_024
LINE_WORDS = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What all processes did together; both times are 0 while nothing was done."""

    done: int
    first_ns: int
    last_ns: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the log: job ``number`` began (`start`) or ended (`end`), or began ``number`` ns after its call."""

    what: str
    number: int
    pid: int
    at_ns: int


class _Process:
    """This process's slot; made anew after a fork, since the parent's belongs to the parent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._done = 0
        self._first_ns = 0
        self._offset = 0
        self._memory: mmap.mmap | None = None

    def mark(self) -> None:
        now_ns = time.time_ns()
        with self._lock:
            if self._pid != os.getpid() or self._memory is None:
                self._memory = self._open(now_ns)
            self._done += 1
            SLOT.pack_into(self._memory, self._offset, self._pid, self._done, self._first_ns, now_ns)

    def _open(self, now_ns: int) -> mmap.mmap:
        self._pid, self._done, self._first_ns = os.getpid(), 0, now_ns
        with _path().open("r+b") as file:
            memory = mmap.mmap(file.fileno(), SLOT.size * SLOTS)
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                self._offset = self._take(memory)
            finally:
                # The map holds the open file, and with it the lock, until the process ends.
                fcntl.flock(file, fcntl.LOCK_UN)
        return memory

    def _take(self, memory: mmap.mmap) -> int:
        for number in range(SLOTS):
            offset = (self._pid + number) % SLOTS * SLOT.size
            if SLOT.unpack_from(memory, offset)[0] in (0, self._pid):
                SLOT.pack_into(memory, offset, self._pid, 0, 0, 0)
                return offset
        raise RuntimeError(f"{SLOTS} processes have done jobs since the tally was emptied; there is no slot left")


_PROCESS = _Process()


def mark() -> None:
    """Count one job."""
    _PROCESS.mark()


def stamp(called_ns: int) -> None:
    """Tell how long ago the job was called for, and count it."""
    now_ns = time.time_ns()
    _append("stamp", now_ns - called_ns, now_ns)
    mark()


def begin(number: int) -> None:
    """Tell that a job began."""
    _append("start", number, time.time_ns())


def end(number: int) -> None:
    """Tell that a job ended, and count it."""
    _append("end", number, time.time_ns())
    mark()


def empty() -> None:
    """Begin anew, in the process that measures and before any worker runs."""
    _path().write_bytes(bytes(SLOT.size * SLOTS))
    _log().write_bytes(b"")


def read() -> Count:
    """Add up all slots."""
    slots = [slot for slot in SLOT.iter_unpack(_path().read_bytes()) if slot[1]]
    if not slots:
        return Count(done=0, first_ns=0, last_ns=0)
    done, first_ns, last_ns = sum(s[1] for s in slots), min(s[2] for s in slots), max(s[3] for s in slots)
    return Count(done=done, first_ns=first_ns, last_ns=last_ns)


def lines() -> list[Line]:
    """Read the log; a line that is not whole yet is left for the next reading."""
    found = [text.split() for text in _log().read_text().splitlines()]
    return [
        Line(what=words[0], number=int(words[1]), pid=int(words[2]), at_ns=int(words[3]))
        for words in found
        if len(words) == LINE_WORDS
    ]


def _append(what: str, number: int, at_ns: int) -> None:
    file = os.open(_log(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, f"{what} {number} {os.getpid()} {at_ns}\n".encode())
    finally:
        os.close(file)


def _path() -> pathlib.Path:
    return pathlib.Path(os.environ[VARIABLE])


def _log() -> pathlib.Path:
    return _path().with_suffix(".log")
