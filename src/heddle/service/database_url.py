"""Turn DATABASE_URL into the entry of Django's DATABASES.

Only PostgreSQL is taken. Query parameters become libpq options (`sslmode`, `connect_timeout`, …), so an address means
the same to Django as to the workers' own connections. Before it: the settings of the finished service.
"""

import urllib.parse
from collections.abc import Mapping
from typing import Any

from heddle.config import settings
from heddle.service import door_connection

SCHEMES = frozenset({"postgres", "postgresql"})


def parse(url: str) -> dict[str, Any]:
    """Give ENGINE, NAME, USER, PASSWORD, HOST, PORT and OPTIONS. Raises SettingRefused naming what is wrong."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise settings.SettingRefused(f"DATABASE_URL is no address: {error}") from error
    if parts.scheme not in SCHEMES:
        raise settings.SettingRefused(
            f"DATABASE_URL begins with {parts.scheme or 'no scheme'}; it must begin with postgresql:// "
            "(Heddle keeps its state in PostgreSQL only)"
        )
    options = dict(urllib.parse.parse_qsl(parts.query))
    host = options.pop("host", None) or parts.hostname or ""
    given_port = options.pop("port", None) or (str(port) if port else "")
    name = urllib.parse.unquote(parts.path.lstrip("/"))
    if not name:
        raise settings.SettingRefused("DATABASE_URL names no database; write it after the host: …/heddle")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": urllib.parse.unquote(parts.username or ""),
        "PASSWORD": urllib.parse.unquote(parts.password or ""),
        "HOST": host,
        "PORT": given_port,
        "OPTIONS": options,
    }


def pooled(options: Mapping[str, Any], *, limits: settings.Settings) -> dict[str, Any]:
    """Give OPTIONS with a pool for the threads of a web process; a command that ends soon has no use for one.

    A thread holds one connection while it answers. CONN_HEALTH_CHECKS has each checked when it is taken, so that a
    restarted database costs no requests but those that met its end. A request waits for a connection for at most half
    of database_timeout_s and for the answer to a statement for the other half, so that it is refused in that time.
    """
    half_s = limits.database_timeout_s / 2
    pool = {
        "min_size": 0,
        "max_size": limits.web_threads + 1,
        "timeout": half_s,
        "max_idle": 60.0,
        # Given up soon, and begun anew by the next request: the pool doubles its wait, up to minutes, and keeps to it
        # when the database is back.
        "reconnect_timeout": 1.0,
        "connection_class": door_connection.bounded(half_s),
        "name": "heddle-web",
    }
    watched = {
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": int(half_s * 1000),
        "connect_timeout": max(2, int(half_s)),
    }
    return {**watched, **options, "pool": pool}
