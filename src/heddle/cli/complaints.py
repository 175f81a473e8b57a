"""Word what went wrong for the person at the terminal: one sentence that names the thing and what to do, and a status.

The table below lists every refusal of the house that is somebody's to mend; only those are worded. Anything else is a
bug and keeps its traceback. Refusals are looked up among the modules that are loaded, so this module loads none.
"""

import enum
import sys


class Exit(enum.IntEnum):
    """The exit statuses, as `heddle --help` lists them."""

    DONE = 0
    UNWELL = 1
    REFUSED = 2
    UNREACHABLE = 3
    API_REFUSED = 4
    INTERRUPTED = 130


class CommandRefused(Exception):
    """Say in one sentence what is wrong with a command, and what to do."""

    def __init__(self, message: str, *, status: Exit = Exit.REFUSED) -> None:
        super().__init__(message)
        self.status = status


_WORDED = (
    ("heddle.config.settings", "SettingRefused", Exit.REFUSED),
    ("heddle.config.deployment", "DeploymentRefused", Exit.REFUSED),
    ("heddle.providers.registry", "EndpointRefused", Exit.REFUSED),
    ("heddle.program.errors", "RegistrationRefused", Exit.REFUSED),
    ("heddle.service.up", "StartRefused", Exit.REFUSED),
    ("heddle.service.ports", "NoFreePort", Exit.REFUSED),
    ("heddle.service.ports", "PortTaken", Exit.REFUSED),
    ("heddle.service.supervisor", "SupervisorError", Exit.UNWELL),
    ("heddle.service.database", "NoService", Exit.UNREACHABLE),
    ("heddle.service.postgres_home", "PostgresUnavailable", Exit.UNREACHABLE),
    ("heddle.ports.store", "StoreLost", Exit.UNREACHABLE),
    ("heddle.client.admission", "InvalidInput", Exit.REFUSED),
    ("django.core.exceptions", "ImproperlyConfigured", Exit.REFUSED),
)

_UNMIGRATED = (
    "the database has none of Heddle's tables, or not those of this release; run `heddle migrate`, or, where this is "
    "not the folder of your service, go there or name its database with DATABASE_URL"
)

_STOOD_STILL = (
    "the command stood still in the middle of a change, so the database ended it, and nothing of it was kept; run it "
    "again"
)
# SQLSTATEs of a server that answers and cannot just now: serialization and deadlock, too few resources, a lock that
# somebody else holds, a statement that took too long.
_BUSY = ("40", "53", "55", "57014")


def worded(error: BaseException) -> tuple[str, Exit] | None:
    """Give the sentence and status of a refusal, None for what is a bug."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", Exit.INTERRUPTED
    if isinstance(error, CommandRefused):
        return str(error), error.status
    for module, name, status in _WORDED:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return " ".join(str(error).split()), status
    # Django's own connection raises the first, a direct one the second.
    for module in ("django.db.utils", "psycopg"):
        database = getattr(sys.modules.get(module), "OperationalError", None)
        if database is not None and isinstance(error, database):
            return _of_database(error), Exit.UNREACHABLE
    if _lacks_a_table(error):
        return _UNMIGRATED, Exit.REFUSED
    if _stood_still(error):
        return _STOOD_STILL, Exit.UNWELL
    return None


def _of_database(error: BaseException) -> str:
    detail = " ".join(str(error).split())
    state = getattr(error if error.__cause__ is None else error.__cause__, "sqlstate", None) or ""
    if state.startswith(_BUSY):
        return f"the database answers and gave this up ({detail}); try again, and see `heddle doctor` if it stays"
    return f"the database of DATABASE_URL cannot be reached ({detail}); check the address and that it runs"


def _lacks_a_table(error: BaseException) -> bool:
    """Tell whether the database, asked by Django or by itself, does not know a table."""
    return _is_of_database(error, "UndefinedTable")


def _stood_still(error: BaseException) -> bool:
    """Tell whether the database ended a transaction whose process was frozen in the middle of it."""
    return _is_of_database(error, "IdleInTransactionSessionTimeout")


def _is_of_database(error: BaseException, name: str) -> bool:
    kind = getattr(sys.modules.get("psycopg.errors"), name, None)
    return kind is not None and isinstance(error if error.__cause__ is None else error.__cause__, kind)
