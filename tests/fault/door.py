"""Run the product's web server as a process, and ask it as a client would: with a deadline, noting how long it took."""

import collections
import dataclasses
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from heddle.client import keys
from tests.fault import harness, programs

# What a client allows; longer than any answer may take, so that a hang is seen as such.
CLIENT_TIMEOUT_S = 30.0
BUCKET = re.compile(r"heddle_http_request_duration_seconds_bucket\{(?P<labels>.*)\} (?P<count>\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, and how long it took; status 0: nothing did."""

    status: int
    took_s: float
    retry_after: str | None
    body: Any


class Door:
    """One `heddle web` of an installation, behind whatever address of the database it is given."""

    def __init__(self, site: harness.Site, *, database_url: str, state_dir: pathlib.Path, **more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._key = keys.new_key()
        site.doors.create_api_key(
            tenant="default", name="door", key_hash=keys.key_hash(self._key),
            scopes=frozenset({"read", "write"}), expires_at=None,
        )  # fmt: skip
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HEDDLE_")},
            **programs.SETTINGS,
            "DATABASE_URL": database_url,
            "HEDDLE_STATE_DIR": str(state_dir),
            "HEDDLE_WEB_PORT": str(port),
            "PYTHONPATH": programs.PYTHONPATH,
            **more,
        }
        self.log = site.folder / "web.log"
        with self.log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "heddle.cli", "web"], env=environment, stdout=file, stderr=file, cwd=site.folder
            )
        programs.until(lambda: self.get("/healthz").status == 200, what=f"the door opens; see {self.log}")

    def get(self, path: str) -> Answer:
        return self._ask(urllib.request.Request(f"{self.url}{path}", headers=self._headers()))

    def submit(self, workflow: str, values: Mapping[str, Any], *, key: str) -> Answer:
        body = json.dumps({"workflow": workflow, "input": dict(values)}).encode()
        headers = {**self._headers(), "Content-Type": "application/json", "Idempotency-Key": key}
        return self._ask(urllib.request.Request(f"{self.url}/v1/runs", data=body, headers=headers))

    def times(self, route: str) -> dict[float, int]:
        """Tell from its own numbers how many answers at routes that begin so took at most how many seconds."""
        found: dict[float, int] = collections.Counter()
        for line in self.get("/metrics").body.splitlines():
            bucket = BUCKET.match(line)
            labels = {} if bucket is None else dict(LABEL.findall(bucket["labels"]))
            if bucket is not None and labels["route"].startswith(route):
                found[float(labels["le"])] += int(float(bucket["count"]))
        return found

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(timeout=programs.WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    def _ask(self, request: urllib.request.Request) -> Answer:
        started_s = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=CLIENT_TIMEOUT_S) as response:
                status, headers, body = response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            status, headers, body = error.code, error.headers, error.read()
        except OSError:
            return Answer(status=0, took_s=time.monotonic() - started_s, retry_after=None, body=None)
        took_s = time.monotonic() - started_s
        shown = json.loads(body) if "json" in headers.get("Content-Type", "") else body.decode(errors="replace")
        return Answer(status=status, took_s=took_s, retry_after=headers.get("Retry-After"), body=shown)
