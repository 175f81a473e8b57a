"""Intents of paid calls are answered for, whatever the store makes of them."""

import asyncio
import types
import uuid
from collections.abc import Sequence
from typing import cast

import pytest

from heddle.core.policy import budget
from heddle.engine import intent
from heddle.engine import parts as parts_module
from heddle.ports import store
from tests.unit.engine import claims


class _Store:
    """Refuse every batch with one call in it."""

    def __init__(self, poison: int) -> None:
        self._poison = poison

    async def mark_sending(
        self, *, calls: Sequence[tuple[store.Claimed, str]]
    ) -> dict[tuple[uuid.UUID, int], budget.Cap | None]:
        if any(claimed.ordinal == self._poison for claimed, _ in calls):
            raise ValueError("a value the store does not take")
        return {(claimed.run_id, claimed.ordinal): None for claimed, _ in calls}


async def test_intent_when_the_store_refuses_one_of_a_batch_then_the_others_are_sent_and_none_waits_for_ever() -> None:
    parts = types.SimpleNamespace(store=_Store(poison=2), settings=types.SimpleNamespace(worker_batch=10))
    intents = intent.Intents(cast("parts_module.Parts", parts))
    asking = [
        asyncio.ensure_future(intents.record(claims.claimed(ordinal=ordinal, endpoint_id=7), "digest"))
        for ordinal in (1, 2, 3)
    ]
    await asyncio.sleep(0)

    await intents._one_pass()

    async with asyncio.timeout(5):
        assert [await asking[0], await asking[2]] == [intent.Permission.GRANTED] * 2
        with pytest.raises(store.StoreLost, match="the intent was not written"):
            await asking[1]
