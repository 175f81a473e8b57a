"""Keep more work out than can be done in time: by predicted wait for everybody, by quota for one tenant.

Part of admission, asked after a request was found valid and before it is written. The measured load is read at most
once a second a process; in between, this process adds what it has let in itself. Nothing is reserved and nothing that
is refused is stored; a replay of an admitted request is never refused (the caller sees to it). The law is in
``core.policy``: ``admission``, ``lineup`` and ``quota``.
"""

import collections
import random
import threading
from collections.abc import Callable, Sequence

from heddle.config import settings
from heddle.core import run
from heddle.core.policy import admission, lineup, quota
from heddle.ports import doors, records

REMEMBERED_S = 1.0
SPREAD_MAX_S = 60.0


class Refused(Exception):
    """Say that a valid request is not taken now. ``retry_after_s``: when it probably will be. Nothing was kept."""

    policy: str

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(Refused):
    """Say that there is more work than can be done in time; the lowest class is refused first."""

    policy = "load"


class QuotaExceeded(Refused):
    """Say that the tenant has used up what it may take. ``bound``: the key of its table in heddle.toml."""

    policy = "quota"

    def __init__(self, message: str, *, retry_after_s: float, bound: quota.Bound) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.bound = bound


def options_of(limits: settings.Settings) -> admission.AdmissionOptions:
    """Give the bounds that the settings name."""
    return admission.AdmissionOptions(
        interactive_wait_s=limits.wait_interactive_s,
        standard_wait_s=limits.wait_standard_s,
        batch_wait_s=limits.wait_batch_s,
        queued_max=limits.queued_max,
    )


class Backpressure:
    """Judge requests by the measured load and the tenant's quota. Safe from any thread."""

    def __init__(
        self,
        doors: doors.Doors,
        *,
        limits: settings.Settings,
        monotonic_s: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._doors = doors
        self._options = options_of(limits)
        self._monotonic_s = monotonic_s
        self._rng = rng
        self._lock = threading.Lock()
        self._lanes: Sequence[lineup.LaneLoad] = ()
        self._read_at_s: float | None = None
        self._admitted: collections.Counter[tuple[int, str, int, run.Priority]] = collections.Counter()
        self._uses: collections.OrderedDict[int, tuple[float, quota.Use]] = collections.OrderedDict()

    def refusal(self, new: records.NewRun, *, before: int = 0) -> Refused | None:
        """Judge one request: None when it may come in, which is counted.

        before: how many of the same tenant were let in with the same transaction; they are not stored yet.
        """
        return self._by_quota(new, before=before) or self._by_load(new)

    def lets_in(self, new: records.NewRun) -> bool:
        """Let a request in by what is known, which is counted; False where the store has to be asked what to say to it.

        The store is never asked here, however old what is known grows meanwhile.
        """
        with self._lock:
            is_fresh = self._read_at_s is not None and self._monotonic_s() - self._read_at_s < REMEMBERED_S
        return is_fresh and not new.tenant.quota.is_any and self._by_known_load(new) is None

    def use(self, tenant: records.Tenant) -> quota.Use | None:
        """Give what a tenant has taken, at most a second old; None when nothing bounds it."""
        if not tenant.quota.is_any:
            return None
        now_s = self._monotonic_s()
        with self._lock:
            remembered = self._uses.get(tenant.id)
        if remembered is not None and remembered[0] > now_s - REMEMBERED_S:
            return remembered[1]
        return self._look(tenant)

    def forget(self) -> None:
        """Look anew at the next request."""
        with self._lock:
            self._read_at_s = None
            self._uses.clear()

    def _look(self, tenant: records.Tenant) -> quota.Use:
        found = self._doors.tenant_use(tenant=tenant)
        with self._lock:
            self._uses[tenant.id] = (self._monotonic_s(), found)
            self._uses.move_to_end(tenant.id)
            while len(self._uses) > USES_MAX:
                self._uses.popitem(last=False)
        return found

    def _by_quota(self, new: records.NewRun, *, before: int) -> Refused | None:
        tenant = new.tenant
        if not tenant.quota.is_any:
            return None
        use = (self.use(tenant) if before else None) or self._look(tenant)
        found = quota.exceeded(tenant.quota, use, runs=1 + before)
        if found is None:
            return None
        # Spread, so that not all come back at once; by a minute at most, since a new day or month begins when it does.
        spread_s = min(SPREAD_MAX_S, found.retry_after_s * self._options.jitter * self._rng.random())
        return QuotaExceeded(
            sentence_of(found.bound, tenant),
            retry_after_s=found.retry_after_s + spread_s,
            bound=found.bound,
        )

    def _by_load(self, new: records.NewRun) -> Refused | None:
        self._refresh()
        return self._by_known_load(new)

    def _by_known_load(self, new: records.NewRun) -> Refused | None:
        with self._lock:
            lanes, key = self._lanes, (new.tenant.id, new.workflow, new.version, new.priority)
            admitted = self._admitted[key]
        tenant, weight = new.tenant.id, new.tenant.weight
        if lanes:
            loads = lineup.loads(
                lanes,
                workflow=new.workflow,
                version=new.version,
                priority=new.priority,
                tenant=tenant,
                weight=weight,
                admitted=admitted,
            )
            house = lineup.house(lanes, tenant=tenant, weight=weight)
            answer = admission.admit(self._options, priority=new.priority, loads=loads, rng=self._rng, house=house)
            if isinstance(answer, admission.Refused):
                return Overloaded(_sentence(answer, new.priority), retry_after_s=answer.retry_after_s)
        with self._lock:
            self._admitted[key] += 1
        return None

    def _refresh(self) -> None:
        now_s = self._monotonic_s()
        with self._lock:
            if self._read_at_s is not None and now_s - self._read_at_s < REMEMBERED_S:
                return
            # Set before the look: others judge by what is known meanwhile, rather than look too.
            before, self._read_at_s = self._read_at_s, now_s
        try:
            lanes = self._doors.lanes()
        except BaseException:
            with self._lock:
                self._read_at_s = before
            raise
        with self._lock:
            self._lanes = lanes
            self._admitted.clear()


USES_MAX = 1_024
_WORDS = {
    quota.Bound.RUNS_PER_MIN: "The tenant {tenant} may start {quota.runs_per_min} runs in a minute, and has.",
    quota.Bound.OPEN_RUNS: "The tenant {tenant} may have {quota.open_runs_max} runs that are not over, and has.",
    quota.Bound.BUDGET: "The tenant {tenant} has spent its budget of this day; a new one begins at 00:00 UTC.",
    quota.Bound.MONTH_BUDGET: (
        "The tenant {tenant} has spent its budget of this month; a new one begins on the first at 00:00 UTC."
    ),
}


def sentence_of(bound: quota.Bound, tenant: records.Tenant) -> str:
    """Say which of a tenant's bounds is used up."""
    return _WORDS[bound].format(tenant=tenant.name, quota=tenant.quota)


def _sentence(answer: admission.Refused, priority: run.Priority) -> str:
    match answer.policy:
        case admission.Policy.QUEUE_FULL:
            return f"The queue is full: {priority.value} runs are refused until it is shorter."
        case admission.Policy.PREDICTED_WAIT if answer.because_of is priority:
            return f"A {priority.value} run would wait for about {answer.predicted_wait_s:.0f} s, which is too long."
        case admission.Policy.PREDICTED_WAIT:
            return f"Work of the class {answer.because_of.value} waits too long; {priority.value} runs give way to it."
