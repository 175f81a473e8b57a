"""Show how the house is: gauges that only the store knows, read by the leader, and those of this worker itself.

The numbers of a run's end and of a step's start are written here too, so that every stage that learns of one counts it
alike. Nothing is decided here, and nothing is told twice: counters are written where things happen, gauges are only
looked up. Neighbours: sweep says who leads; claim, activate, settle and schedule hand in what they learned.
"""

import asyncio
import pathlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from heddle.config import settings as settings_module
from heddle.core import lanes, plan
from heddle.core import run as run_law
from heddle.engine import parts as parts_module
from heddle.engine import supervise, sweep
from heddle.ports import store
from heddle.program import definitions, registry
from heddle.telemetry import context, recorder
from heddle.telemetry.catalog import events, metrics, slos
from heddle.telemetry.catalog.records import Merge

LOOK_EVERY_S: Final = 2.0
DISK_LOOK_S: Final = 1.0
# What only the leader knows is merged by what was said last; what runs is said by every process.
_LEADERS: Final = tuple(
    metric for metric in metrics.ALL if metric.merge is Merge.LATEST_OF_LIVING and metric is not metrics.BUILD_INFO
)
_BREAKERS: Final = {"closed": 0, "half_open": 1, "open": 2}
_TURNS: Final = {"closed": events.BREAKER_CLOSED, "half_open": events.BREAKER_PROBED, "open": events.BREAKER_OPENED}
_ENDS: Final = {"failed": events.RUN_FAILED, "cancelled": events.RUN_CANCELLED, "expired": events.RUN_EXPIRED}


class Observer:
    """Look for one worker; what the store knows is shown by the leader only."""

    def __init__(self, parts: parts_module.Parts, sweeper: sweep.Sweeper) -> None:
        self._parts = parts
        self._sweeper = sweeper
        self._directories = _directories(parts.settings)
        self._disk_look: asyncio.Future[float] | None = None
        self._was_leader = False
        self._known: set[str] = set()
        self._breakers: dict[str, str] | None = None

    async def one_pass(self) -> None:
        """Set every gauge once, then wait for the next turn."""
        parts = self._parts
        started_s = parts.clock.monotonic_s()
        show_pool(parts)
        await self._show_disks()
        names = {endpoint.row.name for endpoint in parts.endpoints.values()}
        self._known |= names
        if self._sweeper.is_leader:
            gauges = await parts.store.gauges(lease_s=parts.settings.lease_s)
            show(gauges, parts)
            self._show_gone(names)
            self._tell_breakers({name: gauges.breakers.get(name, "closed") for name in names})
        elif self._was_leader:
            # Its numbers of then would stand beside those of the next leader, and their alerts would never end.
            for metric in _LEADERS:
                recorder.retract(metric)
        if not self._sweeper.is_leader:
            self._breakers = None
        self._was_leader = self._sweeper.is_leader
        recorder.observe(metrics.STAGE_DURATION, parts.clock.monotonic_s() - started_s, stage="observe")
        recorder.count(metrics.STAGE_ITEMS, stage="observe")
        await supervise.rest(parts, LOOK_EVERY_S)

    async def _show_disks(self) -> None:
        """Show the fullest disk. One behind a network may answer late, or never: the other gauges do not wait for it,
        and no second thread does.
        """
        if self._disk_look is None:
            self._disk_look = asyncio.ensure_future(asyncio.to_thread(_free_ratio, self._directories))
        await asyncio.wait({self._disk_look}, timeout=DISK_LOOK_S)
        if not self._disk_look.done():
            return
        look, self._disk_look = self._disk_look, None
        try:
            recorder.set(metrics.DISK_FREE, look.result())
        except OSError as error:
            recorder.count(metrics.STAGE_ERRORS, stage="observe")
            recorder.event(events.STAGE_FAILED, stage="observe", error=error)

    def _tell_breakers(self, states: dict[str, str]) -> None:
        """Tell of breakers that stand otherwise than at the look before; at its first look, of those not closed."""
        before = self._breakers or {}
        for name, state in sorted(states.items()):
            if state != before.get(name, "closed"):
                recorder.event(_TURNS[state], endpoint=name)
        self._breakers = states

    def _show_gone(self, names: set[str]) -> None:
        """Show endpoints that were removed or switched off as idle: nobody would ever say again how they are."""
        for gone in self._known - names:
            recorder.set(metrics.ENDPOINT_IN_FLIGHT, 0, endpoint=gone)
            recorder.set(metrics.BREAKER_STATE, _BREAKERS["closed"], endpoint=gone)
        self._known = names


def show(gauges: store.Gauges, parts: parts_module.Parts) -> None:
    """Set the gauges that only the store knows."""
    _show_ready(gauges.ready, _classes(parts))
    for endpoint in parts.endpoints.values():
        name = endpoint.row.name
        recorder.set(metrics.ENDPOINT_IN_FLIGHT, gauges.slots.get(name, 0), endpoint=name)
        recorder.set(metrics.BREAKER_STATE, _BREAKERS[gauges.breakers.get(name, "closed")], endpoint=name)
    recorder.set(metrics.WORKERS_ALIVE, gauges.workers_alive)
    recorder.set(metrics.ATTEMPTS_UNKNOWN, gauges.unknown_attempts)
    recorder.set(metrics.OLDEST_TRANSACTION_AGE, gauges.oldest_transaction_s)
    recorder.set(metrics.PARTITIONS_AHEAD, gauges.partitions_ahead_s)


def show_pool(parts: parts_module.Parts) -> None:
    """Set what share of the compute pool's places is taken; a worker without a pool shows none."""
    if parts.compute.size:
        recorder.set(metrics.COMPUTE_BUSY, 1 - parts.compute.free / parts.compute.size)


def bound(claimed: store.Claimed) -> context.bind:
    """Bind the ids of a leased step to what is logged while it is worked on, with the trace of its run's caller."""
    trace = None if claimed.traceparent is None else context.parse_traceparent(claimed.traceparent)
    return context.bind(run_id=claimed.run_id, step=claimed.ordinal, attempt=claimed.number, trace=trace)


def started(claimed: store.Claimed) -> None:
    """Count that a leased step is handed over to start; a poll starts nothing, nor does a retry that is put off."""
    if claimed.purpose in ("poll", "park"):
        return
    recorder.observe(metrics.START_LATENCY, claimed.waited_s, priority=claimed.priority)
    if claimed.purpose == "activate":
        key = slos.START_FRESHNESS.key
        recorder.count(metrics.SLO_VALID, slo=key)
        if claimed.waited_s > slos.START_WITHIN_S[claimed.priority]:
            recorder.count(metrics.SLO_BAD, slo=key)


def ended(runs: Iterable[store.EndedRun]) -> None:
    """Count runs that came to their end; one that somebody cancelled says nothing about the promise."""
    key = slos.TIME_TO_RESULT.key
    for run in runs:
        recorder.count(metrics.RUNS_FINISHED, workflow=run.workflow, state=run.state)
        recorder.observe(metrics.RUN_DURATION, run.duration_s, priority=run.priority)
        if run.state != run_law.RunState.CANCELLED.value:
            recorder.count(metrics.SLO_VALID, slo=key)
        if run.state == run_law.RunState.EXPIRED.value:
            recorder.count(metrics.SLO_BAD, slo=key)
        if run.state in _ENDS:
            with context.bind(run_id=run.run_id):
                recorder.event(_ENDS[run.state], workflow=run.workflow, duration_s=round(run.duration_s, 3))


def charged(charges: Iterable[store.Charged], parts: parts_module.Parts) -> None:
    """Count money as it is charged, and charges that are estimates."""
    for charge in charges:
        endpoint = parts.endpoints.get(charge.endpoint_id)
        name = recorder.OTHER if endpoint is None else endpoint.row.name
        recorder.count(metrics.MONEY_CHARGED, charge.amount_nano_usd / 1e9, endpoint=name)
        if charge.estimates:
            recorder.count(metrics.MONEY_ESTIMATED, charge.estimates, endpoint=name)


def _show_ready(ready: Mapping[int, tuple[int, float]], classes: Mapping[int, run_law.Priority]) -> None:
    """Add up lanes by class; lanes this worker does not know count as standard."""
    by_class = dict.fromkeys(run_law.Priority, (0, 0.0))
    for lane, (count, age_s) in ready.items():
        priority = classes.get(lane, run_law.Priority.STANDARD)
        before, oldest_s = by_class[priority]
        by_class[priority] = (before + count, max(oldest_s, age_s))
    for priority, (count, age_s) in by_class.items():
        recorder.set(metrics.READY_STEPS, count, priority=priority.value)
        recorder.set(metrics.READY_OLDEST_AGE, age_s, priority=priority.value)


def _classes(parts: parts_module.Parts) -> dict[int, run_law.Priority]:
    """Give the class of every lane this worker knows."""
    named = {
        *(("activation", each.name, each.version) for each in registry.workflows()),
        *(("step", each.name, each.version) for each in registry.steps()),
        *((plan.LOOK, each.name, each.version) for each in registry.models()),
        *(
            ("model", model, definitions.UNVERSIONED)
            for endpoint in parts.endpoints.values()
            for model in endpoint.row.models
        ),
    }
    return {
        lanes.number(kind, name, version, priority.value): priority
        for priority in run_law.Priority
        for kind, name, version in named
    }


def _directories(limits: settings_module.Settings) -> tuple[pathlib.Path, ...]:
    """Name where this machine keeps data: the state directory, and that of the artifacts when it is elsewhere."""
    named = {limits.state_dir, limits.artifact_dir or limits.state_dir}
    return tuple(pathlib.Path(name).absolute() for name in sorted(named))


def _free_ratio(directories: Sequence[pathlib.Path]) -> float:
    """Give the free share of the fullest disk; a directory not made yet stands for the one it will be made in."""
    ratios = []
    for directory in directories:
        place = next(path for path in (directory, *directory.parents) if path.exists())
        usage = shutil.disk_usage(place)
        ratios.append(usage.free / usage.total if usage.total else 0.0)
    return min(ratios)
