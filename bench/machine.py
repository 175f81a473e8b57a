"""Say what was measured on: the hardware line, the server's settings that matter, the versions.

A figure without this line means nothing. It reads and changes nothing.
"""

import os
import pathlib
import platform
import subprocess
from typing import Any

import django
import psycopg

SETTINGS = (
    "fsync", "synchronous_commit", "full_page_writes", "wal_level", "shared_buffers", "max_wal_size", "max_connections",
    "autovacuum", "jit",
)  # fmt: skip
UNKNOWN = "unknown"


def describe(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Give machine, server, settings and versions by name, in the order they are shown."""
    return {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "memory": f"{_memory_bytes() / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load_before": f"{os.getloadavg()[0]:.1f}",
        "postgresql": _one(connection, "select current_setting('server_version')"),
        "settings": ", ".join(f"{name} {_one(connection, 'select current_setting(%s)', name)}" for name in SETTINGS),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "django": django.get_version(),
        "psycopg": psycopg.__version__,
        "commit": _commit(),
    }


def line(described: dict[str, str]) -> str:
    """Give the hardware line that stands above every table."""
    return (
        f"{described['cpu']}, {described['cores']} cores, {described['memory']}, {described['kernel']};"
        f" PostgreSQL {described['postgresql']} on the same machine ({described['settings']});"
        f" Python {described['python']}, Django {described['django']}, psycopg {described['psycopg']};"
        f" load before {described['load_before']}; commit {described['commit']}"
    )


def _one(connection: psycopg.Connection[Any], statement: str, *values: str) -> str:
    row = connection.execute(statement, values or None).fetchone()
    assert row is not None
    return str(row[0])


def _cpu_model() -> str:
    path = pathlib.Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or UNKNOWN
    models = [text.partition(":")[2].strip() for text in path.read_text().splitlines() if text.startswith("model name")]
    return models[0] if models else platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _commit() -> str:
    """Name the source that was measured, with a plus when it differs from its commit."""
    folder = pathlib.Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            check=True,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return found.stdout.strip()
