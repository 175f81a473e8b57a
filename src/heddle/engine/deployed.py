"""Know what is deployed: an adapter for each endpoint, made anew when its row changes, and the names of tenants.

At the start an endpoint that this worker cannot serve, as for a secret that its environment lacks, stops it with the
sentence that says why. Later it must not keep everything else from being heard of: prices, pauses and limits of other
endpoints. It is told of and left as it was. Neighbours: the store has the rows; claim and execute use what stands here.
"""

from heddle.engine import parts as parts_module
from heddle.ports import store
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics


async def load(parts: parts_module.Parts, *, is_start: bool) -> None:
    """Read what is deployed. ``is_start``: raises what the adapter of an endpoint refuses."""
    rows = await parts.store.endpoints()
    known = {endpoint_id: endpoint.row for endpoint_id, endpoint in parts.endpoints.items()}
    for row in rows:
        if known.get(row.id) != row:
            try:
                await _replace(parts, row)
            except Exception as error:
                if is_start:
                    raise
                recorder.count(metrics.STAGE_ERRORS, stage="observe")
                recorder.event(events.STAGE_FAILED, stage="observe", error=error)
    for gone in set(parts.endpoints) - {row.id for row in rows}:
        await parts.endpoints.pop(gone).provider.close()
    parts.tenants = await parts.store.tenant_names()


async def _replace(parts: parts_module.Parts, row: store.EndpointRow) -> None:
    old = parts.endpoints.get(row.id)
    parts.endpoints[row.id] = parts_module.Endpoint(row=row, provider=parts.build_provider(row))
    if old is not None:
        await old.provider.close()
