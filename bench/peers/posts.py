"""Post to the model server, as a job of any contender does: one connection pool a process, every answer read.

The two forms are what a user of a threaded and of an asyncio queue would write. Nothing is counted here but the job.
"""

import asyncio
import threading
from typing import Any

from bench.peers import setting, tally

PAYLOAD = {"prompt": "a coat in a street in Paris", "seed": 1}
POOL = 512
TIMEOUT_S = 30.0
_LOCAL = threading.local()
_SESSIONS: dict[asyncio.AbstractEventLoop, Any] = {}


def post() -> None:
    """Post from a thread: one requests session a thread."""
    import requests

    session = getattr(_LOCAL, "session", None)
    if session is None:
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=POOL))
        _LOCAL.session = session
        _LOCAL.url = setting.read().model_url
    session.post(_LOCAL.url, json=PAYLOAD, timeout=TIMEOUT_S).json()
    tally.mark()


async def post_async() -> None:
    """Post from an event loop: one aiohttp session a loop, as many connections as there are jobs in flight."""
    import aiohttp

    loop = asyncio.get_running_loop()
    session = _SESSIONS.get(loop)
    if session is None:
        url = setting.read().model_url
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        session = aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0), timeout=timeout)
        _SESSIONS[loop] = session
    async with session.post("/", json=PAYLOAD) as answer:
        await answer.json()
    tally.mark()
