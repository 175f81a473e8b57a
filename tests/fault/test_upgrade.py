"""The release before runs on the new schema beside the new one; a new worker waits for a schema not there yet."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator

import django.db
import psycopg
import pytest
from django.core import management
from psycopg import sql

from heddle.config import deployment
from heddle.service import migrate as service_migrate
from heddle.store import schema
from tests import pg
from tests.fault import harness, programs

FIRST = "0001_initial"
RUNS = 6
PICTURES = 3
# Settings of the other fault tests that the release before refuses to start with.
NEW_SETTINGS = ("HEDDLE_SESSION_GONE_S",)


def _previous_commit() -> str | None:
    """Name the last commit before the first migration after the initial one, None where the history is not there."""
    found = subprocess.run(
        ["git", "log", "--diff-filter=A", "--format=%H", "--", "src/heddle/migrations/0*.py"],
        cwd=programs.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    # Newest first: the last one made the initial migration, the one before it the first that followed.
    added = found.stdout.split()
    if found.returncode != 0 or len(added) < 2:
        return None
    parent = subprocess.run(
        ["git", "rev-parse", f"{added[-2]}^"], cwd=programs.ROOT, capture_output=True, text=True, check=False
    )
    return parent.stdout.strip() if parent.returncode == 0 else None


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Give the source of the release before, out of the history."""
    commit = _previous_commit()
    if commit is None:
        pytest.skip("the history before the second migration is not here: git fetch --unshallow")
    folder = tmp_path_factory.mktemp("previous")
    packed = folder / "source.tar"
    subprocess.run(["git", "archive", "--output", str(packed), commit, "src", "tests"], cwd=programs.ROOT, check=True)
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder


class OldWorker:
    """A worker of the release before, as a process."""

    def __init__(self, site: harness.Site, source: pathlib.Path, name: str) -> None:
        self.log = site.folder / f"{name}.log"
        environment = site.environment({"PYTHONPATH": os.pathsep.join([str(source / "src"), str(source)])})
        for name_of_new in NEW_SETTINGS:
            environment.pop(name_of_new)
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "heddle.cli", "worker", "--name", name],
                env=environment, cwd=site.folder, stdout=file, stderr=file,
            )  # fmt: skip
        programs.until(lambda: "worker.started" in self.log.read_text() or not self.is_up(), what=f"{name} starts")
        assert self.is_up(), f"{name} ended by itself:\n{self.log.read_text()}"

    def is_up(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=programs.WAIT_S)


@contextlib.contextmanager
def old_worker(site: harness.Site, source: pathlib.Path, name: str) -> Iterator[OldWorker]:
    made = OldWorker(site, source, name)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait(timeout=programs.WAIT_S)


def load(site: harness.Site, first: int) -> dict[object, object]:
    """Submit a mixed load, every paid call with a seed of its own; give what each run must return."""
    wanted: dict[object, object] = {}
    for number in range(first, first + RUNS):
        bought, single = [10 * number + k for k in range(PICTURES)], 10 * number + PICTURES
        wanted[site.submit("pictures", first=bought[0], count=PICTURES)] = bought
        wanted[site.submit("sums", number=number)] = 2 * number + 3
        wanted[site.submit("mixed", number=single, take_s=0.01)] = {"total": 2 * single, "seed": single}
    return wanted


def test_workers_of_two_releases_when_they_share_the_new_schema_then_every_run_ends_right_and_is_paid_once(
    site: harness.Site, previous: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with harness.simulator(tmp_path / "provider", latency_ms=20) as provider:
        site.configure(harness.simulated_endpoint("studio", provider.url, model="paint", poll_after_s=0.05))

        with old_worker(site, previous, "old") as old:
            alone = load(site, 0)
            shown_alone = site.ended(*alone)  # type: ignore[arg-type]
            site.start_worker("new")
            beside = load(site, 100)
            shown_beside = site.ended(*beside)  # type: ignore[arg-type]
            status = old.stop()
        after = load(site, 200)
        shown_after = site.ended(*after)  # type: ignore[arg-type]

        shown = [*shown_alone, *shown_beside, *shown_after]
        assert {run.state.value for run in shown} == {"succeeded"}
        wanted = {**alone, **beside, **after}
        assert {run.id: run.output for run in shown} == wanted
        assert set(provider.payments_by_seed().values()) == {1}
        assert len(provider.payments_by_seed()) == 3 * RUNS * (PICTURES + 1)
        assert status == 0
        site.until_quiet()


@pytest.fixture
def first_schema(nursery: programs.Nursery, tmp_path: pathlib.Path) -> Iterator[harness.Site]:
    """Give an installation whose database is at the first migration."""
    with pg.cluster() as dsn:
        name = f"t_upgrade_{os.getpid()}"
        target = pg.Database(name=name, dsn=pg.address_of(cluster_dsn=dsn, name=name))
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
            try:
                with pg.django_using(target):
                    management.call_command("migrate", "heddle", FIRST, verbosity=0, interactive=False)
                    with harness.site_on(target, tmp_path, nursery) as site:
                        yield site
            finally:
                pg.drop(connection=connection, name=name)


def test_worker_when_the_schema_is_behind_then_it_waits_with_one_sentence_and_starts_when_it_is_migrated(
    first_schema: harness.Site,
) -> None:
    site = first_schema
    sentence = f"the database is at {FIRST} and this release needs {schema.needed()[-1]}; run `heddle migrate`"

    worker = site.launch_worker("early", FAULT_COMPUTE="none")
    programs.until(lambda: worker.said("schema.behind"), what="it says that it waits")
    told = worker.said("schema.behind")
    assert worker.is_up()
    from heddle import wiring

    not_ready = wiring.checks()["schema"]()
    management.call_command("migrate", verbosity=0, interactive=False)
    site.until_started(worker)
    run_id = site.submit("waits", name="somebody")

    assert [each["reason"] for each in told] == [sentence]
    assert not_ready == sentence
    assert wiring.checks()["schema"]() is None
    site.until_row("select state = 'running' from heddle_run where id = %s", [run_id], what="it works")


def test_worker_when_it_waits_for_a_schema_then_it_can_be_stopped(first_schema: harness.Site) -> None:
    worker = first_schema.launch_worker("early", FAULT_COMPUTE="none")
    programs.until(lambda: worker.said("schema.behind"), what="it says that it waits")

    worker.send(signal.SIGTERM)

    assert worker.exit_code() == 0


def test_migrate_when_a_transaction_holds_what_it_needs_then_it_gives_way_and_tries_again(
    first_schema: harness.Site,
) -> None:
    site = first_schema
    waiting = (
        "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    )
    problems: list[BaseException] = []

    def migrate() -> None:
        try:
            service_migrate.migrate(deployment.EMPTY)
        except BaseException as error:  # noqa: BLE001 - told by the test
            problems.append(error)
        finally:
            django.db.connections.close_all()

    with psycopg.connect(site.database.dsn) as holder:
        holder.execute("select 1 from heddle_tenant")
        thread = threading.Thread(target=migrate)
        thread.start()
        site.until_row(waiting, what="the migration waits")
        site.until_row(f"select not ({waiting})", what="the migration gives way")

    thread.join(timeout=programs.WAIT_S)
    assert problems == []
    assert site.value("select count(*) from django_migrations where app = 'heddle'") == len(schema.needed())


def test_migrations_when_taken_back_and_made_again_then_the_schema_is_the_same(first_schema: harness.Site) -> None:
    def columns() -> list[tuple[object, ...]]:
        return first_schema.rows(
            "select table_name, column_name, data_type, is_nullable from information_schema.columns "
            "where table_name like 'heddle_%' order by 1, 2"
        )

    at_first = columns()
    management.call_command("migrate", "heddle", verbosity=0, interactive=False)
    migrated = columns()
    management.call_command("migrate", "heddle", FIRST, verbosity=0, interactive=False)

    assert columns() == at_first
    assert len(migrated) > len(at_first)
    django.db.connections.close_all()
