"""Hold the ``comfyui`` adapter's tables of faults: of requests by status, of ended jobs by the exception's type.

A 400 is a graph the server refuses for good; what a node raised is known by the type's name alone, never by its words,
and a type without a row is unclassified. Source: ComfyUI server.py and execution.py, by way of WIRE.md 8.10. Before it
in the walk: the adapter with an answer. After it: settle.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import statuses

INTERRUPTED: Final = "execution_interrupted"

JOB_FAULTS: Final[Mapping[str, faults.Fault]] = {
    INTERRUPTED: faults.Fault.CANCELLED,
    # The GPU was full at that moment, or a helper of the node was out of reach: another try may go well.
    "torch.OutOfMemoryError": faults.Fault.REJECTED_TRANSIENT,
    "torch.cuda.OutOfMemoryError": faults.Fault.REJECTED_TRANSIENT,
    "torch.AcceleratorError": faults.Fault.REJECTED_TRANSIENT,
    "MemoryError": faults.Fault.REJECTED_TRANSIENT,
    "ConnectionError": faults.Fault.REJECTED_TRANSIENT,
    "ConnectionResetError": faults.Fault.REJECTED_TRANSIENT,
    "TimeoutError": faults.Fault.REJECTED_TRANSIENT,
    # The node does not take this input, or lacks what the graph names: another try meets the same.
    "AssertionError": faults.Fault.REJECTED_PERMANENT,
    "FileNotFoundError": faults.Fault.REJECTED_PERMANENT,
    "IndexError": faults.Fault.REJECTED_PERMANENT,
    "KeyError": faults.Fault.REJECTED_PERMANENT,
    "NotImplementedError": faults.Fault.REJECTED_PERMANENT,
    "TypeError": faults.Fault.REJECTED_PERMANENT,
    "ValueError": faults.Fault.REJECTED_PERMANENT,
}


def fault_of(status: int) -> faults.Fault:
    """Name the fault of a request that was not taken."""
    return statuses.fault_of(status)


def job_fault_of(code: str) -> faults.Fault:
    """Name the fault of a job that ended badly: ``code`` is an exception's type or the message's name."""
    return JOB_FAULTS.get(code, faults.Fault.UNCLASSIFIED)
