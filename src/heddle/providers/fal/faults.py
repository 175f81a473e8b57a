"""Hold the ``fal`` adapter's tables of faults: by status for what is not accepted, by error type for jobs that ended.

Error types and their statuses: fal.ai/docs/documentation/model-apis/request-errors, read 2026-11-29. A job that ended
in a 5xx is not billed (docs.fal.ai/model-apis/model-endpoints/reliability, read 2026-11-29), so it may be made again.
Before it in the walk: the adapter with an answer. After it: settle.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import statuses

# Of a submission. A 403 is about our account (a locked user, an exhausted balance) or our key, as a 401 is. No 5xx has
# a row: whatever it says, the queue may have taken the request before.
SUBMIT_FAULTS: Final[Mapping[tuple[int, str], faults.Fault]] = {
    (400, "bad_request"): faults.Fault.REJECTED_PERMANENT,
    (403, ""): faults.Fault.REJECTED_TRANSIENT,
    (422, ""): faults.Fault.REJECTED_PERMANENT,
}

JOB_FAULTS: Final[Mapping[str, faults.Fault]] = {
    "request_timeout": faults.Fault.REJECTED_TRANSIENT,
    "startup_timeout": faults.Fault.REJECTED_TRANSIENT,
    "runner_scheduling_failure": faults.Fault.REJECTED_TRANSIENT,
    "runner_connection_timeout": faults.Fault.REJECTED_TRANSIENT,
    "runner_disconnected": faults.Fault.REJECTED_TRANSIENT,
    "runner_connection_refused": faults.Fault.REJECTED_TRANSIENT,
    "runner_connection_error": faults.Fault.REJECTED_TRANSIENT,
    "runner_incomplete_response": faults.Fault.REJECTED_TRANSIENT,
    "runner_server_error": faults.Fault.REJECTED_TRANSIENT,
    "internal_error": faults.Fault.REJECTED_TRANSIENT,
    "client_disconnected": faults.Fault.CANCELLED,
    "client_cancelled": faults.Fault.CANCELLED,
    "bad_request": faults.Fault.REJECTED_PERMANENT,
}


def fault_of(status: int, error_type: str) -> faults.Fault:
    """Name the fault of a submission that was answered with no success."""
    return SUBMIT_FAULTS.get((status, error_type)) or SUBMIT_FAULTS.get((status, "")) or statuses.fault_of(status)


def job_fault_of(status: int | None, error_type: str, *, is_our_timeout: bool) -> faults.Fault:
    """Name the fault of a job that has ended without a result.

    status: of the result's answer, None when only the queue's status tells. is_our_timeout: the answer has
    X-Fal-Request-Timeout-Type, so that the time we allowed for the start is over.
    """
    if is_our_timeout:
        return faults.Fault.DEADLINE
    named = JOB_FAULTS.get(error_type)
    if named is not None:
        return named
    if status is None:
        return faults.Fault.UNCLASSIFIED
    if status >= 500:
        return faults.Fault.REJECTED_TRANSIENT
    return faults.Fault.TOO_LARGE if status == 413 else faults.Fault.REJECTED_PERMANENT
