"""Make API keys, and tell whose a presented key is.

A key is ``hd_`` and 43 characters of base64url, 256 random bits. Only its sha256 is stored and looked up: the time a
lookup takes tells something about a hash, from which no key can be guessed (256 bits need no slow hash either). Answers
are remembered for at most ``REMEMBERED_S``, so a revoked key works that much longer and no more; refusals are not
remembered, so a new key works at once.
"""

import collections
import datetime
import hashlib
import re
import secrets
import threading
from collections.abc import Callable

from heddle.client.values import Problem
from heddle.ports import doors, records

PREFIX = "hd_"
SCOPES = frozenset({"read", "write", "admin"})
REMEMBERED_S = 5.0
REMEMBERED_MAX = 1_024
NAME_CHARACTERS_MAX = 200
_TENANT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}\Z")
_KEY = re.compile(r"hd_[A-Za-z0-9_-]{43}\Z")


def new_key() -> str:
    """Make a key. It is shown once and kept nowhere."""
    return PREFIX + secrets.token_urlsafe(32)


def key_hash(key: str) -> str:
    """Give the sha256 under which a key is kept."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_key(text: str) -> bool:
    """Tell whether a text has the form of a key."""
    return _KEY.match(text) is not None


def may(scopes: frozenset[str], scope: str) -> bool:
    """Tell whether scopes grant one: ``admin`` includes ``write``, which includes ``read``."""
    order = ("read", "write", "admin")
    return any(held in scopes for held in order[order.index(scope) :])


def problems(*, tenant: str, name: str, scopes: frozenset[str]) -> list[Problem]:
    """Name every field at fault of a new key."""
    found = []
    if not _TENANT.match(tenant):
        message = "must be 1 to 100 of a-z 0-9 _ . - and begin with one of a-z 0-9"
        found.append(Problem(field="tenant", message=message))
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX or not name.isprintable() or not name.strip():
        message = f"must be 1 to {NAME_CHARACTERS_MAX} printable characters, and not blank"
        found.append(Problem(field="name", message=message))
    if not scopes or not scopes <= SCOPES:
        found.append(Problem(field="scopes", message=f"must be some of {', '.join(sorted(SCOPES))}"))
    return found


class Keyring:
    """Find keys, remembering the found ones for a few seconds. Safe from any thread."""

    def __init__(
        self, doors: doors.Doors, *, monotonic_s: Callable[[], float], now: Callable[[], datetime.datetime]
    ) -> None:
        self._doors = doors
        self._monotonic_s = monotonic_s
        self._now = now
        self._lock = threading.Lock()
        self._remembered: collections.OrderedDict[str, tuple[float, records.ApiKeyView]] = collections.OrderedDict()

    def remembered(self, hashed: str) -> records.ApiKeyView | None:
        """Tell whose key this hash is of, without asking; None when it has to be asked."""
        with self._lock:
            found = self._remembered.get(hashed)
        return found[1] if found is not None and found[0] > self._monotonic_s() else None

    def find(self, hashed: str) -> records.ApiKeyView | None:
        """Tell whose key this hash is of; None when unknown, revoked or expired."""
        now_s = self._monotonic_s()
        with self._lock:
            remembered = self._remembered.get(hashed)
        if remembered is not None and remembered[0] > now_s:
            return remembered[1]
        found = self._doors.api_key(key_hash=hashed, now=self._now())
        with self._lock:
            if found is None:
                self._remembered.pop(hashed, None)
            else:
                self._remembered[hashed] = (now_s + REMEMBERED_S, found)
                self._remembered.move_to_end(hashed)
                while len(self._remembered) > REMEMBERED_MAX:
                    self._remembered.popitem(last=False)
        return found
