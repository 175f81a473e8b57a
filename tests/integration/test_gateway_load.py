"""A gateway with too much in line says so, and replays what it knows; no request asks the database on its loop."""

import asyncio
import itertools
import pathlib
import random
import uuid
from typing import Any

import openai

from heddle import wiring
from heddle.client import backpressure
from heddle.config import settings
from heddle.ports import records
from tests import pg
from tests.integration import gateway_site, working
from tests.races import scene

IN_LINE = "select queued from heddle_load where queued > 0"
ASK: list[Any] = [{"role": "user", "content": "Say hello."}]


async def test_chat_when_the_queue_is_full_then_a_new_key_is_refused_and_a_known_one_has_its_answer(
    database: pg.Database, tmp_path: pathlib.Path
) -> None:
    async with (
        gateway_site.open_site(database, tmp_path, queued_max=1) as site,
        openai.AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as client,
    ):
        site.talker.will(gateway_site.done(gateway_site.completion("Hello!")))

        async def ask(key: str) -> Any:
            named = {"Idempotency-Key": key}
            asking = client.chat.completions.create(model="chat", messages=ASK, extra_headers=named)
            return (await asyncio.gather(asking, return_exceptions=True))[0]

        await ask("known")
        await scene.in_thread(lambda: wiring.operating().pause("model", "writer", actor="test"))
        await client.post("/predictions", body={"version": "writer", "input": {}}, cast_to=object)
        with database.connect() as looking:
            await working.until(lambda: looking.execute(IN_LINE).fetchone() == (1,))
        # The first refusal comes from a look at the load; those after it from what is known of it.
        while not isinstance(await ask(uuid.uuid4().hex), openai.APIError):
            pass
        refused = await asyncio.gather(*(ask(uuid.uuid4().hex) for _ in range(3)))
        again = await ask("known")
        await scene.in_thread(lambda: wiring.operating().resume("model", "writer", actor="test"))

    assert [(type(each), each.code) for each in refused] == [(openai.RateLimitError, "overloaded")] * 3
    assert again.choices[0].message.content == "Hello!"


TENANT = records.Tenant(id=1, name="acme")


class Doors:
    """Count how often the store is asked for its lanes."""

    def __init__(self) -> None:
        self.asked = 0

    def lanes(self) -> list[Any]:
        """Have nothing in line."""
        self.asked += 1
        return []


def test_lets_in_when_what_is_known_grows_old_meanwhile_then_the_store_is_not_asked() -> None:
    doors: Any = Doors()
    ticks = itertools.count()
    judge = backpressure.Backpressure(
        doors, limits=settings.Settings(), monotonic_s=lambda: 0.6 * next(ticks), rng=random.Random(1)
    )
    new = scene.new_run(TENANT)
    judge.refusal(new)

    found = [judge.lets_in(new) for _ in range(4)]

    assert found == [True, False, False, False]
    assert doors.asked == 1
