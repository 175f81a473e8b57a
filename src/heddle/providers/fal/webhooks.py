"""Verify fal's callbacks: Ed25519 under one of the keys that fal publishes.

The signed text is request id, user id, timestamp and the hex sha256 of the raw body, one a line. Keys are fetched when
the first callback comes, kept at most a day, and fetched again when none fits, since fal may have changed them; every
key is tried. This module is called inside the web process, so that a fetch is bounded in time and size, one at a time,
and not repeated soon after it failed: the callback is refused then, and the poll finds the result. Source:
fal.ai/docs/documentation/model-apis/inference/webhooks, read 2026-11-29. Before it in the walk: a callback's raw body
at the door. After it: the adapter's callback event.
"""

import base64
import binascii
import hashlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib import parse

from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric import ed25519

TOLERANCE_S: Final = 300.0
KEYS_KEPT_S: Final = 86_400.0  # fal: cache for at most 24 hours
KEYS_FRESH_S: Final = 60.0  # keys younger than this are not fetched again because none fits
RETRY_AFTER_S: Final = 15.0  # how soon after a failed fetch the next one is made
FETCH_TIMEOUT_S: Final = 3.0
KEYS_MAX: Final = 16
BODY_BYTES_MAX: Final = 65_536
_READ_BYTES: Final = 8_192
_NAMES: Final = ("request-id", "user-id", "timestamp", "signature")
_HEADER_CHARACTERS_MAX: Final = 256

Key = ed25519.Ed25519PublicKey
Fetch = Callable[[str], bytes]


class SignatureRefused(Exception):
    """Say why a callback is not believed. ``code``: missing, malformed, stale, mismatch, unavailable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class KeysUnavailable(Exception):
    """Say why the published keys could not be had."""


def verify(*, keys: "KeySet", headers: Mapping[str, str], body: bytes, now_s: float) -> str:
    """Verify a raw body and give the id that the callback was signed under.

    Header names are lower case. now_s: seconds since 1970. Raises SignatureRefused.
    """
    given = [headers.get(f"x-fal-webhook-{name}", "") for name in _NAMES]
    if not all(given):
        raise SignatureRefused(
            "missing", "a callback carries X-Fal-Webhook-Request-Id, -User-Id, -Timestamp, -Signature"
        )
    if any(len(text) > _HEADER_CHARACTERS_MAX or not text.isascii() or not text.isprintable() for text in given):
        raise SignatureRefused("malformed", "a header of the callback is too long or no printable ASCII")
    request_id, user_id, timestamp, signature_hex = given
    if not timestamp.isdigit() or abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise SignatureRefused("stale", f"X-Fal-Webhook-Timestamp is not within {TOLERANCE_S:g} s of our clock")
    try:
        signature = binascii.unhexlify(signature_hex)
    except ValueError:
        raise SignatureRefused("malformed", "X-Fal-Webhook-Signature is not hexadecimal") from None
    message = signed_text(request_id=request_id, user_id=user_id, timestamp=timestamp, body=body)
    try:
        is_signed = keys.has_signed(message, signature)
    except KeysUnavailable as error:
        raise SignatureRefused("unavailable", f"fal's keys could not be had: {error}") from None
    if not is_signed:
        raise SignatureRefused("mismatch", "no key of fal's fits the callback's signature")
    return request_id


def signed_text(*, request_id: str, user_id: str, timestamp: str, body: bytes) -> bytes:
    """Give the bytes that a callback's signature is made over."""
    return "\n".join((request_id, user_id, timestamp, hashlib.sha256(body).hexdigest())).encode()


def read_keys(body: bytes) -> tuple[Key, ...]:
    """Read a set of keys (RFC 7517, RFC 8037); keys of other kinds are passed over. Raises KeysUnavailable."""
    try:
        entries = json.loads(body.decode("utf-8"))["keys"]
        found = [
            Key.from_public_bytes(base64.urlsafe_b64decode(entry["x"] + "=" * (-len(entry["x"]) % 4)))
            for entry in entries[:KEYS_MAX]
            if entry.get("kty") == "OKP" and entry.get("crv") == "Ed25519"
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise KeysUnavailable(f"the answer is no set of keys ({type(error).__name__})") from None
    if not found:
        raise KeysUnavailable("the set holds no Ed25519 key")
    return tuple(found)


class KeySet:
    """Keep the keys of one address. Threads that find them missing wait for the one that fetches."""

    def __init__(
        self, url: str, *, fetch: Fetch | None = None, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._fetch = fetch or fetch_keys
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._keys: tuple[Key, ...] = ()
        self._fetched_at_s = 0.0
        self._failed_at_s: float | None = None

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Tell whether one of the keys has signed a message. Raises KeysUnavailable."""
        if _is_signed(self._known(fresh_s=KEYS_KEPT_S), message, signature):
            return True
        return _is_signed(self._known(fresh_s=KEYS_FRESH_S), message, signature)

    def _known(self, *, fresh_s: float) -> tuple[Key, ...]:
        """Give the keys, fetched at most ``fresh_s`` ago if they can be had."""
        with self._lock:
            now_s = self._monotonic_s()
            age_s = now_s - self._fetched_at_s
            if self._keys and age_s <= fresh_s:
                return self._keys
            if self._failed_at_s is None or now_s - self._failed_at_s >= RETRY_AFTER_S:
                try:
                    self._keys = read_keys(self._fetch(self._url))
                    self._fetched_at_s, self._failed_at_s = now_s, None
                    return self._keys
                except KeysUnavailable:
                    self._failed_at_s = now_s
                    if not self._keys or age_s > KEYS_KEPT_S:
                        raise
            if self._keys and age_s <= KEYS_KEPT_S:
                return self._keys
            raise KeysUnavailable(f"the last try was less than {RETRY_AFTER_S:g} s ago")


def fetch_keys(url: str) -> bytes:
    """Ask for a set of keys: one request, no redirect, no proxy. Raises KeysUnavailable."""
    parts = parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=FETCH_TIMEOUT_S)
    until_s = time.monotonic() + FETCH_TIMEOUT_S
    try:
        connection.request("GET", parts.path or "/", headers={"Accept": "application/json", "User-Agent": "heddle"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise KeysUnavailable(f"{parts.hostname} answered {answer.status}")
        body = bytearray()
        while piece := answer.read1(_READ_BYTES):
            body += piece
            if len(body) > BODY_BYTES_MAX or time.monotonic() > until_s:
                raise KeysUnavailable(f"{parts.hostname} answered too much or too slowly")
        return bytes(body)
    except (OSError, http.client.HTTPException) as error:
        raise KeysUnavailable(f"{parts.hostname}: {type(error).__name__}: {error}") from None
    finally:
        connection.close()


def _is_signed(keys: tuple[Key, ...], message: bytes, signature: bytes) -> bool:
    for key in keys:
        try:
            key.verify(signature, message)
        except exceptions.InvalidSignature:
            continue
        return True
    return False
