"""Ask at a steady rate whatever comes of it, and keep how long each answer took from the moment it was due.

An open loop: a request is due by the clock, and one that leaves late counts its lateness. A client that waits for an
answer before it asks again would hide every stall of the thing it measures.
"""

import asyncio
import dataclasses
import json
import time

import aiohttp

CONNECTIONS_MAX = 2_000
TIMEOUT_S = 30.0
BODY = {
    "model": "bench-chat",
    "messages": [{"role": "user", "content": "Say good day to the customer, kindly. " * 4}],
    "temperature": 0.2,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Hold what was seen: seconds from due to answered of what was answered well, how many were not, and the seconds
    that it took.
    """

    took_s: tuple[float, ...]
    failed: int
    lasted_s: float

    def percentile_s(self, share: float) -> float:
        """Give the time that a share of the answers did not pass."""
        ordered = sorted(self.took_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def offer(url: str, *, key: str, rate_per_s: float, seconds: float) -> Taken:
    """Ask for chat completions."""
    took_s: list[float] = []
    failures: list[str] = []
    body = json.dumps(BODY).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:

        async def ask(due_s: float) -> None:
            try:
                async with session.post(f"{url}/chat/completions", data=body) as response:
                    text = await response.read()
                    if response.status != 200:
                        failures.append(f"{response.status} {text[:200]!r}")
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                failures.append(repr(error))
                return
            took_s.append(time.perf_counter() - due_s)

        started_s = time.perf_counter()
        tasks: set[asyncio.Task[None]] = set()
        for number in range(int(rate_per_s * seconds)):
            due_s = started_s + number / rate_per_s
            delay_s = due_s - time.perf_counter()
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            task = asyncio.create_task(ask(due_s))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        while tasks:
            await asyncio.wait(tasks)
        lasted_s = time.perf_counter() - started_s
    if failures:
        print(f"  {len(failures)} failed, the first: {failures[0]}", flush=True)
    return Taken(took_s=tuple(took_s), failed=len(failures), lasted_s=lasted_s)
