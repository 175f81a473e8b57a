"""Hold the ``huggingface`` adapter's table of faults: code → fault, for answers and for errors inside of a stream.

The code is ``error_type`` of text generation inference, or ``loading`` for an answer with ``estimated_time``; each
states a refusal or a failure, whatever the status. What has none falls to the table of statuses. Source:
text-generation-inference router/src/{lib,server}.rs. Before it in the walk: the adapter with an answer that is no
success. After it: settle.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import statuses

LOADING: Final = "loading"
CODES: Final[Mapping[str, faults.Fault]] = {
    LOADING: faults.Fault.THROTTLED,  # nothing was done, and it says when to come back
    "overloaded": faults.Fault.THROTTLED,
    "validation": faults.Fault.REJECTED_PERMANENT,
    "template_error": faults.Fault.REJECTED_PERMANENT,
    "tool_error": faults.Fault.REJECTED_PERMANENT,
    "generation": faults.Fault.REJECTED_TRANSIENT,  # a worker behind the router failed; nothing comes of this request
    "incomplete_generation": faults.Fault.PARTIAL,
    "healthcheck": faults.Fault.REJECTED_TRANSIENT,
}


def fault_of(status: int, code: str) -> faults.Fault:
    """Name the fault a status and a code stand for."""
    return CODES.get(code) or statuses.fault_of(status)


def stream_fault_of(code: str) -> faults.Fault:
    """Name the fault of an error that came inside of a stream."""
    return CODES.get(code, faults.Fault.UNCLASSIFIED)
