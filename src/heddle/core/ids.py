"""Make and read identifiers: run ids that sort by time, attempt ids, lane numbers, seeds.

Run ids are UUIDv7 (RFC 9562 section 5.7) made from the *database's* time, because partitions are cut by them.
Nothing here reads a clock or draws chance: both are handed in.
"""

import dataclasses
import hashlib
import uuid


def run_id(*, database_unix_ms: int, random_bits: int) -> uuid.UUID:
    """Make a UUIDv7 from a time in milliseconds and at least 74 random bits."""
    assert 0 <= database_unix_ms < 1 << 48, "the time does not fit a UUIDv7"
    value = (database_unix_ms << 80) | (random_bits & ((1 << 80) - 1))
    value &= ~(0xF << 76) & ~(0x3 << 62)
    return uuid.UUID(int=value | (0x7 << 76) | (0x2 << 62))


def unix_ms(run: uuid.UUID) -> int:
    """Give the time a UUIDv7 was made at, in milliseconds since 1970."""
    return run.int >> 80


def first_id_at(*, database_unix_ms: int) -> uuid.UUID:
    """Give the smallest identifier of an instant: the lower bound of a partition."""
    return uuid.UUID(int=database_unix_ms << 80)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class AttemptId:
    """Name one try of one step: its text form is what providers are given as the client's job id."""

    run_id: uuid.UUID
    ordinal: int
    number: int

    def __str__(self) -> str:
        return f"{self.run_id}.{self.ordinal}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> "AttemptId":
        """Read the text form. Raises ValueError when it is not one."""
        run, ordinal, number = text.split(".")
        made = cls(run_id=uuid.UUID(run), ordinal=int(ordinal), number=int(number))
        # UUID and int read more forms than one; two texts for one attempt would be two names at a provider.
        if str(made) != text or made.ordinal < 0 or made.number < 1:
            raise ValueError(f"{text[:80]!r} is not the text form of an attempt id")
        return made


def idempotency_key(*, run: uuid.UUID, ordinal: int, epoch: int) -> str:
    """Make the key that every transport retry of one logical call carries.

    ``epoch`` counts the times the step was deliberately paid for anew (an operator's replay); a transport retry
    never raises it.
    """
    return "hd-" + hashlib.sha256(f"{run}.{ordinal}.{epoch}".encode()).hexdigest()[:40]


def lane(*, kind: str, name: str, version: int, priority: str) -> int:
    """Number a lane: 63 bits of a hash, so that every process knows it without asking the database."""
    text = "\x1f".join((kind, name, str(version), priority))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def seed(*, run: uuid.UUID, ordinal: int) -> int:
    """Derive the seed of chance that belongs to one place in one run."""
    return int.from_bytes(hashlib.sha256(f"seed.{run}.{ordinal}".encode()).digest()[:8], "big")
