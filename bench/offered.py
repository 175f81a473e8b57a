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

from bench.house import House

TICK_S = 0.05
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
    house: House, workflow: str, value: Mapping[str, int], *, rate_per_s: float, is_kept: bool
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


def saturate(house: House, workflow: str, value: Mapping[str, int], *, seconds: float, backlog_max: int) -> float:
    """Submit as fast as the workers finish, at most ``backlog_max`` ahead of them; give the runs finished a second."""
    from heddle import wiring
    from heddle.client import RunRequest

    client = wiring.client()
    owner = client.tenant("default")
    request = RunRequest(workflow=workflow, input=dict(value))
    submitted = _finished(house)
    begun, begun_s = submitted, time.monotonic()
    while (now_s := time.monotonic()) < begun_s + seconds:
        room = backlog_max - (submitted - _finished(house))
        if room > 0:
            client.submit_many([request] * min(room, BATCH), tenant=owner)
            submitted += min(room, BATCH)
        else:
            time.sleep(TICK_S / 10)
    return (_finished(house) - begun) / (now_s - begun_s)


def _finished(house: House) -> int:
    with house.connect() as connection:
        row = connection.execute("select count(*) from heddle_run where finished_at is not null").fetchone()
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
