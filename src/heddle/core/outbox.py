"""Say what customers are told: which events there are, how each is named, and what proves that it comes from us.

An event is written by the transaction that ends the run (``posted`` in settle, plan and stop), with the number that the
end has among the run's events; the two make its id, which stays the same over every try and redelivery. Secrets are
derived, never stored: whoever has only the database cannot sign. Before it: the end of a run. After it:
``core.policy.delivery`` and ``engine.deliver``. Source: the Standard Webhooks specification (WIRE.md 8.13).
"""

import base64
import dataclasses
import enum
import hashlib
import hmac
import re
import uuid
from typing import Final

from heddle.core import run

SECRETS_MAX: Final = 5
"""Most secrets an event is signed with at once: the newest, and those that were rotated within the grace period."""

_PURPOSE: Final = b"heddle.webhook\x1f"
_ID: Final = re.compile(r"msg_([0-9a-f]{32})_([1-9][0-9]{0,8})\Z")


class EventState(enum.StrEnum):
    """Name where an event is: to be sent, taken, given up after the last try, or not sent since its address is gone."""

    DUE = "due"
    DELIVERED = "delivered"
    DEAD = "dead"
    DISABLED = "disabled"


EVENT_TYPES: Final[frozenset[str]] = frozenset(f"run.{state.value}" for state in run.TERMINAL)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class EventId:
    """Name one event of one run: ``msg_<run id in hex>_<number of the event>``, as ``webhook-id`` carries it."""

    run_id: uuid.UUID
    seq: int

    def __str__(self) -> str:
        return f"msg_{self.run_id.hex}_{self.seq}"

    @classmethod
    def parse(cls, text: str) -> "EventId":
        """Read an id. Raises ValueError for what is none."""
        found = _ID.match(text)
        if found is None:
            raise ValueError(f"{text[:100]!r} is not an event; it looks like msg_0190…_7")
        return cls(run_id=uuid.UUID(hex=found[1]), seq=int(found[2]))


def secret(*, secret_key: str, tenant_id: int, version: int, salt: uuid.UUID) -> str:
    """Derive a tenant's signing secret of one version: ``whsec_`` and the base64 of 32 bytes.

    The salt is new with every version, so that a database set back to an older state makes no secret twice. Raises
    ValueError without a key.
    """
    if not secret_key:
        raise ValueError("HEDDLE_SECRET_KEY is empty; webhooks cannot be signed without it")
    named = f"{tenant_id}\x1f{version}\x1f{salt.hex}".encode()
    derived = hmac.new(secret_key.encode(), _PURPOSE + named, hashlib.sha256).digest()
    return "whsec_" + base64.b64encode(derived).decode()
