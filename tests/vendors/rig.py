"""Run a vendor's package against our servers: start the servers, start the vendor's script, read what it got.

The script is a module beside this one, run by the Python of the vendor's environment with nothing of ours on its path
but these tests. It is told addresses and gives back one JSON object, both by file, because packages print what they
like. Before it: a fixture of a test file. After it: the test, with what the package got and what the twins' books say.
"""

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import subprocess
from collections.abc import Mapping
from typing import Any

from heddle.twins.kit import faults, ledger, options, server
from tests.vendors import environments

SCRIPT_TIMEOUT_S = 60.0
ROOT = environments.ROOT


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


def run(environment: str, folder: pathlib.Path, twins: Mapping[str, Wanted]) -> Told:
    """Start the twins, have the vendor's script ask them, and give back what both sides say."""
    return asyncio.run(_run(environment, folder, twins))


async def _run(environment: str, folder: pathlib.Path, twins: Mapping[str, Wanted]) -> Told:
    books = {name: folder / f"{name}.jsonl" for name in twins}
    async with contextlib.AsyncExitStack() as stack:
        urls = {}
        for name, wanted in twins.items():
            made = wanted.kind(options.Options(ledger=books[name], plan=wanted.plan))
            urls[name] = (await stack.enter_async_context(server.Running(made))).url
        said = await asyncio.to_thread(script, environment, folder, urls)
    return Told(said=said, books={name: ledger.summarise(path) for name, path in books.items()})


def script(environment: str, folder: pathlib.Path, urls: Mapping[str, str]) -> Any:
    """Run a vendor's script to its end and give back what it wrote. Raises AssertionError with what it printed."""
    asked, answered = folder / "asked.json", folder / "answered.json"
    asked.write_text(json.dumps({"urls": dict(urls), "key": options.DEFAULT_API_KEY}))
    module = f"tests.vendors.with_{environment}"
    done = subprocess.run(
        [environments.python(environment), "-m", module, str(asked), str(answered)],
        check=False,
        cwd=folder,
        # Nothing of ours and nobody's credentials; a home of its own, since packages keep and look for files there.
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SCRIPT_TIMEOUT_S,
    )
    assert done.returncode == 0, f"{module} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return json.loads(answered.read_text())
