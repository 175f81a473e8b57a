"""Find the database of the finished service: the one DATABASE_URL names, else the embedded one.

Commands that run beside `heddle up` use its server; alone they start it and, as its last user, stop it again. Only
those that begin a service make it: `using` refuses a folder without one. This module knows nothing of tables. Before
it: the command line. After it: `heddle.service.postgres`.
"""

import contextlib
import pathlib
from collections.abc import Iterator

from heddle.config import settings
from heddle.service import postgres, postgres_home

DIRECTORY = "postgres"


def embedded(limits: settings.Settings) -> postgres.EmbeddedPostgres:
    """Give the embedded server of the state directory, not started yet."""
    return postgres.EmbeddedPostgres(directory=pathlib.Path(limits.state_dir).resolve() / DIRECTORY)


class NoService(LookupError):
    """Say that no service was ever begun where one is looked for, and what to do."""


@contextlib.contextmanager
def using(limits: settings.Settings) -> Iterator[str]:
    """Give the address of a database that answers, and let go of it afterwards.

    Raises NoService when none is named and none was made here, PostgresUnavailable when the embedded server cannot be
    started; a named one is not asked.
    """
    directory = pathlib.Path(limits.state_dir).resolve()
    if not limits.database_url and not postgres_home.is_made(directory / DIRECTORY):
        raise NoService(
            f"there is no service in {directory}; go to the folder of yours, name its database with DATABASE_URL, "
            "or begin one here with `heddle up` or `heddle migrate`"
        )
    with making(limits) as address:
        yield address


@contextlib.contextmanager
def making(limits: settings.Settings) -> Iterator[str]:
    """Do as ``using``, and make the embedded server where there is none yet."""
    if limits.database_url:
        yield limits.database_url
        return
    server = embedded(limits)
    try:
        yield server.ensure().dsn
    finally:
        server.release()
