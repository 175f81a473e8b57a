"""Admit calls that a door executes in its own process; part of ``Heddle``.

The same law as for every run, cut in two: checking a request, which needs the store only where it names artifacts, and
judging it by load and quota, which mostly is known. The door writes what passed, and has the run in the same process.
"""

from typing import Protocol

from heddle.client import admission, backpressure
from heddle.core.policy import quota
from heddle.ports import calls as calls_port
from heddle.ports import doors, records

RETRY_AFTER_FULL_S = 1.0
"""When to come back after a race for the last of a quota; the door knows better at the next request."""


class _House(Protocol):
    backpressure: backpressure.Backpressure
    _doors: doors.Doors

    def _admit(self, request: admission.RunRequest, owner: records.Tenant) -> records.NewRun: ...


class Calling:
    """Check and judge calls."""

    def check_call(self: _House, request: admission.RunRequest, *, tenant: records.Tenant) -> records.NewRun:
        """Make the record of a run of one call. Raises InvalidInput; asks the store only after artifacts it names."""
        new = self._admit(request, tenant)
        assert new.call is not None, "the request names a call, not a workflow"
        return new

    def servable_models(self: _House, *, tenant: records.Tenant) -> list[str]:
        """Name the models that an endpoint may serve for a tenant, those left out that are paused or elsewhere."""
        return self._doors.servable_models(tenant=tenant)

    def judge_call(self: _House, new: records.NewRun) -> records.Submission | None:
        """Let a checked call in (None), or give the run that its key stands for already. Raises Refused.

        Asks the store; ``backpressure.lets_in`` says beforehand, and without it, whether there is anything to judge.
        """
        refusal = self.backpressure.refusal(new)
        if refusal is None:
            return None
        replay = None if new.idempotency_key is None else self._doors.replay(new)
        if replay is None:
            raise refusal
        return replay


def quota_refusal(tenant: records.Tenant, full: calls_port.QuotaFull) -> backpressure.QuotaExceeded:
    """Turn what the store found used up, at the last moment, into the refusal of the door."""
    bound = quota.Bound(full.bound)
    return backpressure.QuotaExceeded(
        backpressure.sentence_of(bound, tenant), retry_after_s=RETRY_AFTER_FULL_S, bound=bound
    )
