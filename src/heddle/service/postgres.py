"""Run PostgreSQL from its wheel: one server for each directory, shared by every process that asks for it.

This module decides when a server is started, adopted, restarted and stopped. It refuses to know what the database
holds, and it is not used when DATABASE_URL names a server. The supervisor stands before it, the store behind it.

The server is a child in a session of its own, so a signal to the terminal does not reach it and the death of whoever
started it does not end it: the next `ensure` adopts it. All of finding, starting and stopping happens under one file
lock; a second file lock, shared, is held by every process that uses the server, so that `release` of the last user
stops it. The kernel frees both locks when a process dies.
"""

import contextlib
import dataclasses
import enum
import fcntl
import json
import pathlib
import secrets
import signal
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Mapping
from typing import IO

import psycopg
from psycopg import sql

from heddle.service import postgres_home, postgres_process

PostgresUnavailable = postgres_home.PostgresUnavailable

LOG_BYTES_MAX = 16 * 1024 * 1024
LOG_TAIL_BYTES = 4096
STARTS_MAX = 100
DEATHS_MAX = 5
START_PAUSE_S = 0.1
# The server's messages, in its C locale; it ends with status 1 for every reason, so its words are the only way to tell
# these two apart.
ORPHANS_LEFT = "pre-existing shared memory block"
PORT_TAKEN = "could not create any TCP/IP sockets"


class StopMode(enum.Enum):
    """How a server is stopped: wait for clients, disconnect them, or stop dead and recover at the next start."""

    SMART = signal.SIGTERM
    FAST = signal.SIGINT
    IMMEDIATE = signal.SIGQUIT


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSettings:
    """What the server is started with; durability is not an option here.

    shared_buffers_mib, max_wal_size_mib: MiB, from 16 and 64; max_connections: 10 to 5000. start_timeout_s includes
    crash recovery. `more` adds or overrides any server setting by name, for tests.
    """

    shared_buffers_mib: int = 256
    max_wal_size_mib: int = 4096
    max_connections: int = 200
    start_timeout_s: float = 120.0
    stop_timeout_s: float = 60.0
    more: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse sizes that the server would refuse less clearly."""
        if self.shared_buffers_mib < 16 or self.max_wal_size_mib < 64 or not 10 <= self.max_connections <= 5000:
            raise ValueError(
                "PostgreSQL needs shared_buffers_mib >= 16, max_wal_size_mib >= 64 and 10 <= max_connections <= 5000."
            )

    def arguments(self) -> dict[str, str]:
        """Return the server's settings by name."""
        return {
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "shared_buffers": f"{self.shared_buffers_mib}MB",
            "max_wal_size": f"{self.max_wal_size_mib}MB",
            "max_connections": str(self.max_connections),
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %q%u@%d %a ",
            **self.more,
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """A server that answers: `dsn` over loopback with its password, `socket_dsn` for root and the server's user."""

    dsn: str = dataclasses.field(repr=False)
    socket_dsn: str
    port: int
    pid: int
    version: str
    data_directory: pathlib.Path


class EmbeddedPostgres:
    """One cluster in one directory, and this process's part in running it.

    directory: made when missing. port: 0 takes a free one and keeps it over restarts. run_as: the server's user when we
    are root. Calls block and are not for several threads at once; call them from a thread of the supervisor, never from
    a loop.
    """

    def __init__(
        self,
        *,
        directory: pathlib.Path,
        port: int = 0,
        settings: PostgresSettings | None = None,
        run_as: str | None = None,
    ) -> None:
        self._directory = directory
        self._port = port
        self._settings = settings if settings is not None else PostgresSettings()
        self._run_as = run_as
        self._known_home: postgres_home.Home | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._use: IO[bytes] | None = None
        self._pid: int | None = None

    @property
    def log_path(self) -> pathlib.Path:
        """The server's log, kept over restarts and moved to `.1` when it passes 16 MiB."""
        return self._home().log

    def ensure(self) -> ServerInfo:
        """Return a server that answers: the running one, whoever started it, or a new one.

        Safe to call from several processes at once and again after any death; a restart keeps port, password and rows.
        Raises PostgresUnavailable with the end of the server's log when it cannot be started in start_timeout_s.
        """
        home = self._home()
        deadline_s = time.monotonic() + self._settings.start_timeout_s
        with postgres_home.locked(home.root / "lock", timeout_s=self._settings.start_timeout_s + 10):
            postgres_home.initialise(home)
            info = self._find_or_start(home=home, deadline_s=deadline_s)
            if self._use is None:
                self._use = (home.root / "users").open("ab")
                postgres_home.try_lock(self._use, operation=fcntl.LOCK_SH)
            self._pid = info.pid
        return info

    def poll(self) -> int | None:
        """Return None while the server runs, its exit status once it has ended, -1 when only its end is known."""
        if self._pid is None:
            return -1
        if self._child is not None and self._child.pid == self._pid:
            return self._child.poll()
        return None if postgres_process.is_server(pid=self._pid, data=self._home().data) else -1

    def is_alive(self) -> bool:
        """Say whether the server answers a query within two seconds."""
        found = postgres_process.find_postmaster(self._home().data)
        if found is None:
            return False
        try:
            with psycopg.connect(self._socket_dsn(found, database="postgres"), connect_timeout=2) as connection:
                connection.execute("select 1")
        except psycopg.Error:
            return False
        return True

    def release(self, *, mode: StopMode = StopMode.FAST) -> bool:
        """Give up this process's use of the server and stop it if nobody else uses it; say whether it was stopped."""
        home = self._home()
        with postgres_home.locked(home.root / "lock", timeout_s=self._settings.start_timeout_s + 10):
            self._close_use()
            with (home.root / "users").open("ab") as users:
                if not postgres_home.try_lock(users, operation=fcntl.LOCK_EX):
                    return False
                self._stop_locked(home=home, mode=mode)
                return True

    def stop(self, mode: StopMode = StopMode.FAST) -> None:
        """Stop the server for everybody; a second call finds nothing to do.

        A server that outlives stop_timeout_s is stopped dead, which loses nothing: the next start recovers.
        """
        home = self._home()
        with postgres_home.locked(home.root / "lock", timeout_s=self._settings.start_timeout_s + 10):
            self._close_use()
            self._stop_locked(home=home, mode=mode)

    def _stop_locked(self, *, home: postgres_home.Home, mode: StopMode) -> None:
        """Signal and wait, harder each time; the caller holds the cluster's lock."""
        found = postgres_process.find_postmaster(home.data)
        if found is None:
            self._reap()
            return
        steps = ((mode.value, self._settings.stop_timeout_s), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
        for number, timeout_s in steps:
            postgres_process.send(pid=found.pid, number=number)
            if postgres_process.wait_gone(pid=found.pid, data=home.data, timeout_s=timeout_s, child=self._child):
                return
        raise PostgresUnavailable(
            f"PostgreSQL {found.pid} on {home.data} did not end after SIGKILL: look at the disk it waits for."
        )

    def _home(self) -> postgres_home.Home:
        if self._known_home is None:
            self._known_home = postgres_home.prepare_home(directory=self._directory, run_as=self._run_as)
        return self._known_home

    def _close_use(self) -> None:
        if self._use is not None:
            self._use.close()
            self._use = None

    def _reap(self) -> None:
        """Collect a child of ours that has ended, or is ending, so that its process number no longer looks alive."""
        if self._child is None:
            return
        if not postgres_process.is_server(pid=self._child.pid, data=self._home().data):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=postgres_process.EXIT_TIMEOUT_S)
        if self._child.poll() is not None:
            self._child = None

    def _find_or_start(self, *, home: postgres_home.Home, deadline_s: float) -> ServerInfo:
        """Return a server that has answered; one that dies while it is asked is replaced, a few times.

        The caller holds the cluster's lock.
        """
        for _ in range(DEATHS_MAX):
            self._reap()
            found = postgres_process.find_postmaster(home.data)
            if found is None:
                found = self._start(home=home, deadline_s=deadline_s)
            info = self._wait_ready(home=home, found=found, deadline_s=deadline_s)
            if info is not None:
                return info
        said = _log_tail(path=home.log, start=0)
        raise PostgresUnavailable(f"PostgreSQL died {DEATHS_MAX} times while it was starting; {home.log} ends: {said}")

    def _start(self, *, home: postgres_home.Home, deadline_s: float) -> postgres_process.Postmaster:
        """Start a server; wait for orphans of a killed one, and take another port when the remembered one is taken.

        The caller holds the cluster's lock.
        """
        port, previous = self._read_address(home)
        for _ in range(STARTS_MAX):
            socket_directory = postgres_home.make_socket_directory(home=home, previous=previous)
            postgres_process.forget_stranger(data=home.data, socket_directory=socket_directory)
            record = {"port": port, "socket_directory": str(socket_directory)}
            postgres_home.write_private(path=home.address, text=json.dumps(record))
            child, log_start = self._spawn(home=home, port=port, socket_directory=socket_directory)
            self._child = child
            while child.poll() is None and time.monotonic() < deadline_s:
                found = postgres_process.find_postmaster(home.data)
                if found is not None and found.pid == child.pid:
                    return found
                time.sleep(postgres_process.POLL_INTERVAL_S)
            said = _log_tail(path=home.log, start=log_start)
            if child.poll() is None:
                child.kill()
                child.wait(timeout=10)
            if PORT_TAKEN in said and self._port == 0:
                port = _free_port()
            elif ORPHANS_LEFT not in said or time.monotonic() > deadline_s:
                raise PostgresUnavailable(
                    f"PostgreSQL did not start on port {port} as {home.user.name}; {home.log} ends: {said}"
                )
            time.sleep(START_PAUSE_S)
        raise PostgresUnavailable(f"PostgreSQL did not start in {STARTS_MAX} tries; see {home.log}.")

    def _spawn(
        self, *, home: postgres_home.Home, port: int, socket_directory: pathlib.Path
    ) -> tuple[subprocess.Popen[bytes], int]:
        """Start the server as the chosen user, and return it with the log's size before its first word."""
        if home.log.exists() and home.log.stat().st_size > LOG_BYTES_MAX:
            home.log.replace(home.log.with_suffix(".log.1"))
        chosen = {
            **self._settings.arguments(),
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(socket_directory),
            "unix_socket_permissions": "0700",
        }
        command = [str(home.binaries / "postgres"), "-D", str(home.data)]
        for name, value in chosen.items():
            command += ["-c", f"{name}={value}"]
        with home.log.open("ab") as log:
            start = log.tell()
            child = subprocess.Popen(
                command,
                cwd=home.data,
                env=home.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **postgres_home.drop_to(home.user),
            )
        return child, start

    def _wait_ready(
        self, *, home: postgres_home.Home, found: postgres_process.Postmaster, deadline_s: float
    ) -> ServerInfo | None:
        """Connect until the server of this very data directory answers a query; None when it has died instead."""
        problem = "no answer"
        while time.monotonic() < deadline_s:
            if not postgres_process.is_server(pid=found.pid, data=home.data):
                return None
            if self._child is not None:
                self._child.poll()
            try:
                with psycopg.connect(
                    self._socket_dsn(found, database="postgres"), connect_timeout=2, autocommit=True
                ) as connection:
                    return self._describe(home=home, found=found, connection=connection)
            except psycopg.OperationalError as error:
                problem = str(error).strip()
            time.sleep(postgres_process.POLL_INTERVAL_S)
        said = _log_tail(path=home.log, start=0)
        raise PostgresUnavailable(f"PostgreSQL {found.pid} does not answer ({problem}); {home.log} ends: {said}")

    def _describe(
        self,
        *,
        home: postgres_home.Home,
        found: postgres_process.Postmaster,
        connection: psycopg.Connection[tuple[object, ...]],
    ) -> ServerInfo:
        """Check whose server answers, make our database if it is missing, and say how to reach it."""
        row = connection.execute(
            "select current_setting('data_directory'), current_setting('server_version')"
        ).fetchone()
        assert row is not None
        if str(row[0]) != str(home.data):
            raise PostgresUnavailable(f"The server at {found.socket_directory} serves {row[0]} and not {home.data}.")
        if (
            connection.execute("select 1 from pg_database where datname = %s", [postgres_home.DATABASE]).fetchone()
            is None
        ):
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(postgres_home.DATABASE)))
        password = urllib.parse.quote(home.password.read_text().strip(), safe="")
        return ServerInfo(
            dsn=f"postgresql://{postgres_home.SUPERUSER}:{password}@127.0.0.1:{found.port}/{postgres_home.DATABASE}",
            socket_dsn=self._socket_dsn(found, database=postgres_home.DATABASE),
            port=found.port,
            pid=found.pid,
            version=str(row[1]),
            data_directory=home.data,
        )

    def _socket_dsn(self, found: postgres_process.Postmaster, *, database: str) -> str:
        host = urllib.parse.quote(str(found.socket_directory), safe="")
        return f"postgresql://{postgres_home.SUPERUSER}@/{database}?host={host}&port={found.port}"

    def _read_address(self, home: postgres_home.Home) -> tuple[int, pathlib.Path | None]:
        """Return the port to listen on and the socket directory last used; a port given to the constructor wins."""
        port, previous = 0, None
        with contextlib.suppress(FileNotFoundError):
            record = json.loads(home.address.read_text())
            port, previous = int(record["port"]), pathlib.Path(record["socket_directory"])
        return self._port or port or _free_port(), previous


def _free_port() -> int:
    """Return a loopback port that was free a moment ago, from below the range that clients' own ports are drawn from.

    A port of that range could be taken by an outgoing connection while the server restarts, and its address would have
    to change.
    """
    for _ in range(STARTS_MAX):
        port = 15_432 + secrets.randbelow(32_768 - 15_432)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise PostgresUnavailable("No free loopback port was found between 15432 and 32767: name one.")


def _log_tail(*, path: pathlib.Path, start: int) -> str:
    with path.open("rb") as log:
        log.seek(0, 2)
        log.seek(max(start, log.tell() - LOG_TAIL_BYTES))
        return log.read().decode(errors="replace").strip()
