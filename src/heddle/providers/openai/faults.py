"""Hold the ``openai`` adapter's tables of faults: (status, code) of a refusal, and the code of a job that failed.

The code is ``error.code`` of the body, or ``error.type`` where there is no code. Nothing is read from prose; a pair
that no row names falls to the table of statuses. Sources: developers.openai.com/api/docs/guides/error-codes, and the
error codes of the package openai 3.57.0 (``types/responses/response_error.py``), read 2026-11-29. Before it in the
walk: an answer that is no success. After it: settle.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import statuses

FAULTS: Final[Mapping[tuple[int, str], faults.Fault]] = {
    (400, "billing_hard_limit_reached"): faults.Fault.REJECTED_TRANSIENT,  # our account is at its limit
    (400, "content_policy_violation"): faults.Fault.REJECTED_PERMANENT,
    (400, "context_length_exceeded"): faults.Fault.REJECTED_PERMANENT,
    (400, "moderation_blocked"): faults.Fault.REJECTED_PERMANENT,
    (401, "invalid_api_key"): faults.Fault.REJECTED_TRANSIENT,
    (403, "unsupported_country_region_territory"): faults.Fault.REJECTED_TRANSIENT,  # where we are, not what we asked
    (404, "model_not_found"): faults.Fault.REJECTED_PERMANENT,
    (429, "insufficient_quota"): faults.Fault.REJECTED_TRANSIENT,  # no money left: waiting a second does not help
    (429, "rate_limit_exceeded"): faults.Fault.THROTTLED,
}

# What a failed response, video or batch says of itself. A failed job is known to be over.
JOB_FAULTS: Final[Mapping[str, faults.Fault]] = {
    "server_error": faults.Fault.REJECTED_TRANSIENT,
    "rate_limit_exceeded": faults.Fault.THROTTLED,
    "token_limit_exceeded": faults.Fault.THROTTLED,  # a batch over the tokens that may wait in the queue
    "vector_store_timeout": faults.Fault.REJECTED_TRANSIENT,
    "invalid_prompt": faults.Fault.REJECTED_PERMANENT,
    "data_residency_mismatch": faults.Fault.REJECTED_PERMANENT,
    "bio_policy": faults.Fault.REJECTED_PERMANENT,
    "misalignment_policy_violation": faults.Fault.REJECTED_PERMANENT,
    "content_policy_violation": faults.Fault.REJECTED_PERMANENT,
    "moderation_blocked": faults.Fault.REJECTED_PERMANENT,
    "invalid_image": faults.Fault.REJECTED_PERMANENT,
    "invalid_image_format": faults.Fault.REJECTED_PERMANENT,
    "invalid_base64_image": faults.Fault.REJECTED_PERMANENT,
    "invalid_image_url": faults.Fault.REJECTED_PERMANENT,
    "image_too_large": faults.Fault.TOO_LARGE,
    "image_too_small": faults.Fault.REJECTED_PERMANENT,
    "image_parse_error": faults.Fault.REJECTED_PERMANENT,
    "image_content_policy_violation": faults.Fault.REJECTED_PERMANENT,
    "invalid_image_mode": faults.Fault.REJECTED_PERMANENT,
    "image_file_too_large": faults.Fault.TOO_LARGE,
    "unsupported_image_media_type": faults.Fault.REJECTED_PERMANENT,
    "empty_image_file": faults.Fault.REJECTED_PERMANENT,
    "failed_to_download_image": faults.Fault.REJECTED_PERMANENT,
    "image_file_not_found": faults.Fault.REJECTED_PERMANENT,
    "invalid_json_line": faults.Fault.REJECTED_PERMANENT,
    "invalid_method": faults.Fault.REJECTED_PERMANENT,
    "invalid_url": faults.Fault.REJECTED_PERMANENT,
    "mismatched_model": faults.Fault.REJECTED_PERMANENT,
    "duplicate_custom_id": faults.Fault.REJECTED_PERMANENT,
    "empty_file": faults.Fault.REJECTED_PERMANENT,
    "too_many_tasks": faults.Fault.REJECTED_PERMANENT,
}


def fault_of(status: int, code: str) -> faults.Fault:
    """Name the fault of a refusal: by status and code, else by status."""
    return FAULTS.get((status, code)) or statuses.fault_of(status)


def job_fault_of(code: str) -> faults.Fault:
    """Name the fault of a job that has failed; ``unclassified`` for a code that no row names."""
    return JOB_FAULTS.get(code, faults.Fault.UNCLASSIFIED)
