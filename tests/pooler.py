"""Run pgbouncer in transaction mode in front of a database of the tests."""

import contextlib
import os
import pathlib
import subprocess
import time
from collections.abc import Iterator

import psycopg
from psycopg import conninfo

from heddle.service import ports
from tests import pg, programs

START_S = 20.0
# Few, so that two transactions of one client meet different sessions.
SERVER_CONNECTIONS = 8


@contextlib.contextmanager
def in_front_of(database: pg.Database, folder: pathlib.Path) -> Iterator[pg.Database]:
    """Give the same database through a pooler; ended afterwards."""
    program = programs.find("pgbouncer")
    assert program is not None, "the caller skips where it is not installed"
    given = conninfo.conninfo_to_dict(database.dsn)
    port = ports.choose()
    target = " ".join(
        f"{name}='{given[key]}'"
        for name, key in (("host", "host"), ("port", "port"), ("user", "user"), ("password", "password"))
        if given.get(key)
    )
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n{database.name} = {target} dbname={database.name}\n"
        "[pgbouncer]\npool_mode = transaction\nauth_type = any\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nmax_client_conn = 300\ndefault_pool_size = {SERVER_CONNECTIONS}\n"
        "server_round_robin = 1\n"
    )
    settings.chmod(0o644)
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.geteuid() and each != pathlib.Path("/"):
            each.chmod(each.stat().st_mode | 0o011)
    # It refuses to run as root.
    identity = {"user": "nobody"} if os.geteuid() == 0 else {}
    with (folder / "pgbouncer.log").open("ab") as log:
        process = subprocess.Popen([program, str(settings)], stdout=log, stderr=log, **identity)  # type: ignore[call-overload]
    dsn = conninfo.make_conninfo(dbname=database.name, user=given["user"], host="127.0.0.1", port=port)
    url = f"postgresql://{given['user']}@127.0.0.1:{port}/{database.name}"
    try:
        _until_it_answers(dsn, process, folder / "pgbouncer.log")
        yield pg.Database(name=database.name, dsn=url)
    finally:
        process.kill()
        process.wait(timeout=START_S)


def _until_it_answers(dsn: str, process: "subprocess.Popen[bytes]", log: pathlib.Path) -> None:
    until_s = time.monotonic() + START_S
    while True:
        try:
            with psycopg.connect(dsn, connect_timeout=2) as connection:
                connection.execute("select 1")
                return
        except psycopg.Error:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until_s, log.read_text()
            time.sleep(0.05)
