"""End the children of a supervisor that was killed: a program of its own, on the standard library alone.

`heddle.service.child` starts it. It reads lines from a pipe whose other end only the supervisor holds: `+ pid signal
timeout_s` when a child starts, `- pid` when it has ended. End of file means that the supervisor is gone, by whatever
signal. Then every child still known gets its stop signal, and after its timeout its whole process group is killed. It
refuses to act before that, and it never starts anything.
"""

import contextlib
import dataclasses
import os
import signal
import sys
import time

POLL_S = 0.05


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """A child to end: leader of a process group of its own."""

    pid: int
    stop_signal: int
    stop_timeout_s: float


def main() -> None:
    """Read until the supervisor's end of the pipe closes, then end what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wards: dict[int, Ward] = {}
    for line in sys.stdin:
        words = line.split()
        if words[:1] == ["+"]:
            ward = Ward(pid=int(words[1]), stop_signal=int(words[2]), stop_timeout_s=float(words[3]))
            wards[ward.pid] = ward
        elif words[:1] == ["-"]:
            wards.pop(int(words[1]), None)
    end_all(wards)


def end_all(wards: dict[int, Ward]) -> None:
    """Signal all at once, kill each group when its leader has ended or its time is up."""
    started_s = time.monotonic()
    for ward in wards.values():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(ward.pid, ward.stop_signal)
    left = dict(wards)
    while left:
        for ward in list(left.values()):
            if not _is_alive(ward.pid) or time.monotonic() > started_s + ward.stop_timeout_s:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(ward.pid, signal.SIGKILL)
                del left[ward.pid]
        time.sleep(POLL_S)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main()
