"""Show and steer what is started by schedule: a part of the facade. Neighbours: ``facade`` above, ``ports.doors``."""

from typing import Protocol

from heddle.client import pages
from heddle.config import settings
from heddle.ports import doors, records


class _House(Protocol):
    limits: settings.Settings
    _doors: doors.Doors

    def tenant(self, tenant: str | records.Tenant) -> records.Tenant: ...


class Schedules:
    """Reach the schedules of a tenant."""

    def schedules(
        self: _House, *, tenant: str | records.Tenant = "default", after: str = "", limit: int = 50
    ) -> list[records.ScheduleView]:
        """Show a tenant's schedules by name, from the one after the name ``after`` on; at most ``page_max``.

        Raises InvalidInput.
        """
        pages.check_limit(limit, page_max=self.limits.page_max)
        return self._doors.schedules(tenant=self.tenant(tenant), after=after, limit=limit)

    def pause_schedule(self: _House, name: str, *, is_paused: bool, tenant: str | records.Tenant = "default") -> None:
        """Let a schedule start nothing, or begin again; the times in between are missed. Raises LookupError."""
        self._doors.pause_schedule(tenant=self.tenant(tenant), name=name, is_paused=is_paused)
