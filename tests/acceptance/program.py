"""Start the real program in a directory of its own, speak to it as a user would, and kill what it started.

Nothing of the program is imported for its work: it runs as `python -m heddle.cli` in processes of its own, and is seen
through its output, its exit status, `dev.json` and its HTTP API. Every wait is bounded and polls for an event.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
POLL_S = 0.1
START_TIMEOUT_S = 90.0


class Program:
    """One installation: a working directory, its state, the processes started in it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self._started: list[subprocess.Popen[str]] = []

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Give an environment without what this test session was started with, but what Python needs."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEDDLE_", "DJANGO_"))}
        kept.pop("DATABASE_URL", None)
        kept.pop("PHOTOS", None)
        python_path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH", "")])])
        ours = {"HEDDLE_STATE_DIR": str(self.state_dir), "HEDDLE_WEB_PORT": "0", "PYTHONPATH": python_path}
        ours |= {"HEDDLE_GATEWAY_PORT": "0"}
        return {**kept, **ours, **more}

    def start(self, *words: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command; its output is kept in a file beside the state."""
        log = self.log_of(words[0]).open("a")
        process = subprocess.Popen(
            [sys.executable, "-m", "heddle.cli", *words],
            cwd=self.folder,
            env=self.environment(environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        log.close()
        self._started.append(process)
        return process

    def run(self, *words: str, timeout_s: float = 60.0, environ: Mapping[str, str] | None = None) -> "Ended":
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "heddle.cli", *words],
            cwd=self.folder,
            env=self.environment(environ or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Ended(status=done.returncode, out=done.stdout, err=done.stderr)

    def finish(self, process: subprocess.Popen[str], *, timeout_s: float) -> "Ended":
        """Wait for a started command to end by itself."""
        out, _ = process.communicate(timeout=timeout_s)
        errors = "".join(path.read_text() for path in self.folder.glob("*.log"))
        return Ended(status=process.returncode, out=out, err=errors)

    def log_of(self, word: str) -> pathlib.Path:
        """Give where a started command's standard error goes."""
        return self.folder / f"{word}.log"

    def dev(self) -> dict[str, Any]:
        """Give what the running service wrote for its user, {} while it has not."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return dict(json.loads((self.state_dir / "dev.json").read_text()))
        return {}

    def wait_up(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Wait until the service has written where it is."""
        self.wait(lambda: bool(self.dev()), process=process, what="dev.json")
        return self.dev()

    def wait(self, is_so: Callable[[], bool], *, process: subprocess.Popen[str], what: str) -> None:
        """Wait for something to be so while a process runs; fail when it ends or the time is up."""
        until_s = time.monotonic() + START_TIMEOUT_S
        while not is_so():
            assert process.poll() is None, f"ended with {process.returncode} before {what}: {self._tail()}"
            assert time.monotonic() < until_s, f"no {what} within {START_TIMEOUT_S:.0f} s: {self._tail()}"
            time.sleep(POLL_S)

    def api(self, path: str) -> Any:
        """Give the JSON at a path of the running service; None while it does not answer."""
        dev = self.dev()
        if not dev:
            return None
        request = urllib.request.Request(dev["api_url"] + path, headers={"Authorization": f"Bearer {dev['api_key']}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.loads(response.read())
        except (urllib.error.URLError, OSError, ValueError):
            return None

    def post(self, path: str, body: object, *, headers: Mapping[str, str]) -> tuple[int, Any]:
        """Send JSON to a path of the running service; give the status and the JSON of the answer, a refusal's too."""
        dev = self.dev()
        named = {"Authorization": f"Bearer {dev['api_key']}", "Content-Type": "application/json", **headers}
        request = urllib.request.Request(dev["api_url"] + path, data=json.dumps(body).encode(), headers=named)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read())

    def steps_done(self) -> int:
        """Count the steps that are done, over all runs."""
        page = self.api("/v1/runs?limit=100")
        return sum(run["steps"]["done"] for run in page["items"]) if page else 0

    def kill(self, name: str) -> int:
        """Kill one of the service's processes dead, and give its number."""
        pid = int(self.dev()["pids"][name])
        os.kill(pid, signal.SIGKILL)
        return pid

    def close(self) -> None:
        """End what still runs, gently first."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(timeout=60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(timeout=10)
            if process.stdout is not None:
                process.stdout.close()

    def _tail(self) -> str:
        logs = sorted([*self.folder.glob("*.log"), *(self.state_dir / "logs").glob("*.log")])
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in logs)


class Ended:
    """What a command that ended left."""

    def __init__(self, *, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    def json(self) -> Any:
        """Read its standard output; fail with all it said when that is no JSON."""
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise AssertionError(f"status {self.status}\n{self.out}\n{self.err}") from error


@contextlib.contextmanager
def installed() -> Iterator[Program]:
    """Give an installation in a folder that the database's unprivileged user can reach, and remove it afterwards."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="heddle-acceptance-"))
    folder.chmod(0o755)
    made = Program(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
