"""A gate that cannot be held to loses no result that was paid for."""

import types
from typing import Any, cast

from heddle.core import settle
from heddle.core.policy import quality as law
from heddle.engine import parts as parts_module
from heddle.engine import quality
from heddle.ports import provider
from tests.unit.engine import claims

MEDIUM = {"$artifact": "sha256:" + "a" * 64, "media_type": "image/png", "size_bytes": 3}


class _Pool:
    """Break in a way that no outcome names."""

    async def run(self, call: Any) -> Any:
        raise BrokenPipeError("the pool is gone")


async def test_gates_when_measuring_breaks_then_the_result_passes() -> None:
    async def tenant_name(_tenant_id: int) -> str:
        return "acme"

    row = claims.endpoint(gates={"relight": law.QualityOptions(decodes=True)})
    endpoint = types.SimpleNamespace(row=row)
    parts = types.SimpleNamespace(
        compute=_Pool(), tenant_name=tenant_name, settings=types.SimpleNamespace(artifact_pixels_max=1)
    )
    claimed = claims.claimed(kind="model", name="relight", endpoint_id=7)
    outcome = settle.Completed(output={"image": MEDIUM}, cost_nano_usd=5)

    found = await quality.judged(
        cast("parts_module.Parts", parts),
        claimed,
        cast("parts_module.Endpoint", endpoint),
        cast("provider.ProviderRequest", types.SimpleNamespace(input={})),
        outcome,
    )

    assert len(quality.found(outcome.output)) == 1
    assert found is outcome
