"""A door for callbacks in the process of a test, for installations without a web server."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from heddle.ports import provider
from heddle.store import django as django_store
from tests.races import scene


@contextlib.asynccontextmanager
async def serving(adapters: Mapping[str, provider.Provider]) -> AsyncIterator[str]:
    """Take callbacks as the product's door does: verified by the adapter, then kept with the job that they name."""

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body, endpoint = await request.read(), request.match_info["endpoint"]
        try:
            event = adapters[endpoint].verify_callback(headers=headers, body=body, now_s=time.time())
        except provider.CallbackRefused:
            return web.Response(status=401)
        keep = lambda: django_store.DjangoDoors().callback(  # noqa: E731
            endpoint=endpoint,
            attempt_id=request.match_info["attempt"],
            event_id=event.event_id,
            handle=event.handle,
        )
        await scene.in_thread(keep)
        return web.Response(status=202)

    application = web.Application()
    application.router.add_post("/callbacks/{endpoint}/{attempt}", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
