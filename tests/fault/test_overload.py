"""Three times what can be done is offered for a while: what can be done goes on being done, the rest is refused with a
time to come back, and afterwards everything is as before (B16).

Rates are compared inside the run, so that a slow machine only makes the figures smaller.
"""

import dataclasses
import pathlib
import re
import time
from collections.abc import Mapping
from typing import Any, cast

import pytest

from heddle import client
from heddle.client import needs
from heddle.config import settings
from heddle.store import django as django_store
from tests.fault import harness, programs

STEP_S = 0.2
PLACES = 4
CAPACITY = PLACES / STEP_S
OFFER_EVERY_S = 0.25
OVERLOAD_S = 12.0
WAIT_MAX_S = 3.0
PRELOADED = 120
WORKFLOW = "works_async"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Stand for the workflow that the worker has loaded; this process only submits."""

    name: str = WORKFLOW
    version: int = 1
    input_schema: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    output_schema: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def validate_input(self, raw: dict[str, Any]) -> dict[str, Any]:
        return raw


def door() -> client.Heddle:
    """Make the client of one web process, whose standard runs may wait three seconds."""
    return client.Heddle(
        doors=django_store.DjangoDoors(),
        media=cast("needs.Media", None),
        programs=needs.Programs(workflows=lambda: [Workflow()], workflow=lambda *_: Workflow(), models=list),
        limits=settings.Settings(secret_key="x", wait_standard_s=WAIT_MAX_S),
        verify_callback=cast("needs.CallbackVerifier", None),
        checks={},
    )


def requests(count: int) -> list[client.RunRequest]:
    return [client.RunRequest(workflow=WORKFLOW, input={"number": k, "take_s": STEP_S}) for k in range(count)]


def done(site: harness.Site) -> int:
    return int(site.value("select count(*) from heddle_run where state = 'succeeded'"))


def rss_kib(program: programs.Program) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{program.pid}/status").read_text())
    assert found is not None, "Linux tells it"
    return int(found.group(1))


def rate(site: harness.Site, seconds: float) -> float:
    """Measure how many runs end a second."""
    before, started_s = done(site), time.monotonic()
    while time.monotonic() < started_s + seconds:
        time.sleep(programs.LOOK_S)
    return (done(site) - before) / (time.monotonic() - started_s)


@pytest.mark.slow
def test_three_times_the_capacity_when_offered_then_shed_and_not_collapsed(site: harness.Site) -> None:
    house = door()
    places = {"HEDDLE_WORKER_BATCH": "2", "HEDDLE_WORKER_STEPS_MAX": "1", "HEDDLE_LOAD_INTERVAL_S": "0.5"}
    worker = site.start_worker("loaded", FAULT_COMPUTE="none", **places)
    house.submit_many(requests(PRELOADED))
    site.until_row("select count(*) >= 10 from heddle_run where state = 'succeeded'", what="the worker is at it")
    before = rate(site, 3.0)
    rss_before = rss_kib(worker)

    taken: list[Any] = []
    refused: list[client.Overloaded] = []
    done_before, started_s = done(site), time.monotonic()
    while (now_s := time.monotonic()) < started_s + OVERLOAD_S:
        outcomes = house.submit_many(requests(round(3 * CAPACITY * OFFER_EVERY_S)))
        refused += [each for each in outcomes if isinstance(each, client.Overloaded)]
        taken += [each.run.id for each in outcomes if isinstance(each, client.Submitted)]
        time.sleep(max(0.0, OFFER_EVERY_S - (time.monotonic() - now_s)))
    during = (done(site) - done_before) / (time.monotonic() - started_s)
    rss_after = rss_kib(worker)
    after = rate(site, 1.5)
    # Whatever was taken in is done soon: nothing was let in that could not be.
    site.until_row("select count(*) = 0 from heddle_run where state in ('queued', 'running')", what="the line is done")
    waits = site.value(
        "select max(extract(epoch from started_at - created_at))::float8 from heddle_run where id = any(%s)", [taken]
    )
    site.until_row("select coalesce(sum(queued), 0) = 0 from heddle_load", what="the leader sees that it is done")
    house.backpressure.forget()
    one = house.submit_request(requests(1)[0])
    (view,) = site.ended(one.run.id)

    print(
        f"done a second: {before:.1f} before, {during:.1f} under three times the capacity, {after:.1f} after; "
        f"{len(taken)} taken, {len(refused)} refused; longest wait {waits:.1f} s of {WAIT_MAX_S:g}; "
        f"RSS {rss_before} to {rss_after} KiB"
    )
    assert len(refused) > len(taken) / 2
    assert all(0.5 <= each.retry_after_s <= 360.0 for each in refused)
    assert during >= 0.8 * min(before, after)
    assert waits <= 4 * WAIT_MAX_S
    assert rss_after <= 1.25 * rss_before
    assert view.state.value == "succeeded"
    assert done(site) == PRELOADED + len(taken) + 1
