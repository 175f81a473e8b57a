"""Keep the sums of the ledger, as the leader: by day for whoever asks, what runs cost for quotes, and whether providers
report what we metered.

Nothing that is paid for waits for this: caps are held to by the commit that sends a call. Entries are counted once and
in small batches; a leader that dies leaves them to the next. Neighbours: settle writes the ledger; the doors show the
sums, the alerts look at the gauges.
"""

from heddle.core.policy import invoice
from heddle.engine import parts as parts_module
from heddle.engine import supervise, sweep
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

COUNT_LIMIT = 2_000
COUNTS_MAX = 20
MEASURE_EVERY_S = 60.0
COMPARED_DAYS = 31
RUNS_MAX = 200
LOOKED_AT_MAX = 5_000


class BookKeeper:
    """Count for one worker; does something only while it leads."""

    def __init__(self, parts: parts_module.Parts, sweeper: sweep.Sweeper) -> None:
        self._parts = parts
        self._sweeper = sweeper
        self._measure_from_s = 0.0
        self._alarms: dict[str, frozenset[invoice.Alarm]] = {}

    async def one_pass(self) -> None:
        """Count what is new, look whether it is true when it is time, and wait for the next turn."""
        parts = self._parts
        await parts.is_alive.wait()
        if self._sweeper.is_leader:
            for _ in range(COUNTS_MAX):
                if await parts.store.count_spend(limit=COUNT_LIMIT) < COUNT_LIMIT:
                    break
            if parts.clock.monotonic_s() >= self._measure_from_s:
                await parts.store.measure_costs(runs_max=RUNS_MAX, looked_at_max=LOOKED_AT_MAX)
                await self._compare()
                self._measure_from_s = parts.clock.monotonic_s() + MEASURE_EVERY_S
        await supervise.rest(parts, parts.settings.books_interval_s)

    async def _compare(self) -> None:
        """Hold what was metered against what was reported, endpoint by endpoint, and raise or end alarms."""
        settings = self._parts.settings
        options = invoice.InvoiceOptions(
            divergence_ratio_max=settings.spend_divergence_ratio_max,
            divergence_nano_usd_min=int(settings.spend_divergence_usd_min * 1e9),
            silent_calls_min=settings.spend_silent_calls_min,
        )
        found = await self._parts.store.endpoint_spend(days=COMPARED_DAYS)
        for endpoint in self._alarms.keys() | found.keys():
            days = found.get(endpoint, ())
            raised = invoice.alarms(options, days)
            for alarm in invoice.Alarm:
                recorder.set(metrics.SPEND_ALARM, float(alarm in raised), endpoint=endpoint, alarm=alarm.value)
            recorder.set(metrics.SPEND_DIVERGENCE, invoice.divergence(days) or 0.0, endpoint=endpoint)
            for alarm in sorted(raised - self._alarms.get(endpoint, frozenset())):
                difference_usd = invoice.difference_nano_usd(days) / 1e9
                recorder.event(
                    events.SPEND_DOUBTED, endpoint=endpoint, name=alarm.value, difference_usd=round(difference_usd, 6)
                )
            self._alarms[endpoint] = raised
