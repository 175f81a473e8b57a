"""The embedded server: started, shared, killed, adopted, and never run as root."""

import concurrent.futures
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import psycopg
import pytest

from heddle.service import postgres, postgres_home, postgres_process

SMALL = postgres.PostgresSettings(shared_buffers_mib=16, max_wal_size_mib=64, max_connections=20)
ANOTHER_PROCESS = """
import pathlib, sys
from heddle.service import postgres
server = postgres.EmbeddedPostgres(directory=pathlib.Path(sys.argv[1]))
print(server.ensure().pid, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def directory() -> Iterator[pathlib.Path]:
    """Give a directory that every user may reach, and stop the server that a test leaves there."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="heddle-test-"))
    made.chmod(0o755)
    yield made / "pg"
    postgres.EmbeddedPostgres(directory=made / "pg", settings=SMALL).stop(postgres.StopMode.IMMEDIATE)
    shutil.rmtree(made)


@pytest.fixture
def server(directory: pathlib.Path) -> postgres.EmbeddedPostgres:
    """Give a server that is not started yet."""
    return postgres.EmbeddedPostgres(directory=directory, settings=SMALL)


def test_ensure_when_the_directory_is_empty_then_a_durable_server_answers_on_both_addresses(
    server: postgres.EmbeddedPostgres,
) -> None:
    info = server.ensure()

    with psycopg.connect(info.dsn) as over_tcp, psycopg.connect(info.socket_dsn) as over_socket:
        answer = over_tcp.execute(
            "select current_setting('fsync'), current_setting('synchronous_commit'), current_setting('data_checksums'),"
            " current_setting('max_connections'), current_database(), datlocprovider, datlocale"
            " from pg_database where datname = current_database()"
        ).fetchone()
        addresses = over_socket.execute("show listen_addresses").fetchone()

    assert answer == ("on", "on", "on", "20", "heddle", "b", "C.UTF-8")
    assert addresses == ("127.0.0.1",)
    assert server.is_alive()
    assert server.poll() is None


def test_tcp_when_the_password_is_wrong_then_the_server_refuses(server: postgres.EmbeddedPostgres) -> None:
    info = server.ensure()

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://heddle:wrong@127.0.0.1:{info.port}/heddle", connect_timeout=5)


def test_ensure_when_another_object_runs_the_server_then_it_is_shared_and_the_last_user_stops_it(
    server: postgres.EmbeddedPostgres, directory: pathlib.Path
) -> None:
    first = server.ensure()
    other = postgres.EmbeddedPostgres(directory=directory, settings=SMALL)
    second = other.ensure()

    released_first = server.release()
    alive_between = other.is_alive()
    released_last = other.release()

    assert (first.pid, first.dsn) == (second.pid, second.dsn)
    assert (released_first, alive_between, released_last) == (False, True, True)
    assert not other.is_alive()


def test_ensure_when_several_processes_race_then_they_get_one_server(directory: pathlib.Path) -> None:
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(directory)]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment())
        for _ in range(3)
    ]

    with concurrent.futures.ThreadPoolExecutor() as threads:
        pids = set(threads.map(_first_line, racers))
    for racer in racers:
        racer.communicate(input="\n", timeout=30)

    assert len(pids) == 1
    assert pids != {""}


def test_ensure_when_the_server_was_killed_then_it_restarts_at_the_same_address_with_every_row(
    server: postgres.EmbeddedPostgres,
) -> None:
    info = server.ensure()
    with psycopg.connect(info.dsn) as connection:
        connection.execute("create table kept (n int)")
        connection.execute("insert into kept select generate_series(1, 1000)")
    # A client that stays connected leaves an orphaned backend behind, which the restart has to wait for.
    with contextlib.closing(psycopg.connect(info.dsn, autocommit=True)) as lingering:
        lingering.execute("select 1")
        os.kill(info.pid, signal.SIGKILL)
        again = server.ensure()

    with psycopg.connect(info.dsn) as connection:
        rows = connection.execute("select count(*) from kept").fetchone()

    assert rows == (1000,)
    assert again.pid != info.pid
    assert (again.port, again.dsn) == (info.port, info.dsn)


def test_ensure_when_the_starter_was_killed_then_the_next_process_adopts_its_server(
    server: postgres.EmbeddedPostgres, directory: pathlib.Path
) -> None:
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(directory)]
    starter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment())
    pid = int(_first_line(starter))
    starter.kill()
    starter.communicate(timeout=30)

    info = server.ensure()
    stopped = server.release()

    assert info.pid == pid
    assert stopped
    assert server.poll() == -1


def test_ensure_when_both_starter_and_server_were_killed_then_it_recovers(
    server: postgres.EmbeddedPostgres, directory: pathlib.Path
) -> None:
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(directory)]
    starter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment())
    pid = int(_first_line(starter))
    # The starter lives and never reaps, so the dead server stays a zombie whose number looks taken.
    os.kill(pid, signal.SIGKILL)

    info = server.ensure()
    starter.communicate(input="\n", timeout=30)

    assert info.pid != pid
    assert server.is_alive()


def test_ensure_when_the_number_of_a_dead_server_belongs_to_another_program_then_it_starts(
    server: postgres.EmbeddedPostgres, directory: pathlib.Path
) -> None:
    info = server.ensure()
    lines = (info.data_directory / "postmaster.pid").read_text().splitlines()
    os.kill(info.pid, signal.SIGKILL)
    assert postgres_process.wait_gone(pid=info.pid, data=info.data_directory, timeout_s=10, child=None)
    (info.data_directory / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    again = server.ensure()

    assert again.pid not in {info.pid, os.getpid()}


def test_ensure_when_the_remembered_port_is_taken_then_a_free_one_is_used(server: postgres.EmbeddedPostgres) -> None:
    info = server.ensure()
    server.stop()
    with socket.socket() as intruder:
        intruder.bind(("127.0.0.1", info.port))
        intruder.listen()

        again = server.ensure()

    assert again.port != info.port
    assert server.is_alive()


def test_ensure_when_a_given_port_is_taken_then_the_message_names_it(directory: pathlib.Path) -> None:
    with socket.socket() as intruder:
        intruder.bind(("127.0.0.1", 0))
        intruder.listen()
        port = intruder.getsockname()[1]
        server = postgres.EmbeddedPostgres(directory=directory, port=port, settings=SMALL)

        with pytest.raises(postgres.PostgresUnavailable, match=str(port)):
            server.ensure()


def test_stop_when_a_client_is_connected_then_the_server_ends_and_starts_again(
    server: postgres.EmbeddedPostgres,
) -> None:
    info = server.ensure()
    with contextlib.closing(psycopg.connect(info.dsn, autocommit=True)) as connection:
        connection.execute("select 1")
        server.stop()
        ended = server.poll()
    server.stop()

    again = server.ensure()

    assert ended == 0
    assert again.port == info.port


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop to another user: sudo make test")
def test_ensure_as_root_then_the_server_runs_as_another_user_and_owns_only_its_own(directory: pathlib.Path) -> None:
    server = postgres.EmbeddedPostgres(directory=directory, settings=SMALL, run_as="nobody")
    info = server.ensure()

    status = pathlib.Path(f"/proc/{info.pid}/status").read_text()
    uids = {int(value) for value in status.partition("Uid:")[2].partition("\n")[0].split()}
    groups = status.partition("Groups:")[2].partition("\n")[0].split()
    owners = {path.name: path.stat().st_uid for path in [directory.parent, directory, *directory.iterdir()]}

    assert 0 not in uids
    assert len(uids) == 1
    assert groups in ([], ["65534"])
    assert {name for name, uid in owners.items() if uid != 0} == {"data", "socket"}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop to another user: sudo make test")
def test_ensure_as_root_when_the_user_cannot_reach_the_directory_then_one_line_says_where_the_data_is(
    directory: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory.parent.chmod(0o700)
    server = postgres.EmbeddedPostgres(directory=directory, settings=SMALL)

    with caplog.at_level("WARNING"):
        info = server.ensure()
    same = postgres.EmbeddedPostgres(directory=directory, settings=SMALL).ensure()
    server.stop()

    assert info.pid == same.pid
    assert info.data_directory.parent.parent == postgres_home.SHARED_STATE_DIRECTORY
    assert [record.getMessage().count(str(info.data_directory.parent)) for record in caplog.records[:1]] == [1]
    assert list(directory.iterdir()) == []
    shutil.rmtree(info.data_directory.parent)
    directory.parent.chmod(0o755)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop to another user: sudo make test")
def test_ensure_as_root_when_the_user_cannot_reach_the_programs_then_a_copy_runs(
    directory: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = postgres_home.find_binaries()
    package = installed.parent.parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / package.name).symlink_to(package)
    (closed / f"{package.name}.libs").symlink_to(package.with_name(f"{package.name}.libs"))
    hidden = closed / package.name / installed.parent.name / "bin"
    monkeypatch.setattr(postgres_home, "find_binaries", lambda: hidden)

    info = postgres.EmbeddedPostgres(directory=directory, settings=SMALL).ensure()

    program = pathlib.Path(f"/proc/{info.pid}/exe").resolve()
    assert program.is_relative_to(directory / "programs")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
