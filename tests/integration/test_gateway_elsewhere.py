"""A call that a gateway admits and another worker takes is answered when that worker settles it, without a look."""

import asyncio
import functools
import pathlib
import uuid
from typing import Any

import openai
import pytest

from heddle import wiring
from heddle.engine import calls
from heddle.transports import postgres as doorbell
from tests import pg
from tests.integration import gateway_site, working

NEVER_S = 3_600.0


async def test_call_when_another_worker_settles_it_then_the_gateway_is_told(
    database: pg.Database, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "Watch", functools.partial(calls.Watch, look_after_s=NEVER_S))
    afar = gateway_site.Talker()
    afar.will(gateway_site.done(gateway_site.completion("from afar")))
    async with gateway_site.open_site(database, tmp_path, worker_in_flight_max=1) as site:
        client = openai.AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0)
        site.talker.gate.clear()
        site.talker.will(gateway_site.done(gateway_site.completion("from here")))
        ask = functools.partial(
            client.chat.completions.create, model="chat", messages=[{"role": "user", "content": "a"}]
        )
        here = asyncio.create_task(ask())
        await working.until(lambda: bool(site.talker.asked))

        async with working.working(working.parts_of(database, tmp_path, afar, name="other")):
            told = await asyncio.wait_for(ask(), working.PATIENCE_S)
        site.talker.gate.set()
        own = await here

    assert told.choices[0].message.content == "from afar"
    assert own.choices[0].message.content == "from here"


async def test_ends_when_one_process_tells_many_then_each_watcher_hears_all_and_nobody_else_is_woken(
    database: pg.Database,
) -> None:
    clock, heard = wiring.SystemClock(), list[uuid.UUID]()
    bells: list[Any] = [doorbell.PostgresDoorbell(dsn=database.dsn, debounce_s=0.01, clock=clock) for _ in range(3)]
    teller, watcher, other = bells
    watcher.watch_ends(heard.append)
    for bell in bells:
        await bell.start()
        # Each rings by itself when it has begun to listen.
        assert await bell.wait(timeout_s=working.PATIENCE_S)
    run_ids = [uuid.uuid4() for _ in range(450)]

    teller.tell_ended(run_ids)
    await working.until(lambda: len(heard) == len(run_ids))
    was_woken = await other.wait(timeout_s=0.0)
    for bell in bells:
        await bell.close()

    assert heard == run_ids
    assert not was_woken
