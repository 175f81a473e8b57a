"""Read what an answer's headers tell of the provider's limits, in the forms that providers use.

Four dialects: ``x-ratelimit-*`` with durations such as ``6m0s`` (OpenAI and those who speak like it),
``anthropic-ratelimit-*`` with RFC 3339 instants, the IETF draft's ``RateLimit`` and ``RateLimit-Policy``, and its
older ``RateLimit-Limit``, ``-Remaining`` and ``-Reset`` (RELIABILITY 3, S32 to S34). Headers are a stranger's words:
lengths are bounded, what is no number is counted as refused, and nothing here raises. What may be believed of a number
is decided by ``core.policy.told``. Before it: an adapter with an answer in hand. After it: the outcome's ``told``.
"""

import datetime as dt
import math
import re
from collections.abc import Mapping
from typing import Final

from heddle.core.policy import told
from heddle.providers import statuses

VALUE_CHARS_MAX: Final = 256
"""Longest header value looked at."""

POLICIES_MAX: Final = 8
"""Most items of a ``RateLimit`` list looked at."""

_DIMENSIONS: Final[Mapping[str, told.Dimension]] = {
    "requests": told.Dimension.REQUESTS,
    "tokens": told.Dimension.TOKENS,
    "images": told.Dimension.IMAGES,
}
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}\Z")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?\Z")
# Go's time.Duration.String: "1.5s", "6m0s", "1h0m0.25s", "20ms"; days are written by some who imitate it.
_DURATION: Final = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|us|µs|ns|d|h|m|s))+\Z")
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|d|h|m|s)")
_SECONDS: Final[Mapping[str, float]] = {
    "d": 86_400.0,
    "h": 3_600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
# One item of the draft's lists: a name as a string or token, then parameters.
_ITEM: Final = re.compile(
    r'\s*("(?:[^"\\]|\\.)*"|[A-Za-z*][A-Za-z0-9_\-.:*/]*)((?:\s*;\s*[a-z*][a-z0-9_\-.*]*=[^,;]*)*)\s*\Z'
)
_MINUTE_S: Final = 60.0


def read(
    headers: Mapping[str, str], *, now_s: float, tokens: int | None = None, images: int | None = None
) -> told.Told:
    """Read the headers of one answer.

    headers: lower-case names. now_s: seconds since 1970, for headers that name instants. tokens, images: what the
    adapter found in the body about usage. Never raises.
    """
    retry_after_s = statuses.retry_after_s(headers, now_s=now_s)
    # Most answers say nothing; this runs once for each of them.
    if not any("ratelimit" in name for name in headers):
        return told.Told(tokens=tokens, images=images, retry_after_s=retry_after_s)
    reader = _Reader(headers, now_s=now_s)
    reports: list[told.Report] = []
    for name, dimension in _DIMENSIONS.items():
        reports.extend(reader.report(dimension, f"x-ratelimit-{{}}-{name}"))
        reports.extend(reader.report(dimension, f"anthropic-ratelimit-{name}-{{}}"))
    if not any(report.dimension is told.Dimension.TOKENS for report in reports):
        # Some accounts are told of tokens in and out apart; our estimate is of both together, so the input's counts.
        reports.extend(reader.report(told.Dimension.TOKENS, "anthropic-ratelimit-input-tokens-{}"))
    reports.extend(_draft(reader))
    if not any(report.dimension is told.Dimension.REQUESTS for report in reports):
        reports.extend(reader.report(told.Dimension.REQUESTS, "ratelimit-{}"))
    return told.Told(
        reports=tuple(reports),
        tokens=tokens,
        images=images,
        retry_after_s=retry_after_s,
        refused=reader.refused,
    )


class _Reader:
    """Look up headers and count those that say nothing."""

    def __init__(self, headers: Mapping[str, str], *, now_s: float) -> None:
        self._headers = headers
        self._now_s = now_s
        self.refused = 0

    def report(self, dimension: told.Dimension, form: str) -> list[told.Report]:
        """Read limit, remaining and reset under names of one form; an empty list when neither number is there."""
        limit, remaining = self._whole(form.format("limit")), self._whole(form.format("remaining"))
        reset_s = self._reset_s(form.format("reset"))
        if limit is None and remaining is None:
            return []
        return [told.Report(dimension=dimension, limit_per_min=limit, remaining=remaining, reset_s=reset_s)]

    def text(self, name: str) -> str | None:
        """Give a header's text; None when it is absent, empty or too long."""
        value = self._headers.get(name, "").strip()
        if len(value) > VALUE_CHARS_MAX:
            self.refused += 1
            return None
        return value or None

    def _whole(self, name: str) -> int | None:
        text = self.text(name)
        if text is None:
            return None
        # The older draft allows "100, 100;w=60": the first number is the limit that is closest.
        first = re.split(r"[,;]", text, maxsplit=1)[0].strip()
        if _WHOLE.match(first):
            return int(first)
        self.refused += 1
        return None

    def _reset_s(self, name: str) -> float | None:
        text = self.text(name)
        if text is None:
            return None
        seconds = _seconds_of(text, now_s=self._now_s)
        if seconds is None:
            self.refused += 1
        return seconds


def _seconds_of(text: str, *, now_s: float) -> float | None:
    """Read seconds, a duration in Go's form, or an instant (RFC 3339, or seconds since 1970) as seconds from now."""
    if _DECIMAL.match(text):
        seconds = float(text)
        # No reset is ten years away; so many seconds are an instant.
        return seconds - now_s if seconds > 315_360_000 else seconds
    if _DURATION.match(text):
        return math.fsum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    try:
        moment = dt.datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)).timestamp() - now_s
    except (ValueError, OverflowError):
        return None


def _draft(reader: _Reader) -> list[told.Report]:
    """Read ``RateLimit-Policy: "burst";q=100;w=60`` and ``RateLimit: "burst";r=50;t=30``.

    Quotas are brought to a minute; policies on other units than requests are left out.
    """
    policies = _items(reader, "ratelimit-policy")
    states = _items(reader, "ratelimit")
    reports = []
    for name in list(dict.fromkeys([*policies, *states])):
        policy, state = policies.get(name, {}), states.get(name, {})
        if policy.get("qu", "requests").strip('"') != "requests":
            continue
        quota, window_s = _number(policy.get("q")), _number(policy.get("w"))
        limit = None if quota is None else math.ceil(quota * _MINUTE_S / window_s) if window_s else int(quota)
        remaining = _number(state.get("r"))
        if limit is None and remaining is None:
            reader.refused += 1
            continue
        reports.append(
            told.Report(
                dimension=told.Dimension.REQUESTS,
                limit_per_min=limit,
                remaining=None if remaining is None else int(remaining),
                reset_s=_number(state.get("t")),
            )
        )
    return reports


def _items(reader: _Reader, name: str) -> dict[str, dict[str, str]]:
    text = reader.text(name)
    if text is None:
        return {}
    found: dict[str, dict[str, str]] = {}
    for item in text.split(",")[:POLICIES_MAX]:
        match = _ITEM.match(item)
        if match is None:
            reader.refused += 1
            continue
        pairs = (part.partition("=") for part in match[2].split(";") if "=" in part)
        found[match[1].strip('"')] = {key.strip(): value.strip() for key, _, value in pairs}
    return found


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _DECIMAL.match(text) else None
