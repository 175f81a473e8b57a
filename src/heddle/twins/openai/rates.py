"""Count requests and tokens against the account's limits, and say how much is left, in the vendor's headers.

Two buckets that fill all the time, as the vendor's do: requests a minute and tokens a minute. Before it: the twin's
paid routes. After it: the headers ``x-ratelimit-*``, or a 429.
"""

from dataclasses import dataclass
from typing import Final

REQUESTS_PER_MIN: Final = 10_000
TOKENS_PER_MIN: Final = 10_000_000
_MINUTE_S: Final = 60.0


@dataclass(slots=True, kw_only=True)
class Bucket:
    """One limit: ``level`` units are left at ``at_s``."""

    per_min: int
    level: float
    at_s: float

    def left(self, now_s: float) -> float:
        """Give what is left now."""
        filled = self.level + max(0.0, now_s - self.at_s) * self.per_min / _MINUTE_S
        return min(float(self.per_min), filled)

    def take(self, units: float, now_s: float) -> None:
        """Take units out."""
        self.level, self.at_s = self.left(now_s) - units, now_s

    def full_in_s(self, now_s: float) -> float:
        """Tell when the bucket is full again."""
        return (self.per_min - self.left(now_s)) * _MINUTE_S / self.per_min


class Account:
    """The limits of one account."""

    def __init__(
        self, *, now_s: float, requests_per_min: int = REQUESTS_PER_MIN, tokens_per_min: int = TOKENS_PER_MIN
    ) -> None:
        self.requests = Bucket(per_min=requests_per_min, level=float(requests_per_min), at_s=now_s)
        self.tokens = Bucket(per_min=tokens_per_min, level=float(tokens_per_min), at_s=now_s)

    def has_room(self, *, tokens: int, now_s: float) -> bool:
        """Tell whether one request of so many tokens goes through now."""
        return self.requests.left(now_s) >= 1 and self.tokens.left(now_s) >= tokens

    def take(self, *, tokens: int, now_s: float) -> None:
        """Count one request."""
        self.requests.take(1, now_s)
        self.tokens.take(tokens, now_s)

    def headers(self, *, now_s: float) -> dict[str, str]:
        """Say what is left."""
        found: dict[str, str] = {}
        for name, bucket in (("requests", self.requests), ("tokens", self.tokens)):
            found[f"x-ratelimit-limit-{name}"] = str(bucket.per_min)
            found[f"x-ratelimit-remaining-{name}"] = str(max(0, int(bucket.left(now_s))))
            found[f"x-ratelimit-reset-{name}"] = duration(bucket.full_in_s(now_s))
        return found


def duration(seconds: float) -> str:
    """Write seconds as the vendor does: ``12ms``, ``1.5s``, ``6m0s``."""
    if seconds < 1.0:
        return f"{round(seconds * 1_000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60.0)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
