"""An installation on a PostgreSQL server of its own, which a test may stop, kill and bring back."""

import contextlib
import os
import pathlib
import signal
import time
from collections.abc import Iterator

from django.db import connections

from heddle.service import postgres
from tests import pg
from tests.fault import harness, programs

SETTINGS = postgres.PostgresSettings(shared_buffers_mib=32, max_wal_size_mib=64, max_connections=60)


@contextlib.contextmanager
def server_at(folder: pathlib.Path) -> Iterator[postgres.EmbeddedPostgres]:
    """Give a server that is not started yet, and stop it afterwards."""
    made = postgres.EmbeddedPostgres(directory=folder, settings=SETTINGS)
    try:
        yield made
    finally:
        made.release()


@contextlib.contextmanager
def site_on(
    server: postgres.EmbeddedPostgres, folder: pathlib.Path, nursery: programs.Nursery
) -> Iterator[harness.Site]:
    """Give an installation on a server."""
    dsn = server.ensure().dsn
    template = pg.make_template(dsn)
    with (
        pg.database(cluster_dsn=dsn, template=template, label="mortal") as database,
        pg.django_using(database),
        harness.site_on(database, folder, nursery) as site,
    ):
        yield site


def kill(server: postgres.EmbeddedPostgres) -> None:
    """Kill -9 the server as the kernel would."""
    os.kill(server.ensure().pid, signal.SIGKILL)
    programs.until(lambda: server.poll() is not None, what="the server is gone")


def kill_and_restart(server: postgres.EmbeddedPostgres, *, away_s: float = 0.0) -> float:
    """Kill -9 the server, bring it back after a while, and give the moment at which it answers (monotonic)."""
    kill(server)
    time.sleep(away_s)
    server.ensure()
    connections.close_all()
    return time.monotonic()
