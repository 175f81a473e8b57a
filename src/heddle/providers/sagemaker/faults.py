"""Hold the ``sagemaker`` adapter's table of faults: (status, error type) → fault.

Types and statuses are botocore's model `sagemaker-runtime` (1.44.8) and the errors common to AWS services
(docs.aws.amazon.com/sagemaker/latest/APIReference/CommonErrors.html, read 2026-11-29). Before it in the walk: the
adapter with an answer. After it: settle.
"""

import enum
from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import statuses

MODEL_ERROR: Final = "ModelError"

FAULTS: Final[Mapping[str, faults.Fault]] = {
    "ValidationError": faults.Fault.REJECTED_PERMANENT,
    "ModelNotReadyException": faults.Fault.THROTTLED,  # the model is being loaded; the container saw nothing
    "ThrottlingException": faults.Fault.THROTTLED,  # comes with 400
    "Throttling": faults.Fault.THROTTLED,
    "InternalFailure": faults.Fault.SENT_UNKNOWN,
    "ServiceUnavailable": faults.Fault.SENT_UNKNOWN,
    "InternalDependencyException": faults.Fault.SENT_UNKNOWN,
    # Our credentials or permissions are to blame: the breaker opens, the fallback serves.
    "AccessDeniedException": faults.Fault.REJECTED_TRANSIENT,
    "ExpiredTokenException": faults.Fault.REJECTED_TRANSIENT,
    "IncompleteSignature": faults.Fault.REJECTED_TRANSIENT,
    "InvalidClientTokenId": faults.Fault.REJECTED_TRANSIENT,
    "InvalidSignatureException": faults.Fault.REJECTED_TRANSIENT,
    "MissingAuthenticationTokenException": faults.Fault.REJECTED_TRANSIENT,
    "NotAuthorized": faults.Fault.REJECTED_TRANSIENT,
    "OptInRequired": faults.Fault.REJECTED_TRANSIENT,
    "RequestExpired": faults.Fault.REJECTED_TRANSIENT,
    "UnrecognizedClientException": faults.Fault.REJECTED_TRANSIENT,
}


class Failed(enum.StrEnum):
    """Name what an asynchronous job that ended in a failure object may be taken for."""

    UNCLASSIFIED = "unclassified"
    REJECTED_TRANSIENT = "rejected_transient"
    REJECTED_PERMANENT = "rejected_permanent"


def fault_of(status: int, error_type: str, *, original_status: int | None) -> faults.Fault:
    """Name the fault of an invocation that was answered with no success.

    original_status: with a ModelError, what the model's container answered; a container that said nothing may have
    done its work.
    """
    if error_type == MODEL_ERROR:
        is_told = original_status is not None and 400 <= original_status <= 599
        return statuses.fault_of(original_status) if is_told and original_status else faults.Fault.SENT_UNKNOWN
    if error_type in FAULTS:
        return FAULTS[error_type]
    return faults.Fault.REJECTED_TRANSIENT if status == 403 else statuses.fault_of(status)
