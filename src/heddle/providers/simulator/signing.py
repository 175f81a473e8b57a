"""Signs and checks callbacks as Standard Webhooks prescribes (standardwebhooks.com specification 1.0.0).

Signature: HMAC-SHA256 over `{id}.{timestamp}.{body}` under the base64 secret behind `whsec_`, written `v1,<base64>`.
Pure functions; no clock, no I/O. `callbacks` signs with it.
"""

import base64
import binascii
import hashlib
import hmac

SECRET_PREFIX = "whsec_"  # noqa: S105  a mark in front of secrets, not one
SECRET_SIZE_MIN_BYTES = 24
SECRET_SIZE_MAX_BYTES = 64


def parse_secret(text: str) -> bytes:
    """Decode a `whsec_…` secret. Raises ValueError unless it is base64 of 24 to 64 bytes."""
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("The webhook secret is not base64 behind `whsec_`.") from error
    if not text.startswith(SECRET_PREFIX) or not SECRET_SIZE_MIN_BYTES <= len(secret) <= SECRET_SIZE_MAX_BYTES:
        raise ValueError("The webhook secret must be `whsec_` and base64 of 24 to 64 bytes.")
    return secret


def sign(*, secret: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    """Compute the value of the `webhook-signature` header."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def headers(*, secret: bytes, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Build all headers of a signed callback."""
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(secret=secret, message_id=message_id, timestamp_s=timestamp_s, body=body),
    }
