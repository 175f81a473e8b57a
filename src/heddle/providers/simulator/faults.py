"""Hold the ``simulator`` adapter's tables of faults: (status, code) → fault for requests, code → fault for ended jobs.

The codes are those of the twin's README.md. A row that says a request was refused is what lets a paid call be
tried again; what no row names falls to the table of statuses, where a 5xx proves nothing. Before it in the walk: the
adapter with an answer. After it: settle.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import statuses

FAULTS: Final[Mapping[tuple[int, str], faults.Fault]] = {
    (400, "malformed"): faults.Fault.REJECTED_PERMANENT,
    (400, "bad_idempotency_key"): faults.Fault.REJECTED_PERMANENT,
    (401, "unauthorized"): faults.Fault.REJECTED_TRANSIENT,
    (409, "in_progress"): faults.Fault.SENT_UNKNOWN,  # our own key is being accepted at this moment: not refused at all
    (413, "too_large"): faults.Fault.TOO_LARGE,
    (422, "invalid_input"): faults.Fault.REJECTED_PERMANENT,
    (422, "idempotency_key_reused"): faults.Fault.SENT_UNKNOWN,  # a job has our key already, and it may be paid
    (429, "concurrency_limit"): faults.Fault.THROTTLED,
    (429, "rate_limited"): faults.Fault.THROTTLED,
    (500, "internal_error"): faults.Fault.REJECTED_TRANSIENT,  # stated by the provider: nothing was accepted
    (503, "full"): faults.Fault.THROTTLED,
    (503, "ledger_unavailable"): faults.Fault.REJECTED_TRANSIENT,
}

JOB_FAULTS: Final[Mapping[str, faults.Fault]] = {
    "worker_lost": faults.Fault.REJECTED_TRANSIENT,  # the price was given back; a new job may be submitted
}


def fault_of(status: int, code: str, *, is_keyed: bool) -> faults.Fault:
    """Name the fault of a request that was not accepted.

    is_keyed: whether it went out under an idempotency key. Then a server's failure says nothing of an earlier request
    with the same key, which may have been accepted and cut off, so it stays unknown: sending again is safe.
    """
    fault = FAULTS.get((status, code)) or statuses.fault_of(status)
    if is_keyed and status >= 500 and fault is faults.Fault.REJECTED_TRANSIENT:
        return faults.Fault.SENT_UNKNOWN
    return fault


def job_fault_of(code: str) -> faults.Fault:
    """Name the fault of a job that ended failed."""
    return JOB_FAULTS.get(code, faults.Fault.UNCLASSIFIED)
