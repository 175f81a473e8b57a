"""Hold the ``anthropic`` adapter's table of faults: (status, code) → fault.

The codes of an error are ``error.details.error_code``, where it has one, and ``error.type``; the first that has a row
counts. What no row names falls to the table of statuses, where a 5xx proves nothing: ``api_error`` (500) and
``timeout_error`` (504) may have been worked on. Before it in the walk: the adapter with an answer or with an error
event of a stream. After it: settle. Sources: https://platform.claude.com/docs/en/api/errors and anthropic 2.14.0
(``types/shared``), read 2026-11-29.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from heddle.core import faults
from heddle.providers import statuses

FAULTS: Final[Mapping[tuple[int, str], faults.Fault]] = {
    (400, "invalid_request_error"): faults.Fault.REJECTED_PERMANENT,
    (400, "cmek_key_disabled"): faults.Fault.REJECTED_TRANSIENT,  # our account is to blame, as with the next three
    (400, "cmek_key_network_blocked"): faults.Fault.REJECTED_TRANSIENT,
    (400, "organization_on_hold"): faults.Fault.REJECTED_TRANSIENT,
    (401, "authentication_error"): faults.Fault.REJECTED_TRANSIENT,  # so that the fallback serves
    (402, "billing_error"): faults.Fault.REJECTED_TRANSIENT,
    (403, "permission_error"): faults.Fault.REJECTED_TRANSIENT,  # our key may not use this model: the same
    (404, "not_found_error"): faults.Fault.REJECTED_PERMANENT,
    (409, "conflict_error"): faults.Fault.REJECTED_TRANSIENT,
    (413, "request_too_large"): faults.Fault.TOO_LARGE,
    (429, "rate_limit_error"): faults.Fault.THROTTLED,
    (429, "ramp_limit_exceeded"): faults.Fault.THROTTLED,
    (429, "enforced_spend_limit_reached"): faults.Fault.REJECTED_TRANSIENT,  # no use in waiting some seconds, as 402
    (429, "contract_spend_limit_reached"): faults.Fault.REJECTED_TRANSIENT,
    (503, "cmek_context_unavailable"): faults.Fault.REJECTED_TRANSIENT,  # "so the request was refused"
    (503, "cmek_key_unreachable"): faults.Fault.REJECTED_TRANSIENT,
    (529, "overloaded_error"): faults.Fault.REJECTED_TRANSIENT,  # too busy for everybody: the breaker and the fallback
}

# An error event has no status of its own; these are the statuses its types come with elsewhere.
STATUSES: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def fault_of(status: int, codes: Sequence[str]) -> faults.Fault:
    """Name the fault of a request that was answered with an error. codes: the more precise one first."""
    named = (FAULTS[status, code] for code in codes if (status, code) in FAULTS)
    return next(named, statuses.fault_of(status))
