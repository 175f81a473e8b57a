"""Hold the ``cog`` adapter's tables of faults: (status, code) → fault for requests, status → fault for predictions.

The code is the ``status`` in the body of Cog's own errors, so that a gateway's 503 is not taken for Cog's. What no row
names falls to the table of statuses. Before it in the walk: the adapter with an answer. After it: settle. Sources:
replicate/cog ``docs/http.md`` and coglet 0.21 ``transport/http/routes.rs``, read 2026-11-29.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import statuses
from heddle.providers.cog import wire

FAULTS: Final[Mapping[tuple[int, str], faults.Fault]] = {
    (406, ""): faults.Fault.REJECTED_PERMANENT,  # the model does not stream
    (409, ""): faults.Fault.THROTTLED,  # "when all prediction slots are in use"
    (409, "failed"): faults.Fault.THROTTLED,
    (422, "failed"): faults.Fault.REJECTED_PERMANENT,  # the input is not the model's
    (503, "failed"): faults.Fault.REJECTED_TRANSIENT,  # setup() has not ended, or has failed: nothing was started
}

ENDED: Final[Mapping[wire.Status, faults.Fault]] = {
    wire.Status.FAILED: faults.Fault.REJECTED_PERMANENT,  # the model itself raised: the same input fails again
    wire.Status.CANCELED: faults.Fault.CANCELLED,
}


def fault_of(status: int, code: str) -> faults.Fault:
    """Name the fault of a request that was not answered with a prediction."""
    return FAULTS.get((status, code)) or FAULTS.get((status, "")) or statuses.fault_of(status)
