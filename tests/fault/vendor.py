"""A vendor of chat completions that is slow and keeps a book: what it did for money, and under which key.

It honours idempotency keys where it is told to: a key that came before is given what it was given, without a payment.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from tests.fault import programs

LATENCY_S = 1.5


class Vendor:
    """Serve from a thread of its own, so that a test may wait for it."""

    def __init__(self, *, has_keys: bool) -> None:
        self._has_keys = has_keys
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self.payments: list[str] = []
        self.url = ""
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(programs.WAIT_S)

    def stop(self) -> None:
        if self._runner is not None:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(programs.WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(programs.WAIT_S)

    async def _serve(self) -> str:
        application = web.Application()
        application.add_routes([web.post("/v1/chat/completions", self._complete)])
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _complete(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        key = request.headers.get("Idempotency-Key", "") if self._has_keys else ""
        found = self._answers.get(key) if key else None
        if found is None:
            # Bought when it was asked for, whoever is there to hear the answer.
            self.payments.append(key)
            found = asyncio.ensure_future(self._answer(body, len(self.payments)))
            if key:
                self._answers[key] = found
        return web.json_response(await asyncio.shield(found))

    async def _answer(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        await asyncio.sleep(LATENCY_S)
        text = f"answer {number} to {body['messages'][-1]['content']}"
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return {"id": f"c-{number}", "object": "chat.completion", "created": 1, "model": "v", "choices": [choice]}


@contextlib.contextmanager
def open_vendor(*, has_keys: bool) -> Iterator[Vendor]:
    """Give a vendor that listens."""
    made = Vendor(has_keys=has_keys)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def endpoint(name: str, url: str, *, model: str, has_keys: bool) -> str:
    """Write the part of a heddle.toml that routes a model to a vendor."""
    header = 'idempotency_header = "Idempotency-Key"' if has_keys else ""
    return f"""
[models.{model}]
unknown_policy = "at_most_once"
[endpoints.{name}]
adapter = "http"
url = "{url}"
path = "/v1/chat/completions"
price_usd = "{programs.PRICE_USD}"
paid = true
timeout_s = 20
{header}
[scopes.{name}]
concurrency = 50
[[routes]]
model = "{model}"
endpoint = "{name}"
"""
