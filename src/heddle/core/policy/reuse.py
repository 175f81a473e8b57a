"""Decide whether a model call may take the result of an equal one, and what makes two calls equal.

Only the author of a model knows whether equal inputs give equal results, so nothing is reused unless ``Reuse`` is
declared with the model. This file refuses to look anything up and to keep results: the step that made one is where it
is. Before it: a planned call. After it: ``engine.reuse``, which asks the store.
"""

import enum
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from heddle.core import identity
from heddle.core.policy import bounds

WAIT_FIRST_S = 0.25
WAIT_MAX_S = 2.0
"""How long a call waits before it looks again at an equal one that is under way: first, and at most, in seconds."""

_REVISION = re.compile(r"[A-Za-z0-9_.\-]{0,100}\Z")


class Among(enum.StrEnum):
    """Name whose results may be taken: those of the same tenant, or of all tenants."""

    TENANT = "tenant"
    ALL_TENANTS = "all_tenants"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """Declare that equal inputs of a model give equal results.

    among: default tenant; all_tenants shows one tenant that another has asked the same, by how fast the answer comes.
    hours: default 24, 0.01 to 8784; how old a result may be, from the end of its call.
    needs: names of arguments without which a call is not deterministic, such as ``("seed",)``; a call that lacks one,
        or has null for it, takes no other's result.
    revision: of the model; another revision's results are not taken.
    """

    among: Among = Among.TENANT
    hours: float = 24.0
    needs: tuple[str, ...] = ()
    revision: str = ""

    def __post_init__(self) -> None:
        """Refuse times and names out of range."""
        bounds.require(field="hours", value=self.hours, low=0.01, high=8_784, unit="hours")
        bounds.require(field="needs", value=len(self.needs), low=0, high=32, unit="names")
        if not _REVISION.match(self.revision):
            raise ValueError(f"revision is {self.revision!r}; it must be at most 100 of A-Z a-z 0-9 _ . -")

    def as_json(self) -> dict[str, identity.JsonValue]:
        """Give the stored form."""
        return {
            "among": self.among.value,
            "hours": self.hours,
            "needs": list(self.needs),
            "revision": self.revision,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, identity.JsonValue]) -> "Reuse":
        """Read ``as_json``'s form."""
        return cls(
            among=Among(value["among"]),
            hours=float(value["hours"]),
            needs=tuple(value["needs"]),
            revision=str(value["revision"]),
        )


def key(options: Reuse, *, model: str, arguments: Mapping[str, identity.JsonValue]) -> str | None:
    """Give what equal calls share, 64 hex digits; None when this call is not deterministic.

    arguments: resolved, artifacts by their content.
    """
    if any(arguments.get(name) is None for name in options.needs):
        return None
    return identity.fingerprint({"model": model, "revision": options.revision, "arguments": dict(arguments)})


def wait_s(*, waited_s: float, rng: random.Random) -> float:
    """Tell how long to wait before looking again: a quarter of the time waited so far, jittered by a fifth."""
    return min(WAIT_MAX_S, max(WAIT_FIRST_S, waited_s / 4)) * (1.0 + 0.2 * rng.random())
