"""Quote a provider's answer in a message without quoting a secret.

What an endpoint sends back is foreign material: it is cut short, freed of control characters, and rid of our
credential should it be echoed. This module judges nothing. Before it in the walk: an adapter that words a fault. After
it: the fault's message in journal, log and console.
"""

import re
from collections.abc import Iterable
from typing import Final

EXCERPT_CHARACTERS: Final = 300
_READ_BYTES_MAX: Final = 4_096
_HIDDEN: Final = "[secret]"
# Forms that credentials commonly have: a bearer token, our own keys, webhook secrets, signed query parameters.
_PATTERNS: Final = re.compile(
    r"(?i:(?:bearer|basic|key|token)\s+)[A-Za-z0-9._~+/=:\-]{8,}"
    r"|\b(?:hd_|whsec_|sk-|sk_|r8_|hf_)[A-Za-z0-9+/=_\-]{8,}"
    r"|(?i:[?&][^=\s&\"]*(?:signature|token|key|secret|credential)[^=\s&\"]*=)[^\s&\"]+"
)
_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")


def excerpt(body: bytes, *, secrets: Iterable[str | None] = ()) -> str:
    """Quote at most 300 characters of a body, one line, secrets hidden; say so when it is cut or empty."""
    if not body:
        return "(empty body)"
    text = redact(body[:_READ_BYTES_MAX].decode("utf-8", errors="replace"), secrets=secrets)
    text = _BLANK.sub(" ", text).strip()
    return text if len(text) <= EXCERPT_CHARACTERS else f"{text[:EXCERPT_CHARACTERS]}…"


def redact(text: str, *, secrets: Iterable[str | None] = ()) -> str:
    """Hide the given secrets and what looks like one."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, _HIDDEN)
    return _PATTERNS.sub(_HIDDEN, text)
