"""The main of a compute child: one clean interpreter that runs one synchronous step at a time.

It prepares once (Django's setup, configured imports), says ready, then answers call after call until its parent closes
the channel. It refuses to judge: time is kept and crashes are noticed by the parent (``compute.process``), the memory
cap is the kernel's. Nothing isolates one call from what an earlier one left in the process (modules, environment,
working directory). Started as ``python -P -m heddle.compute.child CHANNEL_FD LIFE_FD REPORT_FD`` in a session of its
own; standard output is the worker's standard error.
"""

import contextlib
import faulthandler
import fcntl
import functools
import importlib
import inspect
import io
import os
import pickle
import resource
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from heddle.compute import frames

FRAMES_SHOWN_MAX = 50
FUNCTIONS_KEPT_MAX = 1_024
# Half of the scale of proc(5): when memory runs out the kernel takes a step's process before the worker or the
# database.
OOM_SCORE_ADJUSTMENT = 500
_LARGE_BYTES = 64 * 1024
_FORKED_EXIT_CODE = 70


def main(arguments: list[str]) -> int:
    """Serve the channel until its other end closes; return the exit code."""
    channel_fd, life_fd, report_fd = (int(argument) for argument in arguments)
    for descriptor in (channel_fd, life_fd, report_fd):
        os.set_inheritable(descriptor, False)
    _die_with_the_parent(life_fd)
    _steady(report_fd)
    with socket.socket(fileno=channel_fd) as channel, channel.makefile("rb") as stream:
        try:
            _serve(channel, stream)
        except ConnectionError:
            # The parent went while something was being sent to it; there is nobody left to tell.
            return 0
    return 0


def _serve(channel: socket.socket, stream: io.BufferedReader) -> None:
    first = _read(stream)
    if first is None:
        return
    preparation = frames.unpack_preparation(first)
    try:
        before_call = _prepare(preparation)
    except BaseException as error:  # noqa: BLE001 the border to the host's modules; what they raise stops the start, by name
        channel.sendall(frames.pack_raised(_describe(error, while_doing=""), kind=frames.Kind.REFUSED))
        return
    channel.sendall(frames.pack(frames.Kind.READY))
    pid = os.getpid()
    while (payload := _read(stream)) is not None:
        answer = _answer(payload, before_call=before_call, max_result_bytes=preparation.max_result_bytes)
        if os.getpid() != pid:
            # The step forked and its copy came back here: one channel must not have two speakers.
            os._exit(_FORKED_EXIT_CODE)
        for part in answer:
            channel.sendall(part)


def _answer(payload: bytes, *, before_call: Callable[[], None], max_result_bytes: int) -> tuple[bytes, ...]:
    name, memory_bytes, arguments = frames.unpack_call(payload)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    doing = "the function could not be found: "
    try:
        function = _resolve(name)
        doing = "the database's connections could not be renewed: "
        before_call()
        if memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_DATA, _capped(before, memory_bytes))
        doing = "the arguments could not be unpickled: "
        keywords = pickle.loads(arguments)  # noqa: S301 made by our own parent
        doing = ""
        value = function(**keywords)
        doing = f"the value of type {type(value).__qualname__} could not be pickled: "
        result = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except BaseException as error:  # noqa: BLE001 the supervised border to the author's code; SystemExit is an answer too
        # The limit goes first: to describe a MemoryError takes memory.
        resource.setrlimit(resource.RLIMIT_DATA, before)
        return (frames.pack_raised(_describe(error, while_doing=doing)),)
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    if len(result) > max_result_bytes:
        return (frames.pack_size(len(result)),)
    if len(result) < _LARGE_BYTES:
        return (frames.pack(frames.Kind.DONE, result),)
    return frames.HEADER.pack(frames.Kind.DONE, len(result)), result


@functools.lru_cache(maxsize=FUNCTIONS_KEPT_MAX)
def _resolve(name: str) -> Callable[..., Any]:
    module, _, path = name.partition(":")
    found: Any = functools.reduce(getattr, path.split("."), importlib.import_module(module))
    if not inspect.isroutine(found):
        found = getattr(found, "__wrapped__", found)
    if not callable(found):
        raise TypeError(f"{name} is a {type(found).__qualname__}, which can not be called")
    return found  # type: ignore[no-any-return]


def _prepare(preparation: frames.Preparation) -> Callable[[], None]:
    """Make the interpreter warm and return what is to be done before each call."""
    if preparation.python_path is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = preparation.python_path
    before_call: Callable[[], None] = _nothing
    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        import django
        from django import db

        django.setup()
        # As between two requests: a connection that a restarted database has cut must not fail every later step.
        before_call = db.close_old_connections
    for module in preparation.preload:
        importlib.import_module(module)
    return before_call


def _nothing() -> None:
    """Do nothing before a call, where there is no Django."""


def _capped(before: tuple[int, int], memory_bytes: int) -> tuple[int, int]:
    """Give the limits that let this process grow by ``memory_bytes`` from now.

    RLIMIT_DATA counts private writable memory (getrlimit(2), since Linux 4.7); RLIMIT_AS was rejected because it also
    counts what libraries reserve and never touch, gigabytes for some. Elsewhere than on Linux it does not bind, which
    the pool says once.
    """
    soft, hard = before
    if sys.platform != "linux":
        return before
    with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 pathlib would double the cost of the commonest call
        data_pages = int(statm.read().split()[5])
    bounds = [data_pages * resource.getpagesize() + memory_bytes]
    bounds += [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    return min(bounds), hard


def _describe(error: BaseException, *, while_doing: str) -> frames.Raised:
    """Put an exception into bounded text; nothing that its author overrode can break this."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    try:
        message = str(error)
        text = "".join(traceback.format_exception(kind, error, trace, limit=-FRAMES_SHOWN_MAX))
    except Exception as second:  # noqa: BLE001 its __str__ or its chain raised; that is said instead
        message, text = f"(it can not be shown: {type(second).__qualname__})", ""
    return frames.Raised(
        error_type=name[: frames.MESSAGE_CHARS_MAX],
        message=(while_doing + message)[: frames.MESSAGE_CHARS_MAX],
        traceback_text=text[-frames.TRACEBACK_CHARS_MAX :],
    )


def _read(stream: io.BufferedReader) -> bytes | None:
    """Read one frame's payload; None when the parent has closed its end, between two frames or within one."""
    header = stream.read(frames.HEADER.size)
    if len(header) < frames.HEADER.size:
        return None
    _, length = frames.HEADER.unpack(header)
    payload = stream.read(length)
    return payload if len(payload) == length else None


def _die_with_the_parent(life_fd: int) -> None:
    """Have this process and all it starts killed when the parent's end of the life pipe closes, however it dies.

    Linux: the kernel signals the process group on that event (fcntl(2), F_SETOWN, F_SETSIG), so a step that holds the
    interpreter's lock in native code dies too; PR_SET_PDEATHSIG would spare what the step started. Elsewhere a thread
    waits, and native code that keeps the lock delays it.
    """
    if sys.platform == "linux":
        fcntl.fcntl(life_fd, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(life_fd, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life_fd, fcntl.F_SETFL, fcntl.fcntl(life_fd, fcntl.F_GETFL) | fcntl.FASYNC)
    else:
        threading.Thread(target=_wait_for_the_end, args=(life_fd,), name="life", daemon=True).start()


def _wait_for_the_end(life_fd: int) -> None:
    os.read(life_fd, 1)
    os.killpg(0, signal.SIGKILL)


def _steady(report_fd: int) -> None:
    """Arrange how this process meets signals, faults and a lack of memory."""
    faulthandler.enable(file=report_fd, all_threads=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A service manager or a terminal signals the whole family; only the worker decides when a step ends. A handler,
        # since an ignored signal would stay ignored in the programs that steps start.
        signal.signal(number, _stay)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if sys.platform == "linux":
        # A hardened /proc may refuse; the only loss is the kernel's preference.
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+", encoding="ascii") as score:  # noqa: PTH123
            if int(score.read()) < OOM_SCORE_ADJUSTMENT:
                score.seek(0)
                score.write(str(OOM_SCORE_ADJUSTMENT))


def _stay(_number: int, _frame: FrameType | None) -> None:
    """Stay alive on a signal that was meant for the worker."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
