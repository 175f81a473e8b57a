"""Run the finished service on one machine: database, migrations, web server, workers, and the example in development.

It decides what runs, with which addresses, and what is written to `dev.json`; how processes are kept alive is the
supervisor's. One service runs in a state directory at a time. Before it: `heddle up` and `heddle demo`. After it: the
processes, each of which can also be run by itself.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping

from heddle.config import settings
from heddle.service import child, database, example, ports, postgres, secret, setup, supervisor
from heddle.store import disk

DEV_FILE = "dev.json"
DEPLOYMENT_FILE = "heddle.toml"
LOCK_FILE = "up.lock"
METRICS_FOLDER = "metrics"
# What commands beside a running service take over; its database is found through the state directory.
_CHOSEN = ("HEDDLE_CONFIG_FILE", "HEDDLE_WORKFLOWS", "HEDDLE_WEB_PORT", "HEDDLE_GATEWAY_PORT", "PYTHONPATH")
POSTGRES = "postgres"
POSTGRES_CHECK_S = 0.3
WEB_STOP_S = 15.0
WORKER_STOP_MARGIN_S = 10.0

Tell = Callable[[str], object]


class StartRefused(RuntimeError):
    """Say in one sentence why the service cannot start, and what to do."""


class AlreadyUp(StartRefused):
    """Say that a service runs in this state directory."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the service is reached, and with which key; what `dev.json` holds besides the process numbers."""

    api_url: str
    console_url: str
    gateway_url: str
    api_key: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A service that runs: its addresses, its supervisor, and the providers' ledgers where the example runs."""

    addresses: Addresses
    supervisor: supervisor.Supervisor
    ledgers: Mapping[str, pathlib.Path] | None


@contextlib.contextmanager
def running(limits: settings.Settings, *, tell: Tell) -> Iterator[Started]:
    """Start everything and give it; on leaving, drain and stop everything.

    The caller keeps it alive with `started.supervisor.run`. Changes this process's environment and sets Django up.
    Raises AlreadyUp, StartRefused, and what the settings, the deployment file, PostgreSQL or the supervisor refuse.
    """
    state_dir = pathlib.Path(limits.state_dir).resolve()
    state_dir.mkdir(parents=True, exist_ok=True)
    with _only_one(state_dir), contextlib.ExitStack() as stack:
        limits = _with_ports(limits, tell=tell)
        stack.enter_context(ports.held(port=limits.web_port, host=limits.web_host))
        server = None if limits.database_url else database.embedded(limits)
        address, found = limits.database_url, None
        if server is not None:
            tell("postgres: starting")
            stack.callback(server.release)
            found = server.ensure()
            address = found.dsn
        shoot = _example(limits, state_dir=state_dir)
        _write_environment(limits, state_dir=state_dir, address=address, shoot=shoot)
        house = _House(limits=limits, state_dir=state_dir, server=server, tell=tell)
        house.postgres_pid = None if found is None else found.pid
        addresses = house.prepare()
        watched = stack.enter_context(house.supervise(shoot))
        for name in (DEV_FILE, setup.UP_FILE):
            stack.callback((state_dir / name).unlink, missing_ok=True)
        watched.start()
        house.write_dev_file()
        yield Started(addresses=addresses, supervisor=watched, ledgers=None if shoot is None else shoot.ledgers)


class _House:
    """The parts of one running service, and the file that tells where they are."""

    def __init__(
        self,
        *,
        limits: settings.Settings,
        state_dir: pathlib.Path,
        server: postgres.EmbeddedPostgres | None,
        tell: Tell,
    ) -> None:
        self._limits = limits
        self._state_dir = state_dir
        self._server = server
        self._tell = tell
        self.postgres_pid: int | None = None
        self._supervisor: supervisor.Supervisor | None = None
        self._addresses: Addresses | None = None

    def prepare(self) -> Addresses:
        """Migrate, apply the deployment, make the development key."""
        from heddle import wiring
        from heddle.providers import registry

        wanted = wiring.read_deployment(setup.read_settings())
        self._tell("database: migrating")
        setup.command()
        from django.db import connections

        from heddle.service import devkey, migrate

        problems = wiring.config_problems(wanted, os.environ)
        if problems:
            raise StartRefused(problems[0])
        for warning in registry.warnings(wanted):
            self._tell(f"warning: {warning}")
        migrate.migrate(wanted)
        base = f"http://{_shown_host(self._limits.web_host)}:{self._limits.web_port}"
        is_development = self._limits.environment == "development"
        key = devkey.ensure(state_dir=self._state_dir) if is_development else ""
        connections.close_all()
        limits = self._limits
        gateway = f"http://{_shown_host(limits.gateway_host)}:{limits.gateway_port}/v1" if limits.gateway_up else ""
        self._addresses = Addresses(
            api_url=base, console_url=f"{base}/console/", gateway_url=limits.gateway_url or gateway, api_key=key
        )
        return self._addresses

    def supervise(self, shoot: example.Example | None) -> supervisor.Supervisor:
        """Give the supervisor of all processes, nothing started yet."""
        log_dir = self._state_dir / "logs"
        environ = dict(os.environ)
        children = [] if shoot is None else shoot.children(environ=environ, log_dir=log_dir)
        children += [self._worker(number, log_dir=log_dir) for number in range(1, self._limits.workers + 1)]
        children.append(self._web(log_dir=log_dir))
        if self._limits.gateway_up:
            children.append(self._gateway(log_dir=log_dir))
        services = []
        if self._server is not None:
            is_alive = self._server.is_alive
            services.append(
                supervisor.ServiceSpec(
                    name=POSTGRES,
                    is_alive=is_alive,
                    mend=self._mend,
                    check_s=POSTGRES_CHECK_S,
                    hindrance=self._disk_shortage,
                )
            )
        self._supervisor = supervisor.Supervisor(children=children, services=services, tell=self._on_event)
        return self._supervisor

    def write_dev_file(self) -> None:
        """Write addresses, key and process numbers for this user's other programs."""
        assert self._supervisor is not None
        assert self._addresses is not None
        pids = self._supervisor.pids()
        if self.postgres_pid is not None:
            pids[POSTGRES] = self.postgres_pid
        text = json.dumps({**dataclasses.asdict(self._addresses), "pids": pids}, indent=2)
        secret.write_private(path=self._state_dir / DEV_FILE, text=text)

    def _on_event(self, line: str) -> None:
        """Pass a line of the supervisor's on; whatever happened, process numbers may have changed."""
        self._tell(line)
        if self._supervisor is not None and (self._state_dir / DEV_FILE).exists():
            try:
                self.write_dev_file()
            except OSError as error:
                # A full disk must not end the supervisor, which waits for it to be freed.
                self._tell(f"{DEV_FILE}: could not be written: {error}")

    def _disk_shortage(self) -> str | None:
        assert self._server is not None
        return disk.shortage(self._server.log_path.parent)

    def _mend(self) -> None:
        assert self._server is not None
        self.postgres_pid = self._server.ensure().pid

    def _worker(self, number: int, *, log_dir: pathlib.Path) -> child.ChildSpec:
        return child.ChildSpec(
            name=f"worker-{number}",
            argv=_command("worker", "--name", f"worker-{number}"),
            env=dict(os.environ),
            log_path=log_dir / f"worker-{number}.log",
            stop_timeout_s=self._limits.drain_s + WORKER_STOP_MARGIN_S,
            stage="workers",
        )

    def _gateway(self, *, log_dir: pathlib.Path) -> child.ChildSpec:
        url = f"http://{_shown_host(self._limits.gateway_host)}:{self._limits.gateway_port}/readyz"
        return child.ChildSpec(
            name="gateway",
            argv=_command("gateway", "--name", "gateway"),
            env=dict(os.environ),
            log_path=log_dir / "gateway.log",
            # Open requests are given their time first, then the worker behind them.
            stop_timeout_s=2 * self._limits.drain_s + WORKER_STOP_MARGIN_S,
            ready=lambda: example.answers(url),
            ready_timeout_s=60.0,
        )

    def _web(self, *, log_dir: pathlib.Path) -> child.ChildSpec:
        url = f"http://{_shown_host(self._limits.web_host)}:{self._limits.web_port}/readyz"
        return child.ChildSpec(
            name="web",
            argv=_command("web"),
            # We hold the port, between its starts as well; it is shared with us.
            env={**os.environ, "HEDDLE_WEB_PORT_SHARED": "true"},
            log_path=log_dir / "web.log",
            stop_timeout_s=WEB_STOP_S,
            ready=lambda: example.answers(url),
            ready_timeout_s=60.0,
        )


@contextlib.contextmanager
def _only_one(state_dir: pathlib.Path) -> Iterator[None]:
    """Hold the state directory; the kernel lets go of it when this process dies. Raises AlreadyUp."""
    with (state_dir / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyUp(
                f"Heddle is up in {state_dir} already; stop it first, or name another directory with HEDDLE_STATE_DIR"
            ) from error
        yield


def _with_ports(limits: settings.Settings, *, tell: Tell) -> settings.Settings:
    """Give settings whose ports are free ones: the named one, or any where none is named or the default is taken."""
    web_port = _free_port("web", host=limits.web_host, port=limits.web_port, tell=tell)
    limits = dataclasses.replace(limits, web_port=web_port)
    if not limits.gateway_up:
        return limits
    gateway_port = _free_port("gateway", host=limits.gateway_host, port=limits.gateway_port, tell=tell)
    return dataclasses.replace(limits, gateway_port=gateway_port)


def _free_port(name: str, *, host: str, port: int, tell: Tell) -> int:
    variable = f"HEDDLE_{name.upper()}_PORT"
    if port != 0 and ports.is_free(port=port, host=host):
        return port
    if port != 0 and variable in os.environ:
        raise StartRefused(f"{variable} is {port}, and something listens there already; name another, or 0 for any")
    chosen = ports.choose(host=host)
    if port != 0:
        tell(f"{name}: port {port} is taken; using {chosen}")
    return chosen


def _example(limits: settings.Settings, *, state_dir: pathlib.Path) -> example.Example | None:
    """Give the example when nobody has configured anything: development, no file named, none in its usual place."""
    is_named = "HEDDLE_CONFIG_FILE" in os.environ or pathlib.Path(limits.config_file).exists()
    if is_named or limits.environment != "development":
        return None
    root = example.find_root()
    return None if root is None else example.prepare(root=root, state_dir=state_dir)


def _write_environment(
    limits: settings.Settings, *, state_dir: pathlib.Path, address: str, shoot: example.Example | None
) -> None:
    """Complete the environment that this process and its children share."""
    from heddle.telemetry import multiprocess

    setup.complete(os.environ, limits=limits, database_url=address)
    os.environ["HEDDLE_WEB_PORT"] = str(limits.web_port)
    os.environ["HEDDLE_GATEWAY_PORT"] = str(limits.gateway_port)
    os.environ["PYTHONUNBUFFERED"] = "1"
    multiprocess.prepare(directory=state_dir / METRICS_FOLDER, environment=os.environ)
    if limits.compute_processes == 0:
        # Every worker would otherwise bring a process for every core.
        share = max(1, (os.cpu_count() or 1) // limits.workers)
        os.environ["HEDDLE_COMPUTE_PROCESSES"] = str(share)
    if shoot is not None:
        _use_example(shoot, state_dir=state_dir)
    chosen = {name: os.environ[name] for name in _CHOSEN if name in os.environ}
    chosen |= {} if shoot is None else shoot.environment()
    secret.write_private(path=state_dir / setup.UP_FILE, text=json.dumps(chosen))


def _use_example(shoot: example.Example, *, state_dir: pathlib.Path) -> None:
    """Point this process and its children at the example's file, workflows and secrets."""
    path = state_dir / DEPLOYMENT_FILE
    path.write_text(shoot.deployment_text(), encoding="utf-8")
    os.environ["HEDDLE_CONFIG_FILE"] = str(path)
    os.environ.setdefault("HEDDLE_WORKFLOWS", example.WORKFLOWS)
    os.environ["PYTHONPATH"] = example.python_path(root=shoot.root, environ=os.environ)
    if str(shoot.root) not in sys.path:
        sys.path.insert(0, str(shoot.root))
    os.environ.update(shoot.environment())


def _command(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "heddle.cli", *words)


def _shown_host(host: str) -> str:
    """Give a host that a client on this machine can connect to."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
