"""The launch of one compute child: the interpreter, its environment, and the descriptors that tie it to this process.

It starts and hands over; it refuses to wait, to speak and to end. After it: ``compute.process`` holds the child, whose
main is ``compute.child``.
"""

import dataclasses
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
from typing import BinaryIO

# Native libraries read these once, when they are loaded; without them each child would start a thread per core.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChildOptions:
    """Hold what each child is started with; see ``pool.PoolOptions`` for units and defaults."""

    preload: tuple[str, ...]
    threads_per_child: int
    max_result_bytes: int
    start_timeout_s: float
    exit_timeout_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """Hold our ends of a child; closing ``life_fd`` kills it, ``report`` is the file in which it reports faults."""

    channel: socket.socket
    process: subprocess.Popen[bytes]
    life_fd: int
    report: BinaryIO


def launch(options: ChildOptions) -> Launched:
    """Start the interpreter in a session of its own; OSError when the system has no process or descriptor to give."""
    environment = os.environ | {name: str(options.threads_per_child) for name in THREAD_VARIABLES}
    # The child finds what this process finds, however this process came to find it; it takes the variable back before a
    # step sees it.
    environment["PYTHONPATH"] = os.pathsep.join(entry or str(pathlib.Path.cwd()) for entry in sys.path)
    ours, theirs = socket.socketpair()
    life_read, life_write = os.pipe()
    report = tempfile.TemporaryFile()  # noqa: SIM115 it lives as long as the child
    handed = (theirs.fileno(), life_read, report.fileno())
    ours.setblocking(False)
    try:
        process = subprocess.Popen(  # the caller keeps it; fork and exec take about a millisecond of the loop
            [sys.executable, "-P", "-m", "heddle.compute.child", *(str(descriptor) for descriptor in handed)],
            stdin=subprocess.DEVNULL,
            stdout=2,
            pass_fds=handed,
            start_new_session=True,
            env=environment,
        )
    except BaseException:
        ours.close()
        os.close(life_write)
        report.close()
        raise
    finally:
        theirs.close()
        os.close(life_read)
    return Launched(channel=ours, process=process, life_fd=life_write, report=report)
