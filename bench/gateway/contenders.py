"""Start what is measured: nothing in between, our gateway, LiteLLM's proxy; each as its own documentation starts it."""

import contextlib
import dataclasses
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from bench import house

ROOT = pathlib.Path(__file__).resolve().parents[2]
LITELLM = ROOT / ".bench-peers" / "venv-litellm" / "bin" / "litellm"
START_S = 120.0
STOP_S = 40.0
LOOK_S = 0.1
# Paid, so that each call's intent is committed before it is sent and each is booked; limited by slots and by rate.
DEPLOYMENT = """
[endpoints.bench-chat]
adapter = "http"
url = "{url}"
path = "/v1/chat/completions"
paid = true
price_usd = "0.0001"
timeout_s = 30.0
used_tokens = "/usage/total_tokens"
scopes = ["bench-chat"]

[scopes.bench-chat]
concurrency = 2_000
requests_per_min = 1_000_000
tokens_per_min = 1_000_000_000

[[routes]]
model = "bench-chat"
endpoint = "bench-chat"
"""
LITELLM_CONFIG = """
model_list:
  - model_name: bench-chat
    litellm_params:
      model: openai/vendor-1
      api_base: {url}/v1
      api_key: sk-vendor
general_settings:
  master_key: {key}
litellm_settings:
  telemetry: false
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Hold what is asked: its address with the key for it, its processes, and PostgreSQL's where it has one."""

    url: str
    key: str
    pids: tuple[int, ...] = ()
    postgres_pid: int | None = None


@contextlib.contextmanager
def direct(vendor_url: str) -> Iterator[Running]:
    """Put nothing in between."""
    yield Running(url=f"{vendor_url}/v1", key="sk-vendor")


@contextlib.contextmanager
def heddle(made: house.House, vendor_url: str) -> Iterator[Running]:
    """Run our gateway alone, as `heddle gateway` starts it."""
    from heddle import wiring

    made.empty()
    with made.deployed(DEPLOYMENT.format(url=vendor_url)):
        key, _ = wiring.client().create_key(tenant="default", name="bench")
        port = _free_port()
        command = [sys.executable, "-m", "heddle.cli", "gateway", "--name", "bench-gateway"]
        environment = {**os.environ, "HEDDLE_GATEWAY_PORT": str(port)}
        with _process(
            command, environment, made.folder / "gateway.log", ready=f"http://127.0.0.1:{port}/readyz"
        ) as pid:
            yield Running(url=f"http://127.0.0.1:{port}/v1", key=key, pids=(pid,), postgres_pid=made.postgres_pid)


@contextlib.contextmanager
def litellm(folder: pathlib.Path, vendor_url: str) -> Iterator[Running]:
    """Run LiteLLM's proxy with one worker and no database, which is what it does fastest."""
    key, port = f"sk-{secrets.token_hex(16)}", _free_port()
    config = folder / "litellm.yaml"
    config.write_text(LITELLM_CONFIG.format(url=vendor_url, key=key))
    command = [str(LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = {**kept, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with _process(
        command, environment, folder / "litellm.log", ready=f"http://127.0.0.1:{port}/health/liveliness"
    ) as pid:
        yield Running(url=f"http://127.0.0.1:{port}/v1", key=key, pids=(pid,))


def litellm_trouble() -> str | None:
    """Tell why LiteLLM cannot be measured, None when it can."""
    return None if LITELLM.exists() else f"{LITELLM} is not there; `make bench-gateway` makes its environment"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str], log: pathlib.Path, *, ready: str) -> Iterator[int]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=log.parent, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        _wait(process, log, ready)
        yield process.pid
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_S)
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], log: pathlib.Path, ready: str) -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        house.refuse_dead(process, log)
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(ready, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(LOOK_S)
    raise house.WorkersFailed(f"{ready} did not answer within {START_S:g} s; see {log}")
