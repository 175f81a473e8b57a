"""Measure start latency at 80 % of what the house carries: from the commit of a submission to the step's first line.

What it carries is measured first, with the submitting included, since both share the machine. Then runs are offered
steadily at four fifths of that; each run's one step tells when it began, and its batch when it was committed.
"""

import time
import uuid

from bench import drains, offered, submissions
from bench.figures import Figure, Unit
from bench.house import House

SHARE = 0.8
BACKLOG_MAX = 500
WARM_UP_S = 3.0


def measure(house: House, *, seconds: float) -> list[Figure]:
    """Find the capacity for half of the seconds, then offer 80 % of it. Raises DrainFailed when a run fails."""
    house.empty()
    with house.workers():
        offered.saturate(house, "bench_stamp", {}, seconds=WARM_UP_S, backlog_max=BACKLOG_MAX)
        capacity_per_s = offered.saturate(house, "bench_stamp", {}, seconds=seconds / 2, backlog_max=BACKLOG_MAX)
        rate_per_s = capacity_per_s * SHARE
        with offered.steadily(house, "bench_stamp", {}, rate_per_s=rate_per_s, is_kept=True) as offer:
            time.sleep(seconds + WARM_UP_S)
        with house.connect() as connection:
            drains.wait_over(connection, name="start at 80 %")
    counted = offer.committed[int(WARM_UP_S * rate_per_s) :]
    began_s = _began(house)
    waits_s = [began_s[run_id] - committed_s for run_id, committed_s in counted if run_id in began_s]
    if len(waits_s) < len(counted):
        raise drains.DrainFailed(f"{len(counted) - len(waits_s)} of {len(counted)} runs offered did not succeed")
    return [
        *submissions.latencies("start_at_80_percent", waits_s),
        Figure(name="start_at_80_percent.offered_per_s", value=rate_per_s, unit=Unit.PER_S),
        Figure(name="start_at_80_percent.offer_late_ms", value=offer.late_s * 1000, unit=Unit.MILLISECONDS),
    ]


def _began(house: House) -> dict[uuid.UUID, float]:
    with house.connect() as connection:
        rows = connection.execute(
            "select run_id, output::text::float8 from heddle_step where state = 'succeeded'"
        ).fetchall()
    return dict(rows)
