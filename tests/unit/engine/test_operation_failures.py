"""A bulk operation whose chunks always fail is given up after a bounded number of them; what passes is waited out."""

import asyncio
import random
import types
import uuid
from typing import Any, cast

import pytest

from heddle.config import settings
from heddle.engine import operate, sweep
from heddle.engine import parts as parts_module
from heddle.ports import operating, store
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events

BAD, GOOD = uuid.UUID(int=1), uuid.UUID(int=2)
CHUNK_FAILED = operating.ChunkFailed(id=BAD, action="cancel", reason="CheckViolation: no")


class _Store:
    """Play what the chunks come to, then have nothing left to do."""

    def __init__(self, chunks: list[Exception | operating.OperationStep]) -> None:
        self._chunks = chunks
        self.ended: list[tuple[uuid.UUID, str]] = []

    async def operate(self, **_: Any) -> operating.OperationStep | None:
        if not self._chunks:
            return None
        chunk = self._chunks.pop(0)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    async def fail_operation(self, *, id: uuid.UUID, reason: str) -> bool:  # noqa: A002 - as the port has it
        self.ended.append((id, reason))
        return True


class _Clock:
    rng = random.Random(7)

    def monotonic_s(self) -> float:
        return 1.0

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(0)


async def passes(there: _Store) -> None:
    """Run passes until the store has nothing left."""
    alive = asyncio.Event()
    alive.set()
    parts = types.SimpleNamespace(
        store=there,
        clock=_Clock(),
        is_alive=alive,
        settings=settings.Settings(),
        wake=lambda *, readied: None,
        doorbell=None,
    )
    sweeper = cast("sweep.Sweeper", types.SimpleNamespace(is_leader=True))
    operator = operate.Operator(cast("parts_module.Parts", parts), sweeper)
    while there._chunks:
        try:
            await operator.one_pass()
        except (operating.ChunkFailed, store.StoreLost):
            continue


def done(operation: uuid.UUID) -> operating.OperationStep:
    return operating.OperationStep(id=operation, action="cancel", changed=1, changed_in_all=1, readied=0, is_over=False)


async def test_operation_when_its_chunks_fail_in_a_row_then_it_is_ended_with_the_reason_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(recorder, "event", lambda event, **fields: told.append((event, fields)))
    there = _Store([CHUNK_FAILED] * operate.FAILURES_MAX)

    await passes(there)

    reason = f"{operate.FAILURES_MAX} tries in a row failed, the last with CheckViolation: no"
    assert there.ended == [(BAD, reason)]
    ((event, fields),) = told
    assert (event, fields["name"], fields["count"]) == (events.OPERATION_FAILED, f"cancel {BAD}", operate.FAILURES_MAX)


@pytest.mark.parametrize(
    "chunks",
    [
        [CHUNK_FAILED] * (operate.FAILURES_MAX - 1),
        [*[CHUNK_FAILED] * (operate.FAILURES_MAX - 1), done(BAD), CHUNK_FAILED],
        [store.StoreLost("the server is away")] * (operate.FAILURES_MAX + 5),
    ],
    ids=["fewer", "one went well in between", "the database was away"],
)
async def test_operation_when_it_did_not_fail_so_often_in_a_row_then_it_goes_on(
    chunks: list[Exception | operating.OperationStep],
) -> None:
    there = _Store(chunks)

    await passes(there)

    assert there.ended == []


async def test_operation_when_anothers_chunks_go_well_in_between_then_it_is_ended_all_the_same() -> None:
    there = _Store([CHUNK_FAILED, done(GOOD)] * operate.FAILURES_MAX)

    await passes(there)

    assert [ended for ended, _ in there.ended] == [BAD]
