"""Pictures to be looked at are drawn away from the loop, a few at a time, whoever asks for them and however."""

import asyncio
import base64
import dataclasses
import json
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from heddle.twins.fal import twin as fal
from heddle.twins.kit import calls, options, painter, server, studio
from heddle.twins.replicate import twin as replicate
from tests.twins import invented

DRAWN = b"drawn"
PROMPT = {"prompt": "espresso on marble", "seed": 7}
REPLICATE = "/v1/models/black-forest-labs/flux-schnell/predictions"


class Easel:
    """Stand where the painter does, and note in which threads it is asked and how many draw at once."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.most_at_once = 0
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()
        self._at_once = 0

    def draw(self, **_wanted: Any) -> bytes:
        with self._lock:
            self.threads.append(threading.get_ident())
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        assert self.gate.wait(10)
        with self._lock:
            self._at_once -= 1
        return DRAWN


@pytest.fixture
def easel(monkeypatch: pytest.MonkeyPatch) -> Easel:
    made = Easel()
    monkeypatch.setattr(painter, "draw", made.draw)
    return made


def scenic(folder: pathlib.Path) -> options.Options:
    return dataclasses.replace(invented.given(folder, latency_s=0.0), is_scenic=True)


class Client:
    """Ask a twin with its key."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def post(self, path: str, body: Any, **headers: str) -> Any:
        async with self._session.post(f"{self._url}{path}", json=body, headers=headers) as answer:
            assert answer.status in (200, 201)
            return await answer.json()

    async def get(self, url: str) -> tuple[int, bytes]:
        async with self._session.get(url) as answer:
            return answer.status, await answer.read()

    async def until_told(self, url: str) -> Any:
        """Ask for a result of fal's until it is there."""
        async with asyncio.timeout(10):
            while True:
                status, body = await self.get(url)
                if status == 200:
                    return json.loads(body)


async def with_client(twin: server.Twin, key: str, act: Callable[[Client], Any]) -> Any:
    async with server.Running(twin) as running, aiohttp.ClientSession(headers={"Authorization": key}) as session:
        return await act(Client(running.url, session))


async def test_replicate_when_it_shows_scenes_then_they_are_drawn_when_fetched_and_away_from_the_loop(
    easel: Easel, tmp_path: pathlib.Path
) -> None:
    async def act(client: Client) -> tuple[int, tuple[int, bytes]]:
        made = await client.post(REPLICATE, {"input": PROMPT}, Prefer="wait=5")
        before = len(easel.threads)
        return before, await client.get(made["output"][0])

    before, fetched = await with_client(
        replicate.ReplicateTwin(scenic(tmp_path)), f"Bearer {options.DEFAULT_API_KEY}", act
    )

    assert (before, fetched) == (0, (200, DRAWN))
    assert len(easel.threads) == 1
    assert easel.threads[0] != threading.get_ident()


@pytest.mark.parametrize("is_inline", [False, True])
async def test_fal_when_it_shows_scenes_then_they_are_drawn_away_from_the_loop(
    easel: Easel, tmp_path: pathlib.Path, is_inline: bool
) -> None:
    async def act(client: Client) -> bytes:
        made = await client.post("/fal-ai/flux/dev", {**PROMPT, "sync_mode": is_inline})
        link = (await client.until_told(made["response_url"]))["images"][0]["url"]
        return base64.b64decode(link.partition(",")[2]) if is_inline else (await client.get(link))[1]

    data = await with_client(fal.FalTwin(scenic(tmp_path)), f"Key {options.DEFAULT_API_KEY}", act)

    assert data == DRAWN
    assert threading.get_ident() not in easel.threads


async def test_fal_when_a_callback_holds_a_scene_then_it_is_drawn_away_from_the_loop(
    easel: Easel, tmp_path: pathlib.Path
) -> None:
    async with invented.Receiver() as receiver:

        async def act(client: Client) -> None:
            await client.post(f"/fal-ai/flux/dev?fal_webhook={receiver.url}", {**PROMPT, "sync_mode": True})
            await receiver.wait(1)

        await with_client(fal.FalTwin(scenic(tmp_path)), f"Key {options.DEFAULT_API_KEY}", act)

    link = json.loads(receiver.letters[0][1])["payload"]["images"][0]["url"]
    assert base64.b64decode(link.partition(",")[2]) == DRAWN
    assert threading.get_ident() not in easel.threads


def wanted(seed: int) -> studio.Picture:
    return studio.scene({"prompt": "", "seed": seed}, output_format="png", width_px=64, height_px=64)


async def test_draw_when_many_ask_then_two_are_drawn_at_once_and_the_rest_waits_or_is_refused(easel: Easel) -> None:
    made = studio.Studio()
    easel.gate.clear()
    asked = [asyncio.create_task(made.draw(wanted(seed))) for seed in range(studio.WAITING_MAX)]
    await asyncio.sleep(0)

    with pytest.raises(calls.Refused) as refused:
        await made.draw(wanted(studio.WAITING_MAX))
    easel.gate.set()

    assert await asyncio.gather(*asked) == [DRAWN] * studio.WAITING_MAX
    assert (refused.value.status, easel.most_at_once) == (503, studio.DRAWN_AT_ONCE_MAX)
