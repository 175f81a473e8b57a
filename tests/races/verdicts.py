"""What a test says became of a claimed call: the settlements of the scenes."""

import json
from typing import Any

from heddle.core import faults, ids
from heddle.ports import store

COST_NANO_USD = 1_000


def done(
    claimed: store.Claimed, output: Any = "ok", *, cost_nano_usd: int | None = None, is_local: bool = False
) -> store.Settlement:
    """Settle a claimed call as succeeded."""
    is_local = is_local or claimed.endpoint_id is None
    return store.Settlement(
        run_id=claimed.run_id,
        ordinal=claimed.ordinal,
        fence=claimed.fence,
        number=claimed.number,
        verdict="complete",
        output=json.dumps(output),
        attempt_state="done",
        is_local=is_local,
        breaker=1,
        tier=claimed.tier,
        cost_nano_usd=None if is_local else cost_nano_usd or COST_NANO_USD,
    )


def faulted(
    claimed: store.Claimed, *, verdict: str = "fail", delay_s: float = 0.0, breaker: int = 0, message: str = "no"
) -> store.Settlement:
    """Settle a claimed call as failed for good, or (verdict retry) until later."""
    fault = faults.StepFault(fault=faults.Fault.REJECTED_PERMANENT, message=message)
    return store.Settlement(
        run_id=claimed.run_id,
        ordinal=claimed.ordinal,
        fence=claimed.fence,
        number=claimed.number,
        verdict=verdict,
        fault=json.dumps(fault.as_json()),
        attempt_state="rejected",
        is_local=claimed.endpoint_id is None,
        breaker=breaker,
        delay_s=delay_s,
    )


def accepted(claimed: store.Claimed, *, handle: str = "job-1", delay_s: float = 60.0) -> store.Settlement:
    """Settle a claimed model call as taken by the provider."""
    return store.Settlement(
        run_id=claimed.run_id,
        ordinal=claimed.ordinal,
        fence=claimed.fence,
        number=claimed.number,
        verdict="poll",
        delay_s=delay_s,
        handle=handle,
        attempt_state="accepted",
        is_local=False,
    )


def unsure(claimed: store.Claimed, *, verdict: str = "reconcile", delay_s: float = 60.0) -> store.Settlement:
    """Settle a claimed model call as unknown."""
    return store.Settlement(
        run_id=claimed.run_id,
        ordinal=claimed.ordinal,
        fence=claimed.fence,
        number=claimed.number,
        verdict=verdict,
        delay_s=delay_s,
        note="no answer",
        attempt_state="unknown",
        is_local=False,
    )


def ref(claimed: store.Claimed) -> store.LeaseRef:
    """Name the lease of a claimed call."""
    return store.LeaseRef(run_id=claimed.run_id, ordinal=claimed.ordinal, fence=claimed.fence)


def attempt_id(claimed: store.Claimed) -> str:
    """Name the attempt of a claimed call."""
    return str(ids.AttemptId(run_id=claimed.run_id, ordinal=claimed.ordinal, number=claimed.number))
