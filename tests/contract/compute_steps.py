"""Functions that behave and misbehave in a compute child. They import little: each child loads this module."""

import ctypes
import functools
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable

_kept: list[socket.socket] = []


class OddFault(Exception):
    """An author's own exception."""


class UnshowableFault(Exception):
    """An exception whose message cannot be made."""

    def __str__(self) -> str:
        raise OddFault("no words")


class Handle:
    """What a decorator leaves in a module: callable, but not the function."""

    def __init__(self, function: Callable[..., object]) -> None:
        functools.update_wrapper(self, function)

    def __call__(self) -> object:
        raise AssertionError("the handle was called, not its function")


@Handle
def registered() -> str:
    return "the function behind the handle"


def add(left: int, right: int) -> int:
    return left + right


def name_process() -> int:
    return os.getpid()


def read_environment(names: list[str]) -> list[str | None]:
    return [os.environ.get(name) for name in names]


def is_loaded(module: str) -> bool:
    return module in sys.modules


def tell_whether_django_is_ready() -> bool:
    from django.apps import apps

    return apps.ready


def fail(message: str) -> None:
    raise OddFault(message)


def fail_unshowably() -> None:
    raise UnshowableFault


def leave(code: int) -> None:
    sys.exit(code)


def leave_at_once(code: int) -> None:
    os._exit(code)


def fault() -> None:
    ctypes.string_at(0)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def spin() -> None:
    while True:
        pass


def allocate(size_bytes: int) -> int:
    return len(bytearray(size_bytes))


def make(size_bytes: int) -> bytes:
    return bytes(size_bytes)


def return_a_lock() -> object:
    return threading.Lock()


def take(value: object) -> None:
    del value


def speak(text: str) -> None:
    print(text)
    os.write(1, f"{text} by descriptor\n".encode())


def fork_and_return() -> int:
    os.fork()
    return os.getpid()


def close_all_files() -> None:
    os.closerange(3, 256)
    signal.pause()


def write_noise_to_sockets() -> None:
    for descriptor in range(3, 256):
        try:
            is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
        except OSError:
            continue
        if is_socket:
            os.write(descriptor, b"\xff" * 64)
    signal.pause()


def meet(path: str) -> int:
    """Say at the gate who is here and wait to be let through."""
    with _arrive(path) as visit:
        visit.recv(1)
    return os.getpid()


def meet_and_keep(path: str) -> None:
    """Say at the gate who is here and return, with the connection open for as long as this process lives."""
    visit = _arrive(path)
    visit.recv(1)
    _kept.append(visit)


def meet_and_hold_the_interpreter(path: str) -> None:
    """Block in native code that keeps the interpreter's lock, beside a program that holds the same connection."""
    visit = _arrive(path)
    wait = [sys.executable, "-c", "import signal; signal.pause()"]
    with subprocess.Popen(wait, pass_fds=[visit.fileno()]):
        visit.sendall(b"held\n")
        ctypes.PyDLL(None).pause()


def _arrive(path: str) -> socket.socket:
    visit = socket.socket(socket.AF_UNIX)
    visit.connect(path)
    visit.sendall(f"{os.getpid()}\n".encode())
    return visit
