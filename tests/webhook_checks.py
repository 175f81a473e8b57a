"""Check webhooks as a receiver does, from the Standard Webhooks specification alone; nothing of ours is imported.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme".
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping

TOLERANCE_S = 300


def is_signed(*, secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
    """Tell whether one of the signatures fits the raw body, the id and a timestamp of these five minutes."""
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = given["webhook-id"], given["webhook-timestamp"]
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        return False
    scheme, _, encoded = secret.partition("_")
    assert scheme == "whsec"
    signed = b".".join([message_id.encode(), timestamp.encode(), body])
    expected = base64.b64encode(hmac.digest(base64.b64decode(encoded), signed, hashlib.sha256)).decode()
    versions = [entry.split(",", 1) for entry in given["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(found, expected) for version, found in versions)
