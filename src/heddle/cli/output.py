"""Care for standard output: what it cannot show, readers that go away, disks that are full.

Python flushes it when the process ends, where nothing can be said any more; here it is flushed while the command still
can. Before it: ``commands``.
"""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Sequence

from heddle.cli import complaints


def take_any_text() -> None:
    """Write what the terminal's encoding has no sign for as an escape, which is better than no answer."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Write what was printed, while an error can still be told. Raises BrokenPipeError and other kinds of OSError."""
    if sys.stdout is not None:
        sys.stdout.flush()


def drop() -> None:
    """Let go of what cannot be written, so that nothing is said of it once more at the end of the process."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def worded(error: BaseException, *, arguments: Sequence[str] | None) -> tuple[str, complaints.Exit] | None:
    """Give the sentence and status of what standard output or an argument refuses, None for everything else."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
        drop()
        return f"the answer cannot be written: {error.strerror}", complaints.Exit.UNWELL
    if isinstance(error, UnicodeEncodeError):
        for word in sys.argv[1:] if arguments is None else arguments:
            # Bytes that are no UTF-8 come from the shell as halves of surrogate pairs.
            if any("\udc80" <= each <= "\udcff" for each in word):
                shown = word.encode(errors="surrogateescape").decode(errors="backslashreplace")
                return f"the argument {shown} is not UTF-8", complaints.Exit.REFUSED
    return None
