"""Show operators the calls whose outcome at the provider nobody knows, page by page.

Neighbours: ``client.operating`` before; ``store.operators`` settles by hand what is shown here.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from heddle.core import ids
from heddle.ports import operators, records
from heddle.store import canaries

LOOK_MAX = 10_000
"""Unknown attempts that one page looks at; most of them are shown, those of stopped runs are passed over."""
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
        following = None
        if len(calls) == limit:
            following = calls[-1].attempt
        elif looked_at == look:
            following = ids.AttemptId(run_id=last[0], ordinal=last[1], number=last[2])
        return operators.UnknownPage(calls=calls, following=following)


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
