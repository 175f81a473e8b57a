"""Where the setting says so, the run of a caller who goes away is cancelled, at whatever moment they go."""

import asyncio
import pathlib
import uuid
from collections.abc import Sequence
from typing import Any

import openai
import pytest

from heddle.core.run import RunState
from heddle.engine import parts as parts_module
from heddle.ports import calls as calls_port
from tests import pg
from tests.integration import gateway_site, working

ASK: list[Any] = [{"role": "user", "content": "Say hello."}]


class Gated:
    """Be the store, but keep an admission waiting."""

    def __init__(self, given: Any) -> None:
        self._store = given
        self.gate = asyncio.Event()
        self.asked: list[uuid.UUID] = []
        self.admitted: list[uuid.UUID] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def submit_calls(
        self, *, calls: Sequence[calls_port.NewCall], offer: calls_port.Offer | None = None
    ) -> calls_port.Admitted:
        self.asked += [call.run_id for call in calls]
        await asyncio.wait_for(self.gate.wait(), working.PATIENCE_S)
        admitted: calls_port.Admitted = await self._store.submit_calls(calls=calls, offer=offer)
        self.admitted += [call.run_id for call in calls]
        return admitted


def gate(made: list[Gated], parts: parts_module.Parts) -> None:
    """Put a gate before the store."""
    made.append(Gated(parts.store))
    parts.store = made[0]  # type: ignore[assignment]


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("is_admitted", [False, True])
async def test_chat_when_its_caller_goes_away_then_its_run_is_cancelled(
    database: pg.Database, tmp_path: pathlib.Path, is_admitted: bool, is_stream: bool
) -> None:
    made = list[Gated]()
    async with gateway_site.open_site(
        database, tmp_path, prepare=lambda parts: gate(made, parts), gateway_on_leave="cancel"
    ) as site:
        (store,) = made
        site.talker.gate.clear()
        site.talker.will(gateway_site.done(gateway_site.completion("Hello!")))
        client = openai.AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0)
        asking = asyncio.create_task(client.chat.completions.create(model="chat", messages=ASK, stream=is_stream))
        await working.until(lambda: bool(store.asked))
        if is_admitted:
            store.gate.set()
            await working.until(lambda: bool(site.talker.asked))

        asking.cancel()
        await working.until(lambda: not len(site.parts.listening))  # type: ignore[arg-type]
        store.gate.set()
        await working.until(lambda: store.admitted == store.asked)
        view = await working.waited(store.asked[0])

    assert view.state is RunState.CANCELLED
