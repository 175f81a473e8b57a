"""Post to the model server with nothing but an HTTP client: what our HTTP steps are compared to, in the same minutes.

As many processes and as many calls in flight as the workers have, aiohttp on uvloop, every answer read and decoded. No
queue, no rows, no limits. `python -m bench.bare_http URL COUNT IN_FLIGHT` is one process.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import time

from bench import house
from bench.figures import Figure, Unit

PROCESSES = house.WORKERS
IN_FLIGHT = house.CONCURRENCY
TIMEOUT_S = 120.0
ASK = {"prompt": "a coat in a street in Paris", "seed": 1}


def measure(running: house.House, *, posts: int, in_flight: int = IN_FLIGHT) -> list[Figure]:
    """Post so often, from two processes together. Raises CalledProcessError when one fails."""
    words = [sys.executable, "-m", "bench.bare_http", running.model_url, str(posts // PROCESSES)]
    words.append(str(in_flight // PROCESSES))
    started = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    spans = []
    try:
        for process in started:
            output, _ = process.communicate(timeout=TIMEOUT_S)
            if process.returncode:
                raise subprocess.CalledProcessError(process.returncode, words)
            spans.append(json.loads(output))
    finally:
        for process in started:
            process.kill()
            process.wait()
    seconds = max(span["ended_s"] for span in spans) - min(span["began_s"] for span in spans)
    done = posts // PROCESSES * PROCESSES
    cpu_us = sum(span["cpu_s"] for span in spans) / done * 1e6
    return [
        Figure(name="bare_http_per_s", value=done / seconds, unit=Unit.PER_S),
        Figure(name="bare_http.cpu_us_per_post", value=cpu_us, unit=Unit.MICROSECONDS),
    ]


async def _post_all(url: str, posts: int, in_flight: int) -> None:
    import aiohttp

    left = iter(range(posts))
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as session:

        async def work() -> None:
            for _ in left:
                async with session.post("/", json=ASK) as answer:
                    answer.raise_for_status()
                    await answer.json()

        await asyncio.gather(*(work() for _ in range(min(in_flight, posts))))


def main() -> None:
    """Post, and print when it began and ended and the CPU it took."""
    import uvloop

    url, posts, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    began_s, cpu_s = time.time(), time.process_time()
    uvloop.run(_post_all(url, posts, in_flight))
    print(json.dumps({"began_s": began_s, "ended_s": time.time(), "cpu_s": time.process_time() - cpu_s}))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
