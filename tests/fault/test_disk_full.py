"""The disk of the database fills under load: nothing is acknowledged that is not kept, readiness says what is wrong and
where to read on, and when there is space again work goes on by itself (B11).
"""

import contextlib
import os
import pathlib
import secrets
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator

import pytest
from django.db import connections

from heddle.service import postgres
from heddle.store import disk
from tests.fault import door, figures, mortal, programs

MIB = 1024**2
DISK_MIB = 512
RUNBOOK = "docs/runbooks/HeddleDiskFilling.md"
# The bars are 10 s and 60 s; the rest is for a machine that is busy with other things.
RED_WITHIN_S = 10.0 + 10.0
BACK_WITHIN_S = 60.0 + 30.0


def why_not() -> str | None:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a small disk of its own needs root on Linux: run the tests as root"
    return None


@pytest.fixture
def small_disk() -> Iterator[pathlib.Path]:
    """Give a disk of 512 MB in memory that is nobody else's."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    folder = pathlib.Path("/var/tmp") / f"heddle-small-disk-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o755)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if made.returncode != 0:
        folder.rmdir()
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


class Keeper:
    """Do what `heddle up` does for its database: start it again when it is gone, and wait while the disk is full."""

    def __init__(self, server: postgres.EmbeddedPostgres, folder: pathlib.Path) -> None:
        self._server = server
        self._folder = folder
        self._stop = threading.Event()
        self.starts = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.3):
            if not self._server.is_alive() and disk.shortage(self._folder) is None:
                with contextlib.suppress(postgres.PostgresUnavailable, OSError):
                    self._server.ensure()
                    self.starts += 1

    def close(self) -> None:
        """Stop keeping."""
        self._stop.set()
        self._thread.join(programs.WAIT_S)


def fill(ballast: pathlib.Path) -> None:
    """Take every byte that is left."""
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(MIB))


def test_disk_when_it_fills_under_load_then_nothing_is_told_that_is_not_kept_and_work_goes_on_when_it_is_freed(
    small_disk: pathlib.Path, nursery: programs.Nursery, tmp_path: pathlib.Path
) -> None:
    seed = programs.seed()
    ballast = small_disk / "ballast"
    with (
        mortal.server_at(small_disk / "postgres") as server,
        mortal.site_on(server, tmp_path, nursery) as site,
        contextlib.closing(Keeper(server, small_disk)),
    ):
        worker = site.start_worker("steady", FAULT_COMPUTE="none")
        web = door.Door(site, database_url=site.database.dsn, state_dir=small_disk)
        with contextlib.closing(web):
            answers = [submit(web) for _ in range(5)]
            fill(ballast)
            full_s = time.monotonic()
            red = programs.until(lambda: not_ready(web), what="readiness is red")
            red_s = time.monotonic() - full_s
            least_s = time.monotonic() + figures.scaled(short=3, full=30)
            while time.monotonic() < least_s or all(answer.status == 202 for answer in answers[5:]):
                fill(ballast)
                answers.append(submit(web))
                assert time.monotonic() < least_s + programs.WAIT_S, "a full disk refused nothing"
            ballast.unlink()
            freed_s = time.monotonic()
            programs.until(lambda: submit(web).status == 202, what="it takes runs again")
            programs.until(lambda: web.get("/readyz").status == 200, what="readiness is green")
            back_s = time.monotonic() - freed_s
            connections.close_all()
            told = [uuid.UUID(answer.body["id"]) for answer in answers if answer.status in (200, 202)]
            runs = site.ended(*told)

    refused = [answer for answer in answers if answer.status not in (200, 202)]
    figures.note(
        "B11 disk full", seed=seed, acknowledged=len(told), lost=sum(run.state != "succeeded" for run in runs),
        refused=len(refused), statuses=sorted({answer.status for answer in refused}), red_after_s=red_s,
        back_after_s=back_s,
    )  # fmt: skip
    assert all(run.state == "succeeded" for run in runs)
    assert {answer.status for answer in refused} == {503}
    assert RUNBOOK in red
    assert red_s <= RED_WITHIN_S
    assert back_s <= BACK_WITHIN_S
    assert worker.name


def submit(web: door.Door) -> door.Answer:
    return web.submit("guesses_nothing", {"number": 1}, key=uuid.uuid4().hex)


def not_ready(web: door.Door) -> str:
    """Give what readiness complains of, or nothing."""
    answer = web.get("/readyz")
    return "" if answer.status == 200 else str(answer.body)
