"""Find the example `product_shoot` and say how its two servers are started beside the service.

The example is part of the source, not of the installed package. In development, when nobody has written a
`heddle.toml`, it gives a new user something to run: a model server, a simulated paid provider, workflows. This module
starts nothing. Before it: `heddle.service.up`. After it: the supervisor.
"""

import base64
import dataclasses
import os
import pathlib
import secrets
import string
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

from heddle.service import child, ports

TEMPLATE = pathlib.Path("examples") / "product_shoot" / "heddle.toml"
WORKFLOWS = "examples.product_shoot.workflows"
STAGE = "outside"
API_KEY = "BACKDROP_API_KEY"
WEBHOOK_SECRET = "BACKDROP_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
SIMULATOR_FLAGS = ("--class", "A", "--price-usd", "0.04", "--fault-rate", "0.05", "--callback-fault-rate", "0.1")
LATENCY_MS = 800
SLOW_FACTOR = 4
SEED = 7
HEALTH_TIMEOUT_S = 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One start of the example's servers: where its source is, their ports and secrets, the provider's ledger."""

    root: pathlib.Path
    ledger: pathlib.Path
    model_server_port: int
    simulator_port: int
    api_key: str
    webhook_secret: str

    def environment(self) -> dict[str, str]:
        """Give what workers and the web server need to reach the servers."""
        return {API_KEY: self.api_key, WEBHOOK_SECRET: self.webhook_secret}

    def deployment_text(self) -> str:
        """Give the example's heddle.toml with the addresses filled in."""
        template = string.Template((self.root / TEMPLATE).read_text(encoding="utf-8"))
        return template.substitute(
            MODEL_SERVER_URL=f"http://127.0.0.1:{self.model_server_port}",
            SIMULATOR_URL=f"http://127.0.0.1:{self.simulator_port}",
        )

    def children(self, *, environ: Mapping[str, str], log_dir: pathlib.Path) -> list[child.ChildSpec]:
        """Give the two servers for the supervisor; each is ready when it says so itself."""
        ours = {**environ, **_simulator_environment(self)}
        model_server = ("examples.servers.model_server", "--port", str(self.model_server_port))
        simulator = ("heddle.providers.simulator.server", "--port", str(self.simulator_port), *_simulator_flags(self))
        health = f"http://127.0.0.1:{self.model_server_port}/v2/health/ready"
        return [
            _server(name="model-server", module=model_server, environ=environ, log_dir=log_dir, health=health),
            _server(
                name="simulator",
                module=simulator,
                environ=ours,
                log_dir=log_dir,
                health=f"http://127.0.0.1:{self.simulator_port}/v1/health",
            ),
        ]


def find_root() -> pathlib.Path | None:
    """Give the folder that holds the example: the working directory, or the source tree this package runs from."""
    candidates = (pathlib.Path.cwd(), pathlib.Path(__file__).resolve().parents[3])
    return next((folder for folder in candidates if (folder / TEMPLATE).is_file()), None)


def ledger_path(state_dir: pathlib.Path) -> pathlib.Path:
    """Give the provider's ledger of paid jobs."""
    return state_dir / "simulator" / "paid.jsonl"


def prepare(*, root: pathlib.Path, state_dir: pathlib.Path) -> Example:
    """Choose ports and secrets for one start."""
    ledger = ledger_path(state_dir)
    ledger.parent.mkdir(parents=True, exist_ok=True)
    return Example(
        root=root,
        ledger=ledger,
        model_server_port=ports.choose(),
        simulator_port=ports.choose(),
        api_key=secrets.token_urlsafe(24),
        webhook_secret="whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(),
    )


def python_path(*, root: pathlib.Path, environ: Mapping[str, str]) -> str:
    """Give a PYTHONPATH with which children find the example."""
    before = environ.get("PYTHONPATH", "")
    return os.pathsep.join([str(root), *([before] if before else [])])


def answers(url: str) -> bool:
    """Tell whether a server on this machine answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=HEALTH_TIMEOUT_S) as response:  # noqa: S310 - made by us, on loopback
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _simulator_environment(example: Example) -> dict[str, str]:
    return {
        "HEDDLE_SIMULATOR_API_KEY": example.api_key,
        "HEDDLE_SIMULATOR_WEBHOOK_SECRET": example.webhook_secret,
    }


def _simulator_flags(example: Example) -> tuple[str, ...]:
    return (
        *("--ledger", str(example.ledger), "--seed", str(SEED), "--concurrency", "8"),
        *("--latency-ms", str(LATENCY_MS), "--slow-factor", str(SLOW_FACTOR)),
        *SIMULATOR_FLAGS,
    )


def _server(
    *, name: str, module: tuple[str, ...], environ: Mapping[str, str], log_dir: pathlib.Path, health: str
) -> child.ChildSpec:
    return child.ChildSpec(
        name=name,
        argv=(sys.executable, "-m", *module),
        env=environ,
        log_path=log_dir / f"{name}.log",
        stop_timeout_s=5.0,
        ready=lambda: answers(health),
        ready_timeout_s=60.0,
        stage=STAGE,
    )
