"""Set a process up as one of the finished service: settings read, the environment completed, logs and Django ready.

The order matters: metrics of several processes and Django's settings both read the environment when they are first
imported. Raises what is wrong with the settings before anything else happens. Before it: a command. After it: wiring.
"""

import contextlib
import json
import os
import pathlib
import sys
from collections.abc import MutableMapping

from heddle.config import settings

UP_FILE = "up.json"
PYTHON_PATH = "PYTHONPATH"
DJANGO_SETTINGS = "heddle.service.settings"


def read_settings() -> settings.Settings:
    """Read the settings from the environment. Raises SettingRefused naming the setting."""
    return settings.load(environ=os.environ)


def beside_service() -> settings.Settings:
    """Read the settings of a command that runs beside `heddle up`: what that one chose counts where nothing is named.

    Without it, a second `heddle worker` or a `heddle migrate` would know neither the example's file nor its secrets.
    """
    path = pathlib.Path(read_settings().state_dir) / UP_FILE
    try:
        chosen = json.loads(path.read_text())
    except (OSError, ValueError):
        return read_settings()
    for name, value in chosen.items():
        if name == PYTHON_PATH:
            sys.path[:0] = [folder for folder in value.split(os.pathsep) if folder not in sys.path]
        os.environ.setdefault(name, value)
    return read_settings()


def complete(environ: MutableMapping[str, str], *, limits: settings.Settings, database_url: str) -> None:
    """Write what was found out into an environment, so that this process and its children agree."""
    environ["DATABASE_URL"] = database_url
    environ["HEDDLE_STATE_DIR"] = str(pathlib.Path(limits.state_dir).resolve())
    environ.setdefault("DJANGO_SETTINGS_MODULE", DJANGO_SETTINGS)


def logs(limits: settings.Settings) -> None:
    """Send this process's logs through one handler, in the form the settings name."""
    from heddle.telemetry import logs

    logs.configure(log_format=logs.LogFormat(limits.log_format), level=limits.log_level.upper())


def django() -> None:
    """Load Django with the settings that the environment names. Raises ImproperlyConfigured, SettingRefused.

    The modules of HEDDLE_WORKFLOWS are imported with it. What they print, and what the libraries print that they load,
    goes to standard error: standard output is the answer of a command, which a script reads.
    """
    import django

    with contextlib.redirect_stdout(sys.stderr):
        django.setup()


def command() -> None:
    """Load Django for a command that ends soon: one that is frozen in the middle of a transaction, as by Ctrl-Z, keeps
    its locks for ten seconds. Not for workers and doors, where others' code has connections of its own.
    """
    django()
    from heddle.service import door_connection

    door_connection.bound_all()
