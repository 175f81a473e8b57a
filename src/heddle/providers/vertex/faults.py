"""Hold the ``vertex`` adapter's tables of faults, by Google's canonical codes.

Names and numbers: google.rpc.Code (googleapis/googleapis, google/rpc/code.proto) and
cloud.google.com/vertex-ai/generative-ai/docs/model-reference/api-errors, read 2026-11-29. Before it in the walk: the
adapter with an answer or an ended operation. After it: settle.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import statuses

# Of a request, by the name in `error.status`. What may have been said after the work was begun has SENT_UNKNOWN.
FAULTS: Final[Mapping[str, faults.Fault]] = {
    "CANCELLED": faults.Fault.SENT_UNKNOWN,
    "UNKNOWN": faults.Fault.SENT_UNKNOWN,
    "INVALID_ARGUMENT": faults.Fault.REJECTED_PERMANENT,
    "DEADLINE_EXCEEDED": faults.Fault.SENT_UNKNOWN,
    "NOT_FOUND": faults.Fault.REJECTED_TRANSIENT,  # no such model here: the configuration is to blame
    "PERMISSION_DENIED": faults.Fault.REJECTED_TRANSIENT,  # our account, as with 401
    "RESOURCE_EXHAUSTED": faults.Fault.THROTTLED,
    "FAILED_PRECONDITION": faults.Fault.REJECTED_PERMANENT,
    "ABORTED": faults.Fault.SENT_UNKNOWN,
    "OUT_OF_RANGE": faults.Fault.REJECTED_PERMANENT,
    "UNIMPLEMENTED": faults.Fault.REJECTED_PERMANENT,
    "INTERNAL": faults.Fault.SENT_UNKNOWN,
    "UNAVAILABLE": faults.Fault.SENT_UNKNOWN,
    "DATA_LOSS": faults.Fault.SENT_UNKNOWN,
    "UNAUTHENTICATED": faults.Fault.REJECTED_TRANSIENT,
}

# Of an operation that has ended, by the number in `error.code`: nothing is left open, so nothing is unknown.
OPERATION_FAULTS: Final[Mapping[int, faults.Fault]] = {
    1: faults.Fault.CANCELLED,
    3: faults.Fault.REJECTED_PERMANENT,  # INVALID_ARGUMENT, which safety filters say as well
    4: faults.Fault.REJECTED_TRANSIENT,
    5: faults.Fault.REJECTED_PERMANENT,
    7: faults.Fault.REJECTED_PERMANENT,
    8: faults.Fault.THROTTLED,
    9: faults.Fault.REJECTED_PERMANENT,
    10: faults.Fault.REJECTED_TRANSIENT,
    11: faults.Fault.REJECTED_PERMANENT,
    12: faults.Fault.REJECTED_PERMANENT,
    13: faults.Fault.REJECTED_TRANSIENT,
    14: faults.Fault.REJECTED_TRANSIENT,
    16: faults.Fault.REJECTED_TRANSIENT,
}


def fault_of(status: int, code: str) -> faults.Fault:
    """Name the fault of a request that was answered with no success."""
    return FAULTS.get(code) or (faults.Fault.REJECTED_TRANSIENT if status == 403 else statuses.fault_of(status))


def operation_fault_of(code: int) -> faults.Fault:
    """Name the fault of an operation that has ended in an error."""
    return OPERATION_FAULTS.get(code, faults.Fault.UNCLASSIFIED)
