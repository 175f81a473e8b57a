"""Read what processes cost from /proc: CPU time and memory of a process and everything it started.

CPU of children that have ended counts through their parent, which waited for them. On a system without /proc every
figure is None and the tables show a dash; nothing else fails.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterable

PROC = pathlib.Path("/proc")
TREE_MAX = 4_096


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU seconds since their start and resident bytes now, summed over process trees."""

    cpu_s: float
    resident_bytes: int


def usage(roots: Iterable[int]) -> Usage | None:
    """Sum up the trees below processes. None where /proc is not there."""
    if not (PROC / "self" / "stat").exists():
        return None
    tick_s = 1.0 / os.sysconf("SC_CLK_TCK")
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    ticks = pages = 0
    for pid in tree(roots):
        try:
            fields = _stat(pid)
        except (OSError, ValueError):
            continue
        # utime stime cutime cstime are fields 14 to 17 and rss is 24 of proc(5); the list begins with field 3.
        ticks += sum(int(field) for field in fields[11:15])
        pages += int(fields[21])
    return Usage(cpu_s=ticks * tick_s, resident_bytes=pages * page_bytes)


def _stat(pid: int) -> list[str]:
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def resident_bytes(pid: int) -> int:
    """Give the resident memory of one process alone, 0 when it is gone."""
    try:
        return int(_stat(pid)[21]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def proportional_bytes(roots: Iterable[int]) -> int:
    """Sum up the memory of trees with each shared page counted once for all its users; slow, so ask once."""
    total = 0
    for pid in tree(roots):
        try:
            text = (PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    return total


def tree(roots: Iterable[int]) -> list[int]:
    """Give processes and everything below them, at most 4,096."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
            except (OSError, ValueError):
                continue
    found: list[int] = []
    waiting = list(roots)
    while waiting and len(found) < TREE_MAX:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(children.get(pid, ()))
    return found
