"""Know which programs tests use, install them on a machine made for tests, say elsewhere what is missing.

`python -m tests.programs` installs all of them, system programs with apt and vendors' packages into environments of
their own (``vendors.environments``); `make test` runs it when HEDDLE_TEST_INSTALL is 1.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

from tests.vendors import environments

# Program to Debian package. Everything else that tests need comes from the lock file.
PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "chromium": "chromium",
    "faketime": "faketime",
    "pgbouncer": "pgbouncer",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "rabbitmq-server": "rabbitmq-server",
    "redis-server": "redis-server",
}
INSTALL_TIMEOUT_S = 900
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")


def find(name: str) -> str | None:
    """Return the path of a program, also from folders that only root searches."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS]))


def refusal(name: str) -> str | None:
    """Return why a test of this program cannot run here, with the command that would change it, or None."""
    if name.startswith(environments.PREFIX):
        return environments.refusal(name.removeprefix(environments.PREFIX))
    package = PACKAGES[name]
    return None if find(name) else f"{name} is not installed: apt-get install --no-install-recommends {package}"


def install() -> int:
    """Install what is missing and return a process status; servers are not started by being installed."""
    wanted = sorted({package for name, package in PACKAGES.items() if find(name) is None})
    if not wanted:
        return 0
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(
            f"HEDDLE_TEST_INSTALL needs root on Debian; the tests of {', '.join(wanted)} will be skipped.",
            file=sys.stderr,
        )
        return 0
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _services_held_back():
        update = ["apt-get", "update", "-qq"]
        subprocess.run(update, check=False, env=environment, timeout=INSTALL_TIMEOUT_S, stdout=subprocess.DEVNULL)
        command = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *wanted]
        done = subprocess.run(
            command, check=False, env=environment, timeout=INSTALL_TIMEOUT_S, stdout=subprocess.DEVNULL
        )
    if done.returncode != 0:
        print(
            f"apt-get ended with {done.returncode}; the tests of {', '.join(wanted)} will be skipped.", file=sys.stderr
        )
    return 0


@contextlib.contextmanager
def _services_held_back() -> Iterator[None]:
    """Keep packages from starting their servers, unless the machine has a policy of its own."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(install() or environments.install())
