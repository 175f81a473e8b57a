"""Name a lease: the one word that every port of the store says."""

import dataclasses
import uuid


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRef:
    """Name one lease: what a late or lost worker can no longer use."""

    run_id: uuid.UUID
    ordinal: int
    fence: int
