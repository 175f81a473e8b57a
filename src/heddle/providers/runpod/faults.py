"""Hold the ``runpod`` adapter's tables of faults: by status for what is not accepted, by state for jobs that ended.

Statuses: docs.runpod.io/serverless/endpoints/send-requests, "Error handling", read 2026-11-29. A failed job's reason is
prose of the worker's own code, so that what FAILED means for a retry is the endpoint's option ``failed``. Before it in
the walk: the adapter with an answer. After it: settle.
"""

import enum
from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import statuses

SUBMIT_FAULTS: Final[Mapping[int, faults.Fault]] = {
    400: faults.Fault.REJECTED_PERMANENT,
    403: faults.Fault.REJECTED_TRANSIENT,  # our key or account, as with 401
    404: faults.Fault.REJECTED_TRANSIENT,  # no such endpoint: the configuration is to blame, a fallback may serve
}


class Failed(enum.StrEnum):
    """Name what a job that ended FAILED may be taken for."""

    UNCLASSIFIED = "unclassified"
    REJECTED_TRANSIENT = "rejected_transient"
    REJECTED_PERMANENT = "rejected_permanent"


JOB_FAULTS: Final[Mapping[str, faults.Fault]] = {
    "CANCELLED": faults.Fault.CANCELLED,
    "TIMED_OUT": faults.Fault.DEADLINE,  # of policy.executionTimeout or policy.ttl, which are ours
}


def fault_of(status: int) -> faults.Fault:
    """Name the fault of a submission that was answered with no success."""
    return SUBMIT_FAULTS.get(status) or statuses.fault_of(status)


def job_fault_of(state: str, *, failed: Failed) -> faults.Fault:
    """Name the fault of a job that has ended without a result."""
    return JOB_FAULTS.get(state) or faults.Fault(failed.value)
