"""What the tests of the simulated provider share: a customer, a mailbox for callbacks, and the real program."""

import asyncio
import collections
import contextlib
import os
import pathlib
import subprocess
import sys
import time
import typing
from collections import abc

import aiohttp
from aiohttp import web

from heddle.core import attempt
from heddle.providers import signing
from heddle.twins.kit import faults, options, server
from heddle.twins.simulator import terms, twin

API_KEY = options.DEFAULT_API_KEY
SECRET = options.DEFAULT_WEBHOOK_SECRET
WAIT_S = 20.0
PRICE_NANO_USD = 40_000_000


def simulator(
    folder: pathlib.Path,
    *,
    idempotency: str = "A",
    rates: faults.Rates | None = None,
    latency_s: float = 0.02,
    concurrency: int = 50,
    late_s: float = 0.1,
    seed: int = 1,
) -> twin.SimulatorTwin:
    given = options.Options(
        ledger=folder / "paid.jsonl",
        plan=faults.Plan(seed=seed, rates=rates or faults.Rates(), latency_s=latency_s, late_s=late_s),
    )
    offered = terms.Terms(
        idempotency=attempt.IdempotencyClass(idempotency), concurrency=concurrency, price_nano_usd=PRICE_NANO_USD
    )
    return twin.SimulatorTwin(given, offered=offered)


class Customer:
    """One who speaks to the simulator, and hears its callbacks."""

    def __init__(self, *, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self.session = session

    async def submit(
        self, *, key: str | None = None, **changes: object
    ) -> tuple[int, dict[str, typing.Any], abc.Mapping[str, str]]:
        headers = {} if key is None else {"Idempotency-Key": key}
        async with self.session.post(f"{self.base_url}/v1/jobs", json=body(**changes), headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers

    async def get(self, path: str) -> tuple[int, dict[str, typing.Any]]:
        async with self.session.get(self.base_url + path) as answer:
            return answer.status, await answer.json()

    async def until_over(self, job_id: str) -> dict[str, typing.Any]:
        async with asyncio.timeout(WAIT_S):
            while True:
                _, job = await self.get(f"/v1/jobs/{job_id}")
                if job["status"] not in {"queued", "running"}:
                    return job
                await asyncio.sleep(0.01)


def body(**changes: object) -> dict[str, object]:
    wanted = {"prompt": "cup on marble", "seed": 3, "width": 96, "height": 96}
    return {"model": "relight", "input": wanted} | changes


@contextlib.asynccontextmanager
async def customer_of(chosen: twin.SimulatorTwin) -> abc.AsyncIterator[Customer]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    timeout = aiohttp.ClientTimeout(total=WAIT_S)
    async with (
        server.Running(chosen) as running,
        aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
    ):
        yield Customer(base_url=running.url, session=session)


@contextlib.asynccontextmanager
async def mailbox(
    *, answers: abc.Sequence[int] = ()
) -> abc.AsyncIterator[tuple[str, asyncio.Queue[tuple[abc.Mapping[str, str], bytes]]]]:
    received: asyncio.Queue[tuple[abc.Mapping[str, str], bytes]] = asyncio.Queue(100)
    statuses = collections.deque(answers)

    async def receive(request: web.Request) -> web.Response:
        received.put_nowait((request.headers.copy(), await request.read()))
        return web.Response(status=statuses.popleft() if statuses else 204)

    application = web.Application()
    application.router.add_post("/callback", receive)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/callback", received
    finally:
        await runner.cleanup()


async def take(received: asyncio.Queue[typing.Any]) -> typing.Any:
    async with asyncio.timeout(WAIT_S):
        return await received.get()


def is_genuine(headers: abc.Mapping[str, str], content: bytes) -> bool:
    given = {name.lower(): value for name, value in headers.items()}
    try:
        signing.verify(secret=SECRET, headers=given, body=content, now_s=time.time())
    except signing.SignatureRefused:
        return False
    return True


async def until_accepted(customer: Customer, *, key: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while (await customer.submit(key=key))[0] != 202:  # noqa: ASYNC110  the other side of a socket has no event
            await asyncio.sleep(0.01)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def start_program(folder: pathlib.Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "heddle.cli", "twin", "simulator", "--ledger", str(folder / "paid.jsonl")]
    command += ["--port-file", str(folder / "port"), *arguments]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def base_url_of(folder: pathlib.Path, program: subprocess.Popen[bytes]) -> str:
    ends_at_s = time.monotonic() + WAIT_S
    while not (folder / "port").exists():
        assert program.poll() is None, "the program ended before it listened"
        assert time.monotonic() < ends_at_s, "the program does not listen"
        await asyncio.sleep(0.02)
    return f"http://127.0.0.1:{int((folder / 'port').read_text())}"
