"""What the engine needs from the store to let equal model calls share a result."""

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Protocol

from heddle.core import identity
from heddle.core.policy import reuse as policy
from heddle.ports import leases


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Ask for calls equal to a leased one. ``key`` None: it is like no other. ``model``, ``version``: its model's.

    ``lost``: run and ordinal of a call that an earlier look found and whose result refers to artifacts that are gone;
    it is found no more, by nobody, once this call goes on in its place.
    """

    lease: leases.LeaseRef
    tenant_id: int
    model: str
    version: int
    key: str | None
    options: policy.Reuse
    lost: tuple[uuid.UUID, int] | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Tell what a look found: ``outcome`` first (it is in line for its model now, its lease is gone), under_way, or
    found with the ``output`` of another call, whose run, ordinal and tenant are named.
    """

    outcome: str
    run_id: uuid.UUID
    ordinal: int
    tenant_id: int
    output: identity.JsonValue = None


class Reusing(Protocol):
    """Find equal calls."""

    async def reuse(self, *, looks: Sequence[Look]) -> list[Found]:
        """Look for equal calls, one answer a look whose lease still stands, in order of run and ordinal.

        Of two equal calls that look at once, one is first. One of a lower class that is first and has not begun stands
        back and looks again: nobody waits behind it, and one is paid for. Raises StoreLost.
        """
        ...
