"""Answer every POST after 50 ms with a chat completion: a vendor whose latency is fixed, in its own process.

The server is that of `bench.model_server`, which costs little and always the same; only what it says is another.
"""

import contextlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator

from bench import model_server

CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Good day to you. " * 8}, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 20, "completion_tokens": 40, "total_tokens": 60}
COMPLETION = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1,
    "model": "vendor-1",
    "choices": [CHOICE],
    "usage": USAGE,
}
ROOT = pathlib.Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Give the address of a vendor that runs for the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.gateway.vendor"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait(timeout=model_server.STOP_TIMEOUT_S)


if __name__ == "__main__":
    body = json.dumps(COMPLETION).encode()
    model_server.BODY = body
    model_server.ANSWER = model_server.HEAD % len(body) + body
    model_server.main()
