"""Hold the ``replicate`` adapter's tables of faults: (status, code) → fault for requests, status → fault for ended
predictions, refined by Replicate's error codes.

Replicate's requests have no codes in their errors, so their statuses are judged by the table of statuses, where a 5xx
proves nothing. Before it in the walk: the adapter with an answer. After it: settle. Source of the codes:
https://replicate.com/docs/reference/error-codes, read 2026-11-29; codes that are not in the table fall to the status.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import statuses
from heddle.providers.replicate import wire

FAULTS: Final[Mapping[tuple[int, str], faults.Fault]] = {}

# Ended without a result. "aborted" is not charged, "canceled" is charged for the time it ran (…/predictions/lifecycle).
ENDED: Final[Mapping[wire.Status, faults.Fault]] = {
    wire.Status.FAILED: faults.Fault.REJECTED_PERMANENT,  # the model itself raised: the same input fails again
    wire.Status.CANCELED: faults.Fault.CANCELLED,
    wire.Status.ABORTED: faults.Fault.DEADLINE,
}
CODES: Final[Mapping[str, faults.Fault]] = {
    "E1000": faults.Fault.REJECTED_TRANSIENT,  # unknown, "temporary system issues": try again
    "E1001": faults.Fault.TOO_LARGE,  # out of memory: the input is too large for the model
    "E4875": faults.Fault.REJECTED_PERMANENT,  # the webhook's address was empty
    "E6716": faults.Fault.REJECTED_TRANSIENT,  # it was not started in time
}


def fault_of(status: int) -> faults.Fault:
    """Name the fault of a request that was not answered with a prediction."""
    return FAULTS.get((status, "")) or statuses.fault_of(status)


def ended_fault_of(prediction: wire.Prediction) -> faults.Fault:
    """Name the fault of a prediction that ended without a result."""
    if prediction.is_past_deadline and prediction.status is wire.Status.CANCELED:
        return faults.Fault.DEADLINE
    if prediction.status is wire.Status.FAILED:
        code = wire.error_code(prediction.error)
        return CODES.get(code, ENDED[wire.Status.FAILED])
    return ENDED[prediction.status]
