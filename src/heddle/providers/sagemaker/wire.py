"""Write and read the wire form of SageMaker's runtime, and of the S3 objects where asynchronous jobs end.

Pure: values in, values out. Where a job's output lies is known before it is invoked: the endpoint's output path, then
`heddle/<attempt>/output`, which SageMaker is told in two headers. So a job whose invocation was never answered can be
looked for. Sources: botocore 1.44.8, model `sagemaker-runtime`; docs.aws.amazon.com/sagemaker, "Asynchronous
inference", read 2026-11-29. Before it: the adapter with a request. After it: the transport, and back the adapter.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Final
from urllib import parse

from heddle.core import identity
from heddle.providers import json_wire
from heddle.providers.sagemaker import signing

REALTIME_BYTES_MAX: Final = 6_291_456
INLINE_BYTES_MAX: Final = 128_000  # of an asynchronous request; larger ones go by way of S3
RUN_MOST_S: Final = 3_600
WAIT_LEAST_S: Final = 60
WAIT_MOST_S: Final = 21_600
FILE_NAME: Final = "output"
_HANDLE_CHARACTERS_MAX: Final = 4_096
_INFERENCE_ID_MAX: Final = 64
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]\Z")


class WireRefused(ValueError):
    """Say why a location, a handle or an answer is not one of SageMaker's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Hold one place in S3: an object, or a path that objects lie under."""

    bucket: str
    key: str

    def under(self, name: str) -> "Place":
        """Give a place below this one."""
        return Place(bucket=self.bucket, key=f"{self.key.rstrip('/')}/{name}".lstrip("/"))

    def url(self, s3_url: str) -> str:
        """Give the object's address, in path style."""
        return f"{s3_url}/{self.bucket}/{self.key}"

    def __str__(self) -> str:
        """Give the form ``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Hold where a job writes its output and its failure."""

    output: Place
    failure: Place

    def as_handle(self) -> str:
        """Give the text by which the job is found again in another process."""
        value = {"failure": str(self.failure), "output": str(self.output)}
        return json.dumps(value, separators=(",", ":"), sort_keys=True)


def read_place(text: str) -> Place:
    """Read ``s3://bucket/key``. Raises WireRefused, also for keys that an address would write in two ways."""
    scheme, _, rest = text.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not _BUCKET.match(bucket):
        raise WireRefused(f"{text[:120]!r} is not of the form s3://bucket/path")
    if not set(key) <= signing.PLAIN_PATH or any(part in ("", ".", "..") for part in key.rstrip("/").split("/")[:-1]):
        raise WireRefused(f"{text[:120]!r} has a path with other characters than letters, digits, - . _ ~ and single /")
    return Place(bucket=bucket, key=key)


def attempt_name(attempt_id: str) -> str:
    """Give the name of an attempt that SageMaker takes as an inference id and S3 as part of a path."""
    is_plain = len(attempt_id) <= _INFERENCE_ID_MAX and set(attempt_id) <= signing.PLAIN_PATH - {"/", "~"}
    return attempt_id if is_plain and attempt_id else hashlib.sha256(attempt_id.encode()).hexdigest()


def expected_job(attempt_id: str, *, output_path: Place, failure_path: Place) -> Job:
    """Give where a job of an attempt will end."""
    inner = f"{extension(attempt_id)}/{FILE_NAME}"
    return Job(output=output_path.under(inner), failure=failure_path.under(inner))


def extension(attempt_id: str) -> str:
    """Give what an attempt appends to the endpoint's output path."""
    return f"heddle/{attempt_name(attempt_id)}"


def job_headers(attempt_id: str, *, allowed_s: float) -> dict[str, str]:
    """Give the headers of an asynchronous invocation: its name, where it ends, how long it may wait and run."""
    return {
        "X-Amzn-SageMaker-Inference-Id": attempt_name(attempt_id),
        "X-Amzn-SageMaker-S3OutputPathExtension": extension(attempt_id),
        "X-Amzn-SageMaker-Filename": FILE_NAME,
        "X-Amzn-SageMaker-RequestTTLSeconds": str(wait_s(allowed_s)),
        "X-Amzn-SageMaker-InvocationTimeoutSeconds": str(run_s(allowed_s)),
    }


def wait_s(allowed_s: float) -> int:
    """Give how long a job may wait in SageMaker's queue."""
    return min(max(math.ceil(allowed_s), WAIT_LEAST_S), WAIT_MOST_S)


def run_s(allowed_s: float) -> int:
    """Give how long a job may run."""
    return min(max(math.ceil(allowed_s), 1), RUN_MOST_S)


def read_accepted(headers: Mapping[str, str], *, expected: Job) -> Job:
    """Read where an accepted job will end. SageMaker's word counts where it is readable, else what we asked for."""
    return Job(
        output=_place_or(headers.get("x-amzn-sagemaker-outputlocation", ""), expected.output),
        failure=_place_or(headers.get("x-amzn-sagemaker-failurelocation", ""), expected.failure),
    )


def read_handle(handle: str, *, buckets: frozenset[str]) -> Job:
    """Read a handle. Raises WireRefused for one that leads to a bucket other than the endpoint's."""
    try:
        value = json_wire.parse_json(handle[:_HANDLE_CHARACTERS_MAX].encode())
    except json_wire.WireRefused as error:
        raise WireRefused(f"the handle {error}") from None
    if not isinstance(value, dict):
        raise WireRefused("the handle is no object")
    job = Job(output=read_place(str(value.get("output"))), failure=read_place(str(value.get("failure"))))
    if not {job.output.bucket, job.failure.bucket} <= buckets:
        raise WireRefused("the handle leads to another bucket than output_path and failure_path")
    return job


def read_error_type(headers: Mapping[str, str], body: bytes) -> str:
    """Read the type of an AWS error: from the header, else from ``__type``; empty when there is none."""
    named = headers.get("x-amzn-errortype", "")
    if not named:
        value = _object_or_nothing(body)
        found = value.get("__type", value.get("code", ""))
        named = found if isinstance(found, str) else ""
    return named.split(":", 1)[0].rsplit("#", 1)[-1][:100]


def read_original_status(body: bytes) -> int | None:
    """Read what the model's container answered, of a ModelError."""
    status = _object_or_nothing(body).get("OriginalStatusCode")
    return status if type(status) is int else None


def _place_or(text: str, expected: Place) -> Place:
    """Read a location; that of the expected job when it is none or lies in another bucket."""
    try:
        place = read_place(parse.unquote(text))
    except WireRefused:
        return expected
    return place if place.bucket == expected.bucket else expected


def _object_or_nothing(body: bytes) -> Mapping[str, identity.JsonValue]:
    try:
        value = json_wire.parse_json(body)
    except json_wire.WireRefused:
        return {}
    return value if isinstance(value, dict) else {}


def has_inference_id(body: bytes) -> bool:
    """Tell whether a body is that of an accepted asynchronous invocation."""
    return isinstance(_object_or_nothing(body).get("InferenceId"), str)
