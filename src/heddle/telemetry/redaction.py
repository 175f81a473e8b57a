"""Take secrets out of what is about to be written, by the name of the key and by the shape of the value.

Every line passes through here last, tracebacks included. It also bounds what one line may hold. Redaction is the second
fence: secrets are kept out of messages where they are made. It changes values for writing only, never the objects it is
given. Before it: ``logs``. After: the line.
"""

import functools
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

REDACTED: Final = "[redacted]"
TEXT_CHARS_MAX: Final = 16_384
ITEMS_MAX: Final = 100
DEPTH_MAX: Final = 6

SECRET_WORDS: Final = frozenset(
    {
        "apikey",
        "authorization",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "passphrase",
        "passwd",
        "password",
        "secret",
        "secrets",
        "signature",
        "signatures",
        "token",
    }
)
"""A key that has one of these among its words holds a secret: ``callback_token`` does, ``max_tokens`` does not."""
SECRET_PAIRS: Final = frozenset({("api", "key"), ("private", "key"), ("access", "key"), ("signing", "key")})

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_QUERY_NAMES: Final = (
    r"(?:x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|awsaccesskeyid|googleaccessid"
    r"|(?:[a-z0-9_.-]{0,40}[_.-])?(?:signature|sig|token|secret|password|passwd|api[_-]?key|apikey|key))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Describe how one kind of secret looks: what a text must contain to have it, and what stays of it."""

    needles: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str


# The needles are lowercase and are looked for first, since nearly every text has none and a search for text is twenty
# times cheaper than one for a pattern. Every repetition is bounded or over one character class, so a hostile line
# cannot make the search slow.
SHAPES: Final = (
    Shape(
        needles=("bearer", "basic"),
        pattern=re.compile(r"\b(bearer|basic)\s{1,4}[A-Za-z0-9+/=._~-]{4,}", re.IGNORECASE),
        replacement=rf"\1 {REDACTED}",
    ),
    Shape(
        needles=("hd_", "whsec_", "whsk_", "sk-", "r8_", "ghp_", "xox", "hf_", "rpa_", "aiza", "ya29."),
        pattern=re.compile(r"\b(hd_|whsec_|whsk_|sk-|r8_|ghp_|xox[abp]-|hf_|rpa_|AIza|ya29\.)[A-Za-z0-9_+/=.-]{6,}"),
        replacement=rf"\1{REDACTED}",
    ),
    Shape(
        needles=("akia", "asia"),
        pattern=re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
        replacement=rf"\1{REDACTED}",
    ),
    Shape(
        needles=("://",),
        pattern=re.compile(r"(://)[^/\s?#'\"]{0,1024}@"),
        replacement=rf"\1{REDACTED}@",
    ),
    Shape(
        needles=("=",),
        pattern=re.compile(rf"([?&;]{_QUERY_NAMES}=)[^&\s;#'\"<>]+", re.IGNORECASE),
        replacement=rf"\1{REDACTED}",
    ),
    Shape(
        needles=("/callbacks/",),
        pattern=re.compile(r"(/callbacks/[^/\s]{1,200}/)[^/\s?#'\"]+"),
        replacement=rf"\1{REDACTED}",
    ),
    Shape(
        needles=("private key-----",),
        # As in a service account's file, whose line ends are written as \\n.
        pattern=re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)[A-Za-z0-9+/=\s\\]{8,}"),
        replacement=rf"\1{REDACTED}",
    ),
    Shape(
        needles=("eyj",),
        pattern=re.compile(r"\b(eyJ)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
        replacement=rf"\1{REDACTED}",
    ),
    Shape(
        needles=("authorization", "api_key", "api-key", "apikey", "passw", "secret", "token", "signature", "cookie"),
        pattern=re.compile(
            r"((?:authorization|api[_-]?key|password|passwd|secret|token|signature|cookie)['\"]?\s{0,4}[:=]\s{0,4}['\"]?"
            r"(?:(?:key|token)\s{1,4})?)"  # the schemes of fal and of older Replicate clients
            r"(?!\[redacted\]|bearer|basic)[^\s'\",;&}\])]{4,}",
            re.IGNORECASE,
        ),
        replacement=rf"\1{REDACTED}",
    ),
)


@functools.lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Tell whether a key of this name holds a secret, in snake, kebab or camel case."""
    words = [word.lower() for word in _WORD.findall(name)]
    return not SECRET_WORDS.isdisjoint(words) or not SECRET_PAIRS.isdisjoint(itertools.pairwise(words))


def redact_text(text: str) -> str:
    """Replace the secrets in a text and shorten it to ``TEXT_CHARS_MAX``, keeping its beginning and its end."""
    # Cut wide, redact, cut to size: a secret that a cut went through is no longer known as one, and lies in what the
    # second cut drops.
    text = _shortened(text, 4 * TEXT_CHARS_MAX)
    lowered = text.lower()
    for shape in SHAPES:
        if any(needle in lowered for needle in shape.needles):
            text = shape.pattern.sub(shape.replacement, text)
    return _shortened(text, TEXT_CHARS_MAX)


def _shortened(text: str, chars_max: int) -> str:
    if len(text) <= chars_max:
        return text
    half = chars_max // 2
    return f"{text[:half]} [{len(text) - 2 * half} characters left out] {text[-half:]}"


def redact(value: object, *, depth: int = 0) -> object:
    """Give a copy made of plain JSON types, without secrets, at most ``DEPTH_MAX`` deep and ``ITEMS_MAX`` wide.

    Numbers under a secret name stay when they count (``token: 12``), anything else under it goes. Objects are written
    by ``str``.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        # JSON has no infinity and no NaN.
        return value if -float("inf") < value < float("inf") else str(value)
    if isinstance(value, str):
        return redact_text(str.__str__(value))
    if depth >= DEPTH_MAX:
        return "[too deep]"
    if isinstance(value, Mapping):
        return _redact_mapping(value, depth)
    if isinstance(value, list | tuple | set | frozenset):
        items = list(value)
        kept = [redact(item, depth=depth + 1) for item in items[:ITEMS_MAX]]
        return [*kept, f"[{len(items) - ITEMS_MAX} left out]"] if len(items) > ITEMS_MAX else kept
    if isinstance(value, bytes | bytearray | memoryview):
        # Bytes are never worth a line and cannot be searched for secrets.
        return f"[{len(value)} bytes]"
    return redact_text(_text_of(value))


def _redact_mapping(value: Mapping[object, object], depth: int) -> dict[str, object]:
    kept: dict[str, object] = {}
    for key, item in value.items():
        if len(kept) == ITEMS_MAX:
            kept["[left out]"] = len(value) - ITEMS_MAX
            break
        name = str(key)
        is_count = item is None or isinstance(item, int | float)
        kept[redact_text(name)] = REDACTED if is_secret_name(name) and not is_count else redact(item, depth=depth + 1)
    return kept


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a value that cannot be written must not lose the line it is in
        return f"[{type(value).__name__} that cannot be written: {type(error).__name__}]"
