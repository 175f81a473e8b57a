"""Hold which call's result equal calls take, for ``reusing``."""

import dataclasses
import uuid


@dataclasses.dataclass(slots=True, kw_only=True)
class ResultRow:
    """Hold which call's result equal calls take."""

    run_id: uuid.UUID
    ordinal: int
