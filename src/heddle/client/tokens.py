"""Make and check the token in the address that a provider calls back.

A token names one attempt and proves that we made it: ``<attempt id>.<HMAC-SHA256 of it, hex>``. It is a bearer secret:
logs redact it. This module refuses to say anything about the callback's body; the endpoint's adapter verifies that
next.
"""

import hashlib
import hmac

from heddle.core import ids

_PURPOSE = b"heddle.callback\x1f"
"""Keeps a signature made here from being of use anywhere else under the same key."""
TOKEN_CHARACTERS_MAX = 200


class TokenRefused(Exception):
    """Say that a callback's address was not made by us."""


def callback_token(*, secret_key: str, attempt_id: ids.AttemptId) -> str:
    """Make the token of one attempt. A second call gives the same token. Raises ValueError without a key."""
    return f"{attempt_id}.{_signature(secret_key, str(attempt_id))}"


def read_callback_token(*, secret_key: str, token: str) -> ids.AttemptId:
    """Give the attempt a token was made for, compared in constant time. Raises TokenRefused."""
    named, _, signature = token[:TOKEN_CHARACTERS_MAX].rpartition(".")
    expected = _signature(secret_key, named)
    if not hmac.compare_digest(signature.encode(errors="replace"), expected.encode()):
        raise TokenRefused("the token in the address was not signed by this installation")
    try:
        return ids.AttemptId.parse(named)
    except ValueError as error:
        raise TokenRefused("the token in the address names no attempt") from error


def _signature(secret_key: str, text: str) -> str:
    if not secret_key:
        raise ValueError("HEDDLE_SECRET_KEY is empty; callback tokens cannot be signed without it")
    return hmac.new(secret_key.encode(), _PURPOSE + text.encode(errors="replace"), hashlib.sha256).hexdigest()
