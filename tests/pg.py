"""One PostgreSQL for all tests, one migrated template in it, and a database of its own for each test file.

The server is the embedded one, in a directory that later sessions reuse, or the one that TEST_DATABASE_URL names. The
template is made once for each state of the migrations: its name carries their digest, so that a change makes a new one
and two sessions with the same code share it. Making it is guarded by an advisory lock, so parallel workers of one
session make it once.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import os
import pathlib
import re
import secrets
import urllib.parse
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from heddle.service import postgres

ROOT = pathlib.Path(__file__).resolve().parent.parent
MIGRATIONS = ROOT / "src" / "heddle" / "migrations"
TEMPLATE_PREFIX = "heddle_template_"
TEMPLATE_LOCK = 0x6865_6464_6C65
DATABASE_NAME_BYTES_MAX = 63
STALE_TEMPLATES_KEPT = 3
CLUSTER_DIRECTORY = ROOT / ".heddle" / "tests-postgres"
CLUSTER_SETTINGS = postgres.PostgresSettings(shared_buffers_mib=128, max_wal_size_mib=1024, max_connections=300)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database of one test file: `dsn` is what psycopg and DATABASE_URL take."""

    name: str
    dsn: str

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection that commits each statement."""
        return psycopg.connect(self.dsn, autocommit=True)

    def django_settings(self) -> dict[str, Any]:
        """Return the entry of Django's DATABASES."""
        parts = psycopg.conninfo.conninfo_to_dict(self.dsn)
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": self.name,
            "USER": str(parts.get("user", "")),
            "PASSWORD": str(parts.get("password", "")),
            "HOST": str(parts.get("host", "")),
            "PORT": str(parts.get("port", "")),
            "CONN_MAX_AGE": 0,
        }


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Give the address of a server whose role may create databases; its last user stops an embedded one."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    server = postgres.EmbeddedPostgres(directory=CLUSTER_DIRECTORY, settings=CLUSTER_SETTINGS)
    try:
        yield server.ensure().dsn
    finally:
        server.release()


def make_template(cluster_dsn: str) -> str:
    """Return the name of the migrated template, made now if these migrations have none of this week.

    Migrating attaches partitions for the coming weeks, so an old template would lack the ones that tests write to.
    """
    week = datetime.datetime.now(tz=datetime.UTC).strftime("%Gw%V")
    name = f"{TEMPLATE_PREFIX}{migrations_digest()}_{week}"
    with psycopg.connect(cluster_dsn, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", [TEMPLATE_LOCK])
        found = connection.execute("select datistemplate from pg_database where datname = %s", [name]).fetchone()
        if found == (True,):
            return name
        drop(connection=connection, name=name)
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        _migrate(Database(name=name, dsn=address_of(cluster_dsn=cluster_dsn, name=name)))
        # Only a finished template is marked, so one whose making was interrupted is made again.
        connection.execute(sql.SQL("alter database {} with is_template true").format(sql.Identifier(name)))
        _drop_stale_templates(connection=connection, keep=name)
    return name


@contextlib.contextmanager
def database(*, cluster_dsn: str, template: str, label: str) -> Iterator[Database]:
    """Give a migrated database whose name shows the label, and drop it afterwards with its connections."""
    shown = re.sub(r"[^a-z0-9_]", "_", label.lower())
    name = f"t_{secrets.token_hex(4)}_{shown}"[:DATABASE_NAME_BYTES_MAX]
    statement = sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(cluster_dsn, autocommit=True) as connection:
        connection.execute(statement)
    try:
        yield Database(name=name, dsn=address_of(cluster_dsn=cluster_dsn, name=name))
    finally:
        with psycopg.connect(cluster_dsn, autocommit=True) as connection:
            drop(connection=connection, name=name)


@contextlib.contextmanager
def django_using(target: Database) -> Iterator[None]:
    """Point Django's default connection at a database for the block, and close what was opened there."""
    from django.db import connections  # Django reads its settings here, which must be chosen first.

    entry: dict[str, Any] = connections.settings["default"]
    before = dict(entry)
    connections.close_all()
    entry.update(target.django_settings())
    try:
        yield
    finally:
        connections.close_all()
        entry.clear()
        entry.update(before)


def address_of(*, cluster_dsn: str, name: str) -> str:
    """Return the cluster's address with another database in it."""
    parts = urllib.parse.urlsplit(cluster_dsn)
    return urllib.parse.urlunsplit(parts._replace(path=f"/{name}"))


def migrations_digest() -> str:
    """Digest everything that shapes a migrated database, for the template's name."""
    digest = hashlib.sha256()
    for path in sorted([*MIGRATIONS.rglob("*.py"), *MIGRATIONS.rglob("*.sql"), ROOT / "tests" / "settings.py"]):
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(path.read_bytes())
    import django

    digest.update(django.get_version().encode())
    return digest.hexdigest()[:16]


def drop(*, connection: psycopg.Connection[tuple[Any, ...]], name: str) -> None:
    """Drop a database, if it exists, with its connections."""
    connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def set_up_django() -> None:
    """Load Django with `tests.settings` once, leaving the environment of child processes as it was."""
    import django
    from django.conf import settings

    if settings.configured:
        return
    name = "DJANGO_SETTINGS_MODULE"
    before = os.environ.get(name)
    os.environ[name] = "tests.settings"
    try:
        django.setup()
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _migrate(target: Database) -> None:
    set_up_django()
    from django.core import management

    with django_using(target):
        management.call_command("migrate", verbosity=0, interactive=False)


def _drop_stale_templates(*, connection: psycopg.Connection[tuple[Any, ...]], keep: str) -> None:
    """Drop the oldest templates of other states of the code, so that a cluster used for months stays small."""
    rows = connection.execute(
        "select datname from pg_database where starts_with(datname, %s) and datname <> %s order by oid desc offset %s",
        [TEMPLATE_PREFIX, keep, STALE_TEMPLATES_KEPT],
    ).fetchall()
    for (name,) in rows:
        connection.execute(sql.SQL("alter database {} with is_template false").format(sql.Identifier(name)))
        drop(connection=connection, name=name)
