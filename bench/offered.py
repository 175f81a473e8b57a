"""Offer runs at a steady rate from a thread of this process, whatever comes of them, and keep when each was committed.

An open loop: it never waits for a run. When the machine cannot keep up with the submitting itself, the offer falls
behind its schedule; `late_s` says by how much at most, and a measurement that needs the rate looks at it.
"""

import contextlib
import dataclasses
import threading
import time
import uuid
from collections.abc import Iterator, Mapping

from bench import house
from heddle.core import ids

TICK_S = 0.05
LOOK_S = 0.005
OLDER_S = 60.0
BATCH = 500
KEPT_MAX = 20_000_000


class OfferFailed(RuntimeError):
    """Say what ended the offering."""


@dataclasses.dataclass(slots=True)
class Offer:
    """What was offered so far: how many runs, and of each, when kept, its id and the moment after its commit."""

    rate_per_s: float
    runs: int = 0
    late_s: float = 0.0
    committed: list[tuple[uuid.UUID, float]] = dataclasses.field(default_factory=list)
    failure: BaseException | None = None

    def check(self) -> None:
        """Raise OfferFailed when a submission failed."""
        if self.failure is not None:
            raise OfferFailed(f"submitting failed after {self.runs} runs") from self.failure


@contextlib.contextmanager
def steadily(
    running: house.House, workflow: str, value: Mapping[str, int], *, rate_per_s: float, is_kept: bool
) -> Iterator[Offer]:
    """Submit runs of a workflow, a batch every 50 ms, until the block ends; ``is_kept`` keeps ids and times.

    Raises OfferFailed at the end when a submission failed.
    """
    offer = Offer(rate_per_s=rate_per_s)
    ended = threading.Event()
    thread = threading.Thread(target=_submit, args=(offer, ended, workflow, dict(value), is_kept), daemon=True)
    thread.start()
    try:
        yield offer
    finally:
        ended.set()
        thread.join()
    offer.check()


def saturate(
    running: house.House, workflow: str, value: Mapping[str, int], *, seconds: float, backlog_max: int
) -> float:
    """Submit as long as at most so many activations and steps wait or run; give the runs ended a second."""
    from heddle import wiring
    from heddle.client import RunRequest

    client = wiring.client()
    owner = client.tenant("default")
    request = RunRequest(workflow=workflow, input=dict(value))
    with running.connect() as connection:
        begun_s = _database_s(connection)
        while (now_s := _database_s(connection)) < begun_s + seconds:
            room = backlog_max - _backlog(connection)
            if room > 0:
                client.submit_many([request] * min(room, BATCH), tenant=owner)
            else:
                time.sleep(LOOK_S)
        return _ended(connection, begun_s, now_s) / (now_s - begun_s)


def _database_s(connection: house.Connection) -> float:
    row = connection.execute("select extract(epoch from clock_timestamp())::float8").fetchone()
    assert row is not None
    return float(row[0])


def _backlog(connection: house.Connection) -> int:
    row = connection.execute(
        "select (select count(*) from heddle_ready) + (select count(*) from heddle_lease)"
    ).fetchone()
    assert row is not None
    return int(row[0])


def _ended(connection: house.Connection, begun_s: float, ended_s: float) -> int:
    """Count the runs that ended within a time; none that ended then can be older than it by a minute."""
    first = ids.first_id_at(database_unix_ms=int((begun_s - OLDER_S) * 1000))
    row = connection.execute(
        "select count(*) from heddle_run where id >= %s and finished_at between to_timestamp(%s) and to_timestamp(%s)",
        (first, begun_s, ended_s),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _submit(offer: Offer, ended: threading.Event, workflow: str, value: dict[str, int], is_kept: bool) -> None:
    from django.db import connection

    from heddle import wiring
    from heddle.client import RunRequest

    try:
        client = wiring.client()
        owner = client.tenant("default")
        request = RunRequest(workflow=workflow, input=value)
        begun_s = time.monotonic()
        while not ended.wait(TICK_S):
            owed = int((time.monotonic() - begun_s) * offer.rate_per_s) - offer.runs
            offer.late_s = max(offer.late_s, owed / offer.rate_per_s - TICK_S)
            while owed > 0 and not ended.is_set():
                outcomes = client.submit_many([request] * min(owed, BATCH), tenant=owner)
                committed_s = time.time()
                for outcome in outcomes:
                    if isinstance(outcome, Exception):
                        raise outcome
                    if is_kept and len(offer.committed) < KEPT_MAX:
                        offer.committed.append((outcome.run.id, committed_s))
                offer.runs += len(outcomes)
                owed -= len(outcomes)
    except BaseException as error:  # noqa: BLE001 - told to the measuring thread, which raises it
        offer.failure = error
    finally:
        connection.close()
