"""Check the signature of a request to AWS (Signature Version 4) with nothing but the standard library.

Written after docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html (read 2026-11-29) and
not after botocore, so that a request which botocore signed is checked by a second reading of the rules. Pure. Before
it: ``twin`` with a request. After it: the answer, or 403.
"""

import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib import parse

CLOCK_SKEW_MAX_S: Final = 900.0  # AWS refuses requests signed more than 15 minutes from its clock
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_CREDENTIAL: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([A-Z0-9]{1,128})/([0-9]{8})/([a-z0-9\-]{1,40})/([a-z0-9\-]{1,40})/aws4_request, "
    r"SignedHeaders=([a-z0-9;\-]{1,2000}), Signature=([0-9a-f]{64})\Z"
)


class SignatureRefused(Exception):
    """Say why a request is not believed; ``code`` is AWS's own word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def verify(
    *,
    method: str,
    raw_path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    access_key: str,
    secret_key: str,
    now_s: float,
) -> str:
    """Verify a request and name the service it was signed for.

    raw_path, query: as they stood on the wire. headers: lower-case names. Raises SignatureRefused.
    """
    match = _CREDENTIAL.match(headers.get("authorization", ""))
    if match is None:
        raise SignatureRefused("MissingAuthenticationTokenException", "Missing Authentication Token")
    given_key, day, region, service, names, signature = match.groups()
    stamp = headers.get("x-amz-date", "")
    if given_key != access_key:
        raise SignatureRefused("UnrecognizedClientException", "The security token included in the request is invalid.")
    if not stamp.startswith(day) or not _is_fresh(stamp, now_s=now_s):
        raise SignatureRefused("InvalidSignatureException", f"Signature expired: {stamp[:20]}")
    signed = names.split(";")
    if "host" not in signed or any(name.startswith("x-amz") and name not in signed for name in headers):
        raise SignatureRefused("InvalidSignatureException", "host and every x-amz header must be signed")
    payload = _payload(headers, body, is_storage=service == "s3")
    canonical = "\n".join(
        (
            method,
            _canonical_path(raw_path, is_storage=service == "s3"),
            _canonical_query(query),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed),
            "",
            names,
            payload,
        )
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    to_sign = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    expected = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, signature):
        raise SignatureRefused(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
        )
    return service


def _payload(headers: Mapping[str, str], body: bytes, *, is_storage: bool) -> str:
    """Give the hash that the signature covers; what the header states must be the body's."""
    actual = hashlib.sha256(body).hexdigest()
    stated = headers.get("x-amz-content-sha256", "" if is_storage else actual)
    if stated not in (actual, UNSIGNED):
        raise SignatureRefused("XAmzContentSHA256Mismatch", "x-amz-content-sha256 does not match what was computed.")
    return stated


def _canonical_path(raw_path: str, *, is_storage: bool) -> str:
    """Encode each segment once more, but for S3, which signs the path as it stands."""
    return raw_path if is_storage else parse.quote(raw_path, safe="/~-._")


def _canonical_query(query: str) -> str:
    pairs = sorted(part.partition("=")[::2] for part in query.split("&") if part)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _is_fresh(stamp: str, *, now_s: float) -> bool:
    try:
        moment = dt.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    except ValueError:
        return False
    return abs(moment.timestamp() - now_s) <= CLOCK_SKEW_MAX_S
