"""Say where in an author's code something happened, as ``package/module.py:line``.

Frames of this package, of the standard library and of installed packages are not an author's; what is left, innermost
first, is. Paths are given from the top package on, so that they read the same on every machine. Neighbours: the driver
and the stub loop ask.
"""

import collections.abc
import functools
import inspect
import sysconfig
import types
from typing import Any

_OURS = "heddle.program."
LOOPS = frozenset({"asyncio", "anyio", "sniffio", "trio", "uvloop", "asgiref"})


@functools.lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def _module(frame: types.FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def is_loop(frame: types.FrameType) -> bool:
    """Tell whether a frame belongs to an event loop's library."""
    return _module(frame).partition(".")[0] in LOOPS


def is_author(frame: types.FrameType) -> bool:
    """Tell whether a frame belongs neither to us nor to anything installed."""
    return not _module(frame).startswith(_OURS) and not frame.f_code.co_filename.startswith((*_installed(), "<"))


def of_line(frame: types.FrameType, line: int | None) -> str:
    """Write one place."""
    parts = frame.f_code.co_filename.replace("\\", "/").split("/")
    depth = _module(frame).count(".") + 1 + (parts[-1] == "__init__.py")
    return f"{'/'.join(parts[-depth:])}:{line or 0}"


def _walk(traceback: types.TracebackType | None) -> collections.abc.Iterator[types.TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def of_error(error: BaseException) -> str:
    """Give the author's innermost line in a traceback; empty when it has none."""
    links = list(_walk(error.__traceback__))
    theirs = [link for link in links if is_author(link.tb_frame)]
    if not theirs:
        # An author's package may be installed like any other; the outermost frame is then the workflow function's.
        theirs = [link for link in links if not _module(link.tb_frame).startswith(_OURS)][:1]
    return of_line(theirs[-1].tb_frame, theirs[-1].tb_lineno) if theirs else ""


def of_caller(frame: types.FrameType | None) -> tuple[types.FrameType | None, str]:
    """Give, from a frame upwards, where a loop's library was entered and the author's line; close what it took over."""
    entered: types.FrameType | None = None
    while frame is not None and not is_author(frame):
        if is_loop(frame):
            entered = frame
            _close_held(frame)
        frame = frame.f_back
    return entered, of_line(frame, frame.f_lineno) if frame is not None else ""


def loop_entry(error: BaseException) -> types.FrameType | None:
    """Give the frame through which an error entered an event loop's library, when it was raised in there; else None."""
    links = list(_walk(error.__traceback__))
    entry: types.FrameType | None = None
    for link in reversed(links):
        if not is_loop(link.tb_frame):
            break
        entry = link.tb_frame
    return entry


def of_suspended(coroutine: collections.abc.Coroutine[Any, Any, Any]) -> tuple[str, str]:
    """Give the author's line a coroutine is suspended in, and the name of what it awaits there."""
    awaiting: Any = coroutine
    place, foreign = "", ""
    for _ in range(1_000):
        frame = getattr(awaiting, "cr_frame", None) or getattr(awaiting, "gi_frame", None)
        if frame is not None and is_author(frame):
            place, foreign = of_line(frame, frame.f_lineno), ""
        elif not foreign:
            foreign = str(getattr(awaiting, "__name__", type(awaiting).__name__))
        following = getattr(awaiting, "cr_await", None) or getattr(awaiting, "gi_yieldfrom", None)
        if following is None:
            break
        awaiting = following
    return place, foreign or str(getattr(awaiting, "__qualname__", "")).rpartition("<locals>.")[2]


def close_strays(error: BaseException) -> None:
    """Close the coroutines that a loop's library took over and cannot run, so that none is left "never awaited"."""
    for link in _walk(error.__traceback__):
        if is_loop(link.tb_frame):
            _close_held(link.tb_frame)


def _close_held(frame: types.FrameType) -> None:
    for value in list(frame.f_locals.values()):
        for item in value if isinstance(value, list | tuple | set) else (value,):
            if isinstance(item, types.CoroutineType) and inspect.getcoroutinestate(item) == inspect.CORO_CREATED:
                item.close()
