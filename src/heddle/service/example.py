"""Find the example `product_shoot` and say how its servers are started beside the service.

The example is part of the source, not of the installed package. In development, when nobody has written a
`heddle.toml`, it gives a new user something to run: a model server, twins of paid providers, workflows. This module
starts nothing. Before it: `heddle.service.up`. After it: the supervisor.
"""

import base64
import dataclasses
import os
import pathlib
import secrets
import socket
import string
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence

from heddle.service import child, ports

TEMPLATE = pathlib.Path("examples") / "product_shoot" / "heddle.toml"
WORKFLOWS = "examples.product_shoot.workflows"
STAGE = "outside"
LATENCY_MS = 800
SLOW_FACTOR = 4
SEED = 7
HEALTH_TIMEOUT_S = 1.0
# Calls that come too often, jobs that drag, answers cut off after payment, callbacks late, twice or forged.
# No job fails: Replicate and fal tell why in prose, which is a permanent fault, and a good photograph's run would fail.
JOB_FAULTS = {"throttled": 0.04, "cut": 0.04, "slow": 0.04}
CALLBACK_FAULTS = {"callback_duplicated": 0.05, "callback_late": 0.05, "callback_forged": 0.05}
SIMULATOR_FLAGS = ("--class", "A", "--concurrency", "8", "--price-usd", "0.04")


def _rates(**shares: float) -> tuple[str, ...]:
    return tuple(word for fault, share in shares.items() for word in ("--rate", f"{fault}={share}"))


# Twin to its own arguments.
TWINS: Mapping[str, Sequence[str]] = {
    "simulator": (*SIMULATOR_FLAGS, "--fault-rate", "0.05", "--callback-fault-rate", "0.1"),
    "replicate": ("--scenes", *_rates(**JOB_FAULTS, **CALLBACK_FAULTS)),
    "fal": ("--scenes", *_rates(**JOB_FAULTS, **CALLBACK_FAULTS)),
    "openai": ("--scenes", *_rates(throttled=0.1, server_error=0.05, slow=0.05)),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One start of the example's servers: where its source is, ports, secrets, the providers' ledgers by name."""

    root: pathlib.Path
    ledgers: Mapping[str, pathlib.Path]
    model_server_port: int
    ports: Mapping[str, int]
    api_key: str
    webhook_secret: str

    def environment(self) -> dict[str, str]:
        """Give what workers and the web server need to reach the servers."""
        return {
            "BACKDROP_API_KEY": self.api_key,
            "BACKDROP_WEBHOOK_SECRET": self.webhook_secret,
            "TWIN_API_KEY": self.api_key,
            "TWIN_WEBHOOK_SECRET": self.webhook_secret,
        }

    def deployment_text(self) -> str:
        """Give the example's heddle.toml with the addresses filled in."""
        template = string.Template((self.root / TEMPLATE).read_text(encoding="utf-8"))
        return template.substitute(
            MODEL_SERVER_URL=f"http://127.0.0.1:{self.model_server_port}",
            **{f"{name.upper()}_URL": f"http://127.0.0.1:{port}" for name, port in self.ports.items()},
        )

    def children(self, *, environ: Mapping[str, str], log_dir: pathlib.Path) -> list[child.ChildSpec]:
        """Give the servers for the supervisor; each is ready when it says so itself, or takes a connection."""
        ours = {
            **environ,
            "HEDDLE_TWIN_API_KEY": self.api_key,
            "HEDDLE_TWIN_WEBHOOK_SECRET": self.webhook_secret,
        }
        model_server = ("examples.servers.model_server", "--port", str(self.model_server_port))
        health = f"http://127.0.0.1:{self.model_server_port}/v2/health/ready"
        servers = [_server("model-server", model_server, environ, log_dir, ready=lambda: answers(health))]
        for name, own in TWINS.items():
            twin = ("heddle.cli", "twin", name, *self._flags(name), *own)
            servers.append(_server(name, twin, ours, log_dir, ready=self._is_listening(name)))
        return servers

    def _flags(self, name: str) -> tuple[str, ...]:
        return (
            *("--port", str(self.ports[name]), "--ledger", str(self.ledgers[name]), "--seed", str(SEED)),
            *("--latency-ms", str(LATENCY_MS), "--slow-factor", str(SLOW_FACTOR)),
        )

    def _is_listening(self, name: str) -> Callable[[], bool]:
        return lambda: listens(self.ports[name])


def find_root() -> pathlib.Path | None:
    """Give the folder that holds the example: the working directory, or the source tree this package runs from."""
    candidates = (pathlib.Path.cwd(), pathlib.Path(__file__).resolve().parents[3])
    return next((folder for folder in candidates if (folder / TEMPLATE).is_file()), None)


def ledger_paths(state_dir: pathlib.Path) -> dict[str, pathlib.Path]:
    """Give each provider's ledger of what was paid."""
    return {name: state_dir / "providers" / f"{name}.jsonl" for name in TWINS}


def prepare(*, root: pathlib.Path, state_dir: pathlib.Path) -> Example:
    """Choose ports and secrets for one start."""
    (state_dir / "providers").mkdir(parents=True, exist_ok=True)
    ledgers = ledger_paths(state_dir)
    return Example(
        root=root,
        ledgers=ledgers,
        model_server_port=ports.choose(),
        ports={name: ports.choose() for name in ledgers},
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


def listens(port: int) -> bool:
    """Tell whether a server on this machine takes connections."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=HEALTH_TIMEOUT_S):
            return True
    except OSError:
        return False


def _server(
    name: str,
    module: tuple[str, ...],
    environ: Mapping[str, str],
    log_dir: pathlib.Path,
    *,
    ready: Callable[[], bool],
) -> child.ChildSpec:
    return child.ChildSpec(
        name=name,
        argv=(sys.executable, "-m", *module),
        env=environ,
        log_path=log_dir / f"{name}.log",
        stop_timeout_s=5.0,
        ready=ready,
        ready_timeout_s=60.0,
        stage=STAGE,
    )
