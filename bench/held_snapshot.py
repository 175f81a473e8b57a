"""Hold a snapshot while the house works, and see what it costs: `python -m bench.held_snapshot`.

One-step runs are offered steadily, 800 a second. After a while a REPEATABLE READ transaction is opened and left open,
as a forgotten psql does it: from then on no dead row can be removed. At the end it is closed and the house recovers.
Every few seconds a sample is taken: steps finished, the wait from submission to the claim of the step, buffers that a
claim reads, buffers of everything a step costs, dead rows in the queue.
"""

import argparse
import contextlib
import dataclasses
import statistics
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from bench import figures, house, longrun, offered
from bench.figures import Figure, Unit
from heddle.core import ids
from heddle.store import lookout, statements

WORKFLOW = "bench_noop_calls"
PURPOSES = ["activate", "execute"]
CLAIM_CAP = 50
TENANTS = 256
SAMPLE_S = 5.0
LEARN_S = 1.0
RECOVERED = 1.2
LAG_S = 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one interval saw; ``at_s`` counts from the first one. A wait is None when nothing was claimed."""

    at_s: float
    phase: str
    offered_per_s: float
    finished_per_s: float
    start_p50_ms: float | None
    start_p99_ms: float | None
    claim_buffers: float
    step_buffers: float
    ready_dead_rows: float


def main(words: Sequence[str] | None = None) -> int:
    """Offer, hold, release, print, write; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.held_snapshot", description="Hold a snapshot under load.")
    parser.add_argument("--rate", type=longrun.counted(1, 100_000), default=800, help="steps a second (default 800)")
    parser.add_argument("--before", type=longrun.minutes(0.1, 60), default=2.0, help="minutes before (default 2)")
    parser.add_argument("--held", type=longrun.minutes(0.1, 240), default=15.0, help="minutes held (default 15)")
    parser.add_argument("--after", type=longrun.minutes(0.1, 60), default=2.0, help="minutes after (default 2)")
    given = longrun.arguments(parser, words, name="held-snapshot")
    samples: list[Sample] = []
    with longrun.running() as (running, described):
        running.empty()
        with (
            running.workers(),
            offered.steadily(running, WORKFLOW, {"calls": 1}, rate_per_s=given.rate, is_kept=False) as offer,
            _Sampler.over(running, offer) as sampler,
        ):
            for phase, minutes in (("before", given.before), ("held", given.held), ("after", given.after)):
                with _held(running) if phase == "held" else contextlib.nullcontext():
                    samples += sampler.samples(phase, seconds=minutes * 60)
    summaries = figures.summarise(_figures(samples, offer))
    names = [field.name for field in dataclasses.fields(Sample) if field.name != "phase"]
    series: dict[str, list[float | None]] = {name: [getattr(each, name) for each in samples] for name in names}
    series["is_held"] = [float(each.phase == "held") for each in samples]
    longrun.write(given, described, summaries, series=series)
    return 0


@contextlib.contextmanager
def _held(running: house.House) -> Iterator[None]:
    """Hold a snapshot, idle in its transaction."""
    with running.connect() as connection:
        connection.execute("begin isolation level repeatable read")
        connection.execute("select count(*) from heddle_tenant")
        try:
            yield
        finally:
            connection.execute("rollback")


class _Sampler:
    """Take samples at a steady pace, over one connection."""

    def __init__(self, connection: house.Connection, offer: offered.Offer) -> None:
        self._connection = connection
        self._offer = offer
        self._begun_s = time.monotonic()
        self._claim = statements.load("claim_local")
        self._lookout = lookout.Lookout()

    @classmethod
    @contextlib.contextmanager
    def over(cls, running: house.House, offer: offered.Offer) -> Iterator["_Sampler"]:
        """Connect, for the block."""
        with running.connect() as connection:
            yield cls(connection, offer)

    def samples(self, phase: str, *, seconds: float) -> list[Sample]:
        """Sample every five seconds for so long. Raises OfferFailed when submitting failed."""
        taken = []
        until_s = time.monotonic() + seconds
        while time.monotonic() + SAMPLE_S <= until_s + 1e-6:
            taken.append(self._sample(phase))
            self._offer.check()
            each = taken[-1]
            shown = ", ".join(
                f"{name} {getattr(each, name):,.4g}" for name in ("at_s", "finished_per_s", "claim_buffers")
            )
            print(f"{phase}: {shown}, start_p99_ms {each.start_p99_ms}", flush=True)
        return taken

    def _sample(self, phase: str) -> Sample:
        begun_s, runs, read = time.monotonic(), self._offer.runs, self._read_by_workers()
        low = self._id_now()
        self._sleep(SAMPLE_S)
        seconds = time.monotonic() - begun_s
        waits_ms, finished = self._claimed(low)
        read = self._read_by_workers() - read
        parts = statistics.quantiles(waits_ms, n=100, method="inclusive") if len(waits_ms) > 1 else None
        return Sample(
            at_s=time.monotonic() - self._begun_s,
            phase=phase,
            offered_per_s=(self._offer.runs - runs) / seconds,
            finished_per_s=finished / seconds,
            start_p50_ms=parts[49] if parts else None,
            start_p99_ms=parts[98] if parts else None,
            claim_buffers=self.claim_buffers(),
            step_buffers=read / max(1, finished),
            ready_dead_rows=self._number("select n_dead_tup from pg_stat_user_tables where relname = 'heddle_ready'"),
        )

    def _claimed(self, low: uuid.UUID) -> tuple[list[float], int]:
        """Give the waits, from the run's row to the claim of its step, of the steps that ended since, and their number.

        Runs of the two seconds before count as well, so that those underway at the border are in one of the samples.
        """
        found = self._connection.execute(
            "select extract(epoch from s.started_at - r.created_at)::float8 * 1000, s.finished_at >= %(since)s"
            " from heddle_run r join heddle_step s on s.run_id = r.id"
            " where r.id >= %(early)s and s.run_id >= %(early)s and s.started_at is not null",
            {"since": self._time_of(low), "early": ids.first_id_at(database_unix_ms=_ms(low) - int(LAG_S * 1000))},
        ).fetchall()
        counted = [wait_ms for wait_ms, is_inside in found if is_inside]
        return counted, len(counted)

    def claim_buffers(self) -> float:
        """Give the buffers that one claim of both lanes reads, from its plan; nothing of it stays.

        It begins where that of a worker that is always at it would (``store.lookout``).
        """
        lanes = self._connection.execute(
            "(select lane from heddle_run limit 1) union all (select lane from heddle_step limit 1)"
        ).fetchall()
        if len(lanes) < len(PURPOSES):
            return 0.0
        wanted: dict[str, Any] = {
            "worker": 0,
            "claim_id": uuid.UUID(int=0),
            "lanes": [lane for (lane,) in lanes],
            "groups": [1, 1],
            "purposes": PURPOSES,
            "shares": [1.0, 1.0],
            "caps": [CLAIM_CAP],
            "tenants": TENANTS,
        }
        wanted |= self._lookout.parameters(wanted["lanes"], now_s=time.monotonic())
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(statements.load("planner"), {"is_local": True})
            row = self._connection.execute(f"explain (analyze, buffers, format json) {self._claim}", wanted).fetchone()
        assert row is not None
        plan = row[0][0]["Plan"]
        return float(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    def _sleep(self, seconds: float) -> None:
        """Sleep, and learn meanwhile as a worker does that takes what has just come to each queue."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(LEARN_S, left_s))
            queues = self._connection.execute(
                "select q.lane, q.tenant_id, last_value from heddle_ready_seq"
                " cross join ((select lane, tenant_id from heddle_run limit 1)"
                " union all (select lane, tenant_id from heddle_step limit 1)) q"
            ).fetchall()
            self._lookout.parameters([lane for lane, _, _ in queues], now_s=time.monotonic())
            self._lookout.note(queues)

    def _read_by_workers(self) -> float:
        """Give the buffers that the workers' connections have read so far; 0 before PostgreSQL 18."""
        if self._connection.info.server_version < 180_000:
            return 0.0
        return self._number(
            "select coalesce(sum(i.hits + i.reads), 0) from pg_stat_activity a"
            " cross join lateral pg_stat_get_backend_io(a.pid) i where a.application_name like 'heddle-worker%%'"
        )

    def _id_now(self) -> uuid.UUID:
        return ids.first_id_at(
            database_unix_ms=int(self._number("select extract(epoch from clock_timestamp()) * 1000"))
        )

    def _time_of(self, run: uuid.UUID) -> object:
        row = self._connection.execute("select to_timestamp(%s / 1000.0)", (_ms(run),)).fetchone()
        assert row is not None
        return row[0]

    def _number(self, statement: str) -> float:
        row = self._connection.execute(statement, {}).fetchone()
        return float(row[0]) if row is not None and row[0] is not None else 0.0


def _ms(run: uuid.UUID) -> int:
    return ids.unix_ms(run)


def _figures(samples: Sequence[Sample], offer: offered.Offer) -> list[Figure]:
    """Compare the last third of the held time, when it is worst, with the time before."""
    phases = {name: [each for each in samples if each.phase == name] for name in ("before", "held", "after")}
    worst = phases["held"][-max(1, len(phases["held"]) // 3) :]
    found = []
    for name, unit in (
        ("finished_per_s", Unit.PER_S),
        ("start_p99_ms", Unit.MILLISECONDS),
        ("claim_buffers", Unit.COUNT),
        ("step_buffers", Unit.COUNT),
    ):
        before, held = _median(phases["before"], name), _median(worst, name)
        found.append(Figure(name=f"before.{name}", value=before, unit=unit))
        found.append(Figure(name=f"held.{name}", value=held, unit=unit))
        found.append(Figure(name=f"held_ratio.{name}", value=held / max(before, 1e-9), unit=Unit.RATIO))
    recovered = _median(phases["before"], "start_p99_ms") * RECOVERED
    ended_s = phases["held"][-1].at_s
    well = [each.at_s - ended_s for each in phases["after"] if (each.start_p99_ms or 0) <= recovered]
    if well:
        found.append(Figure(name="recovered_after_s", value=min(well), unit=Unit.SECONDS))
    found.append(Figure(name="offer_late_s", value=offer.late_s, unit=Unit.SECONDS))
    return found


def _median(samples: Sequence[Sample], name: str) -> float:
    values = [value for each in samples if (value := getattr(each, name)) is not None]
    return statistics.median(values) if values else 0.0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
