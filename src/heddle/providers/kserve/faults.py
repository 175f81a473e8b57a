"""Hold the ``kserve`` adapter's table of faults: (status, code) → fault.

The protocol has no codes, only ``{"error": text}``, and text is never searched; so every row goes by status alone, and
a status without one falls to the table of statuses. Source: open-inference-protocol, inference_rest.md, read by way of
WIRE.md 8.6. Before it in the walk: the adapter with an answer that is no success. After it: settle.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import statuses

FAULTS: Final[Mapping[tuple[int, str], faults.Fault]] = {
    (503, ""): faults.Fault.REJECTED_TRANSIENT,  # the model is loading, or the queue is full (Triton: UNAVAILABLE)
}

# An error inside of a stream has neither a status nor a code: inference began and failed, and another try may go well.
STREAM_FAULT: Final = faults.Fault.PARTIAL


def fault_of(status: int, *, is_guarded: bool = False) -> faults.Fault:
    """Name the fault a status stands for. is_guarded: whether the call may not be repeated blindly; then a status alone
    is no proof that it was refused.
    """
    named = None if is_guarded else FAULTS.get((status, ""))
    return named or statuses.fault_of(status)
