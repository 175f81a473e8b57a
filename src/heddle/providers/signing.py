"""Sign and verify webhooks by the Standard Webhooks scheme.

One signer and one verifier serve every provider that uses the scheme and our own outgoing webhooks (WIRE.md 8.13).
This module reads no clock and sends nothing: the time is handed in. Before it in the walk: a callback's raw body at
the door. After it: the adapter's callback event. Source: https://github.com/standard-webhooks/standard-webhooks,
spec/standard-webhooks.md.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

TOLERANCE_S: Final = 300.0  # the reference implementations' WEBHOOK_TOLERANCE_IN_SECONDS, in both directions
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the public prefix of every secret of the scheme
SECRET_BYTES_MIN: Final = 24  # the specification asks for 24 to 64 bytes
SIGNATURES_MAX: Final = 16
_ID_CHARACTERS_MAX: Final = 256
_TIMESTAMP_DIGITS_MAX: Final = 12


class SecretMalformed(ValueError):
    """Say that a signing secret is not of the scheme's form; the secret itself is never in the message."""


class SignatureRefused(Exception):
    """Say why a signature is not believed. ``code``: missing, malformed, stale, mismatch."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def sign(*, secret: str, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Give the three headers that go with a webhook's raw body.

    message_id stays the same when the same webhook is sent again; timestamp_s is the time of this sending. Raises
    SecretMalformed.
    """
    signature = base64.b64encode(_digest(secret=secret, message_id=message_id, timestamp=str(timestamp_s), body=body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": f"v1,{signature.decode()}",
    }


def sign_with_all(*, secrets: Sequence[str], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Give the headers with one signature for each secret, at most 16, as during a rotation. Raises SecretMalformed."""
    if not secrets:
        raise SecretMalformed("nothing is sent without a signature, and there is no secret to sign with")
    signed = [
        sign(secret=secret, message_id=message_id, timestamp_s=timestamp_s, body=body)
        for secret in secrets[:SIGNATURES_MAX]
    ]
    return {**signed[0], "webhook-signature": " ".join(each["webhook-signature"] for each in signed)}


def verify(*, secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> str:
    """Verify a raw body in constant time and give the webhook's id.

    Header names are lower case. During a rotation several signatures may be given; one that fits is enough, and
    versions other than v1 are passed over. Raises SignatureRefused, or SecretMalformed.
    """
    message_id, timestamp, given = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not message_id or not timestamp or not given:
        raise SignatureRefused("missing", "a callback carries webhook-id, webhook-timestamp and webhook-signature")
    if len(message_id) > _ID_CHARACTERS_MAX or not message_id.isprintable() or not message_id.isascii():
        raise SignatureRefused("malformed", "webhook-id is 1 to 256 printable ASCII characters")
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > _TIMESTAMP_DIGITS_MAX:
        raise SignatureRefused("malformed", "webhook-timestamp is a whole number of seconds since 1970")
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise SignatureRefused("stale", f"webhook-timestamp is more than {TOLERANCE_S:g} s from our clock")
    expected = _digest(secret=secret, message_id=message_id, timestamp=timestamp, body=body)
    if not _is_any_equal(expected, given):
        raise SignatureRefused("mismatch", "no signature of the callback fits its body and our secret")
    return message_id


def key(secret: str) -> bytes:
    """Decode a secret of the form ``whsec_<base64>``; the prefix may be left out. Raises SecretMalformed."""
    try:
        decoded = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) < SECRET_BYTES_MIN:
        raise SecretMalformed(f"a webhook secret is whsec_ and the base64 of at least {SECRET_BYTES_MIN} bytes")
    return decoded


def _digest(*, secret: str, message_id: str, timestamp: str, body: bytes) -> bytes:
    content = f"{message_id}.{timestamp}.".encode() + body
    return hmac.new(key(secret), content, hashlib.sha256).digest()


def _is_any_equal(expected: bytes, given: str) -> bool:
    """Compare with every signature, without stopping at the first that fits."""
    is_found = False
    for entry in given.split(" ")[:SIGNATURES_MAX]:
        version, _, text = entry.partition(",")
        if version != "v1":
            continue
        try:
            candidate = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            continue
        is_found |= hmac.compare_digest(expected, candidate)
    return is_found
