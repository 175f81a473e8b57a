"""Hold the ``mlflow`` adapter's table of faults: (status, code) → fault.

The code is ``error_code`` of MLflow's error object. A row names what the status alone does not tell; every other answer
falls to the table of statuses. Source: mlflow/exceptions.py and pyfunc/scoring_server, by way of WIRE.md 8.11. Before
it in the walk: the adapter with an answer that is no success. After it: settle.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import statuses

FAULTS: Final[Mapping[tuple[int, str], faults.Fault]] = {
    (409, "ABORTED"): faults.Fault.REJECTED_TRANSIENT,
    (499, "CANCELLED"): faults.Fault.REJECTED_TRANSIENT,
    (503, "TEMPORARILY_UNAVAILABLE"): faults.Fault.REJECTED_TRANSIENT,
}


def fault_of(status: int, code: str) -> faults.Fault:
    """Name the fault a status and a code stand for."""
    return FAULTS.get((status, code)) or statuses.fault_of(status)
