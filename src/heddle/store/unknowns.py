"""Show operators the calls whose outcome at the provider nobody knows, page by page.

Neighbours: ``client.operating`` before; ``store.by_hand`` settles what is shown here.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from heddle.core import ids
from heddle.ports import operators, records
from heddle.store import canaries

LOOK_MAX = 10_000
"""Unknown attempts that one page looks at; most of them are shown, those of stopped runs are passed over."""
_WHOLE_MAX = 1_000_000
"""Unknown attempts of runs made in one millisecond that a tenant's page looks at; beyond it, some are not shown."""
_FIRST = ids.AttemptId(run_id=uuid.UUID(int=0), ordinal=0, number=1)


class Unknowns(canaries.Canaries):
    """Read calls of unknown outcome through one of Django's connections."""

    def unknown_calls(
        self, *, tenant: records.Tenant | None, after: ids.AttemptId | None, limit: int, look: int = LOOK_MAX
    ) -> operators.UnknownPage:
        """Show calls of unknown outcome, of one tenant or of all, those of the oldest runs first."""
        mark = after or _FIRST
        found = self._rows(
            "unknown_views",
            {
                "tenant_id": None if tenant is None else tenant.id,
                "run_id": mark.run_id,
                "ordinal": mark.ordinal,
                "number": mark.number,
                "look": look,
                "limit": limit,
            },
        )
        looked_at, *last = found[0][:4]
        calls = tuple(_call(row[4:]) for row in found if row[4] is not None)
        if len(calls) == limit:
            return operators.UnknownPage(calls=calls, following=calls[-1].attempt)
        if looked_at < look:
            return operators.UnknownPage(calls=calls, following=None)
        end = ids.AttemptId(run_id=last[0], ordinal=last[1], number=last[2])
        if tenant is None:
            return operators.UnknownPage(calls=calls, following=end)
        # The last that was looked at may be another tenant's, whose ids are nobody else's to see: the page ends with
        # the millisecond before. One that is all of the look is looked at whole.
        instant = ids.first_id_at(database_unix_ms=ids.unix_ms(end.run_id))
        if instant <= mark.run_id and look < _WHOLE_MAX:
            return self.unknown_calls(tenant=tenant, after=after, limit=limit, look=look * 10)
        instant = max(instant, ids.first_id_at(database_unix_ms=ids.unix_ms(mark.run_id) + 1))
        shown = tuple(each for each in calls if each.attempt.run_id < instant)
        following = ids.AttemptId(run_id=instant, ordinal=0, number=1)
        return operators.UnknownPage(calls=shown, following=following)


def _call(row: Sequence[Any]) -> operators.UnknownCall:
    """Read what a row of unknown_views tells of one call."""
    run_id, ordinal, number, *rest = row
    tenant, workflow, model, endpoint, handle, price_nano_usd, since, is_looked_up, next_look_at = rest
    return operators.UnknownCall(
        attempt=ids.AttemptId(run_id=run_id, ordinal=ordinal, number=number),
        tenant=tenant,
        workflow=workflow,
        model=model,
        endpoint=endpoint,
        handle=handle,
        price_nano_usd=price_nano_usd,
        since=since,
        is_looked_up=is_looked_up,
        next_look_at=next_look_at,
    )
