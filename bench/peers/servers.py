"""Run Redis and RabbitMQ for a measurement: on loopback, on free ports, in a folder that goes away afterwards.

Redis writes nothing to disk, its fastest and least durable setting. RabbitMQ has its own defaults; messages are as
persistent as each contender's client makes them. Both come from Debian packages; without one, `missing` names the
command that installs it. PostgreSQL is not run here: the house has one, and every contender that needs one shares it.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence

PACKAGES = {"redis": ("redis-server", "redis-server"), "rabbitmq": ("rabbitmq-server", "rabbitmq-server")}
SYSTEM_FOLDERS = ("/usr/lib/rabbitmq/bin", "/usr/sbin", "/sbin")
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
LOOK_S = 0.1
ACCOUNT = "rabbitmq"


class ServerFailed(RuntimeError):
    """Say which server did not start, with the end of its log."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server: its address on loopback and the process whose tree it is."""

    port: int
    pid: int


def missing(name: str) -> str | None:
    """Say what to install for `redis` or `rabbitmq` to run here, or None."""
    program, package = PACKAGES[name]
    if _find(program) is None:
        return f"{program} is not installed: apt-get install --no-install-recommends {package}"
    return None


def version(name: str) -> str:
    """Give the installed package's version, or say that it is unknown."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", PACKAGES[name][1]], check=False, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


@contextlib.contextmanager
def redis(folder: pathlib.Path) -> Iterator[Server]:
    """Run Redis without snapshots or append-only file. Raises ServerFailed."""
    port = _free_port()
    words = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--loglevel", "warning"]
    with _running("redis", [*words, "--dir", str(folder)], port, folder / "redis.log", {}, None) as server:
        yield server


@contextlib.contextmanager
def rabbitmq(folder: pathlib.Path) -> Iterator[Server]:
    """Run RabbitMQ, as its own account when we are root; end the port mapper it starts too. Raises ServerFailed."""
    port, distribution, mapper = _free_port(), _free_port(), _free_port()
    home = folder / "rabbitmq"
    home.mkdir(mode=0o755, exist_ok=True)
    account = ACCOUNT if os.geteuid() == 0 else None
    if account is not None:
        shutil.chown(home, account, account)
    (home / "plugins").write_text("[].\n")
    settings = {
        "HOME": str(home),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(mapper),
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(home),
        "RABBITMQ_LOG_BASE": str(home),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    try:
        with _running("rabbitmq", [], port, folder / "rabbitmq.log", settings, account) as server:
            yield server
    finally:
        program = shutil.which("epmd")
        if program is not None:
            subprocess.run([program, "-port", str(mapper), "-kill"], check=False, capture_output=True, timeout=10)


def empty_redis(server: Server) -> None:
    """Remove every key."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        answer = connection.recv(64)
    if not answer.startswith(b"+OK"):
        raise ServerFailed(f"Redis answered FLUSHALL with {answer!r}")


@contextlib.contextmanager
def _running(
    name: str, words: Sequence[str], port: int, log: pathlib.Path, settings: dict[str, str], account: str | None
) -> Iterator[Server]:
    program = _find(PACKAGES[name][0])
    if program is None:
        raise ServerFailed(missing(name))
    with log.open("ab") as output:
        process = subprocess.Popen(
            [program, *words],
            cwd=log.parent,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=account,
            group=account,
            extra_groups=None if account is None else [],
            start_new_session=True,
        )
    try:
        _wait_listening(process, port, log)
        yield Server(port=port, pid=process.pid)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_TIMEOUT_S)
        process.kill()
        process.wait()


def _wait_listening(process: subprocess.Popen[bytes], port: int, log: pathlib.Path) -> None:
    until_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until_s and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(LOOK_S)
    tail = log.read_text(errors="replace")[-2_000:]
    raise ServerFailed(f"{process.args} did not listen within {START_TIMEOUT_S:g} s; {log} ends: {tail}")


def _find(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join([*SYSTEM_FOLDERS, os.environ.get("PATH", os.defpath)]))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
