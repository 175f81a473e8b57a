"""Make room for a worker's connections among the files its process may hold open.

Each call in flight is one socket, and the limit that most systems begin a process with (1,024) is about what a worker
holds by default. The process raises its own limit as far as the system lets it, which needs no privilege. Nothing is
refused here: with too few, calls that find no socket are classified `not_sent` and tried again. Before it: the start of
a worker, and `heddle doctor`. After it: the transport.
"""

import sys

from heddle.config import settings

OTHER_FILES = 256
"""What a worker holds besides its calls: its database connections, the pipes of its compute pool, its log, the files of
its metrics, artifacts while they are read and written."""


def needed(limits: settings.Settings) -> int:
    """Tell how many files one worker may come to hold open: its calls, its polls, and what it holds besides."""
    return limits.worker_in_flight_max + limits.worker_batch + OTHER_FILES


def allowed() -> int | None:
    """Tell how many files a process may raise its limit to; None where the system sets no limit or tells none."""
    found = _limits()
    return None if found is None else found[1]


def allow(count: int) -> int | None:
    """Raise this process's limit to ``count`` files, or as far as it may go; never lower it.

    Gives what is allowed afterwards, None where there is no limit. A second call changes nothing.
    """
    found = _limits()
    if found is None:
        return None
    soft, hard = found
    wanted = count if hard is None else min(count, hard)
    if soft is None or soft >= wanted:
        return soft
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.RLIM_INFINITY if hard is None else hard))
    return wanted


def _limits() -> tuple[int | None, int | None] | None:
    """Give the soft and the hard limit, each None when it is none; None where the system has no such thing."""
    if sys.platform == "win32":
        return None
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        None if soft == resource.RLIM_INFINITY else soft,
        None if hard == resource.RLIM_INFINITY else hard,
    )
