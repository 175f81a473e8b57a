"""Run a vendor's package: its client against our twins, its server beside them.

A client is a script that asks the servers it is told of; a server is a script that serves until it is ended.

Either is a module beside this one, run by the Python of the vendor's environment with nothing of ours on its path but
these tests. What a client is told and gives back, and the port of a server, go by file, because packages print what
they like. Before it: a fixture of a test file. After it: the test, with what the package got and the twins' books say.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any

from heddle.twins.kit import faults, ledger, options, server
from tests.vendors import environments

SCRIPT_TIMEOUT_S = 180.0  # a package's first import on a machine with other work to do
LOOK_S = 0.05


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A twin that is wanted, and what it is like."""

    kind: type[server.Twin]
    plan: faults.Plan


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the package got, by the name of the step, and the twins' books, by the name of the twin."""

    said: Mapping[str, Any]
    books: Mapping[str, ledger.Summary]


def twin(kind: type[server.Twin], *, latency_s: float = 0.05, **rates: float) -> Wanted:
    """Want a twin with these rates of faults."""
    return Wanted(kind=kind, plan=faults.Plan(seed=7, latency_s=latency_s, rates=faults.Rates(**rates)))


def run(
    environment: str, folder: pathlib.Path, twins: Mapping[str, Wanted], *, beside: Mapping[str, str] | None = None
) -> Told:
    """Start the twins, have the vendor's script ask them, and give back what both sides say.

    beside: addresses of further servers that the script asks.
    """
    return asyncio.run(_run(environment, folder, twins, beside or {}))


async def _run(environment: str, folder: pathlib.Path, twins: Mapping[str, Wanted], beside: Mapping[str, str]) -> Told:
    books = {name: folder / f"{name}.jsonl" for name in twins}
    async with contextlib.AsyncExitStack() as stack:
        urls = dict(beside)
        for name, wanted in twins.items():
            made = wanted.kind(options.Options(ledger=books[name], plan=wanted.plan))
            urls[name] = (await stack.enter_async_context(server.Running(made))).url
        said = await asyncio.to_thread(script, environment, folder, urls)
    return Told(said=said, books={name: ledger.summarise(path) for name, path in books.items()})


def script(environment: str, folder: pathlib.Path, urls: Mapping[str, str]) -> Any:
    """Run a vendor's client to its end and give back what it wrote. Raises AssertionError with what it printed."""
    asked, answered = folder / "asked.json", folder / "answered.json"
    asked.write_text(json.dumps({"urls": dict(urls), "key": options.DEFAULT_API_KEY}))
    module = f"tests.vendors.with_{environment}"
    done = subprocess.run(
        [environments.python(environment), "-m", module, str(asked), str(answered)],
        check=False,
        cwd=folder,
        env=_variables(environment, folder),
        capture_output=True,
        text=True,
        timeout=SCRIPT_TIMEOUT_S,
    )
    assert done.returncode == 0, f"{module} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return json.loads(answered.read_text())


@contextlib.contextmanager
def serving(environment: str, folder: pathlib.Path) -> Iterator[str]:
    """Start a vendor's server, give its address once it has told its port, and end it."""
    port_file, printed = folder / "port", folder / "printed"
    module = f"tests.vendors.serve_{environment}"
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [environments.python(environment), "-m", module, str(port_file)],
            cwd=folder,
            env=_variables(environment, folder),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline_s = time.monotonic() + SCRIPT_TIMEOUT_S
        while not port_file.exists():
            assert process.poll() is None, f"{module} ended with {process.returncode}:\n{printed.read_text()}"
            assert time.monotonic() < deadline_s, f"{module} tells no port:\n{printed.read_text()}"
            time.sleep(LOOK_S)
        yield f"http://127.0.0.1:{port_file.read_text().strip()}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=SCRIPT_TIMEOUT_S)


def _variables(environment: str, folder: pathlib.Path) -> dict[str, str]:
    """Give the environment: nothing of ours, nobody's credentials, and a home for what packages keep."""
    path = f"{environments.python(environment).parent}:/usr/bin:/bin"
    return {"PATH": path, "HOME": str(folder), "PYTHONPATH": str(environments.ROOT)}
