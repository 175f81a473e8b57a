"""Hold an event that a customer is told of. Neighbours: ``tables`` keeps these rows, ``outbox`` works on them."""

import dataclasses
import uuid


@dataclasses.dataclass(slots=True, kw_only=True)
class OutboxRow:
    """Hold one event that a customer is told of."""

    run_id: uuid.UUID
    seq: int
    tenant_id: int
    type: str
    url: str
    receiver: str
    at: float
    next_at: float
    body: str | None = None
    state: str = "due"
    tries: int = 0
    fence: int = 0
    last_at: float | None = None
    last_status: int | None = None
    last_error: str | None = None
    ended_at: float | None = None
