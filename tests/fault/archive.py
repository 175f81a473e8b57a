"""A PostgreSQL server that archives its write-ahead log, is backed up at work and restored to a named point."""

import os
import pathlib
import shutil
import subprocess

import psycopg

from heddle.service import postgres, postgres_home
from tests.fault import programs

_SIZES = {"shared_buffers_mib": 32, "max_wal_size_mib": 64, "max_connections": 80}


class ArchivedServer:
    """One server in a directory, its archive and its backup beside it; the server is stopped by ``close``."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._server = postgres.EmbeddedPostgres(directory=directory, settings=postgres.PostgresSettings(**_SIZES))
        info = self._server.ensure()
        self.data = info.data_directory
        self._owner = (self.data.stat().st_uid, self.data.stat().st_gid)
        self.archive, self.backup = self.data.parent / "archive", self.data.parent / "backup"
        for folder in (self.archive, self.backup):
            folder.mkdir(mode=0o700)
            self._give(folder)
        self._restart(
            {"archive_mode": "on", "archive_command": f"test ! -f {self.archive}/%f && cp %p {self.archive}/%f"}
        )

    @property
    def dsn(self) -> str:
        return self._server.ensure().dsn

    def back_up(self) -> None:
        """Copy the server's files while it works."""
        command = [str(postgres_home.find_binaries() / "pg_basebackup"), "--dbname", self.dsn]
        command += ["--pgdata", str(self.backup), "--checkpoint=fast", "--wal-method=none", "--no-password"]
        subprocess.run(command, check=True, capture_output=True, timeout=programs.WAIT_S)

    def mark(self, name: str) -> None:
        """Name the present moment, to which the server can be restored."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("select pg_create_restore_point(%s)", [name])

    def until_archived(self) -> None:
        """Wait until everything written so far is in the archive."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            row = connection.execute("select pg_walfile_name(pg_switch_wal())").fetchone()
        assert row is not None, "a switch names its file"
        programs.until((self.archive / row[0]).exists, what=f"{row[0]} is archived")

    def restore(self, name: str) -> None:
        """Lose the server, and put the backup in its place, as it was at a named moment."""
        self._server.stop(postgres.StopMode.IMMEDIATE)
        shutil.rmtree(self.data)
        shutil.copytree(self.backup, self.data)
        (self.data / "recovery.signal").touch()
        for path in (self.data, *self.data.rglob("*")):
            self._give(path)
        self.data.chmod(0o700)
        target = {"recovery_target_name": name, "recovery_target_action": "promote"}
        self._restart({"restore_command": f"cp {self.archive}/%f %p", **target})
        is_over = "select not pg_is_in_recovery()"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            programs.until(lambda: connection.execute(is_over).fetchone() == (True,), what="it is promoted")

    def close(self) -> None:
        self._server.release()
        shutil.rmtree(self.data.parent)

    def _restart(self, more: dict[str, str]) -> None:
        self._server.release()
        settings = postgres.PostgresSettings(**_SIZES, more=more)
        self._server = postgres.EmbeddedPostgres(directory=self._directory, settings=settings)
        self._server.ensure()

    def _give(self, path: pathlib.Path) -> None:
        """Let the server's user own a file, when it is not us."""
        if os.geteuid() == 0:
            os.chown(path, *self._owner)
