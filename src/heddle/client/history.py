"""Show what happened inside a run: its calls, its events, what it waits for; a part of the facade.

Whatever grows with a run is given in pages. Neighbours: ``facade`` above, ``ports.doors`` below.
"""

import uuid
from typing import Protocol

from heddle.client import pages
from heddle.config import settings
from heddle.core import reasons
from heddle.ports import doors, records

CALLS_MAX = 10_000
"""Calls that one run may have."""
EVENTS_MAX = 1_000


class _House(Protocol):
    limits: settings.Settings
    _doors: doors.Doors

    def tenant(self, tenant: str | records.Tenant) -> records.Tenant: ...


class History:
    """Look into the runs of a tenant."""

    def steps(
        self: _House,
        run_id: uuid.UUID | str,
        *,
        tenant: str | records.Tenant = "default",
        after: int = 0,
        limit: int | None = None,
    ) -> list[records.StepView]:
        """Show the calls of a run with their attempts, by ordinal, from the one after ``after`` on.

        limit: 1 to ``page_max``; None: every call, which are at most ``CALLS_MAX``. Raises RunMissing, InvalidInput.
        """
        if limit is not None:
            pages.check_limit(limit, page_max=self.limits.page_max)
        return self._doors.steps(
            tenant=self.tenant(tenant),
            run_id=run_uuid(run_id),
            after=max(0, min(after, CALLS_MAX)),
            limit=CALLS_MAX if limit is None else limit,
        )

    def events(
        self: _House,
        run_id: uuid.UUID | str,
        *,
        tenant: str | records.Tenant = "default",
        after_seq: int = 0,
        limit: int = EVENTS_MAX,
    ) -> list[records.EventView]:
        """Show what happened to a run after ``after_seq``, in order, at most ``limit`` (1 to 1,000).

        Raises RunMissing.
        """
        bounded = max(1, min(limit, EVENTS_MAX))
        owner = self.tenant(tenant)
        return self._doors.events(tenant=owner, run_id=run_uuid(run_id), after_seq=max(0, after_seq), limit=bounded)

    def why(self: _House, run_id: uuid.UUID | str, *, tenant: str | records.Tenant = "default") -> reasons.Explanation:
        """Say what a run waits for: one sentence, the chain of causes, an estimate. Raises RunMissing."""
        return self._doors.why(tenant=self.tenant(tenant), run_id=run_uuid(run_id))


def run_uuid(run_id: uuid.UUID | str) -> uuid.UUID:
    """Read a run's id. Raises RunMissing for what is none: no run has it."""
    if isinstance(run_id, uuid.UUID):
        return run_id
    try:
        return uuid.UUID(run_id)
    except ValueError as error:
        raise doors.RunMissing(run_id[:100]) from error
