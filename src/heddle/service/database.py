"""Find the database of the finished service: the one DATABASE_URL names, else the embedded one.

Commands that run beside `heddle up` use its server; alone they start it and, as its last user, stop it again. This
module knows nothing of tables. Before it: the command line. After it: `heddle.service.postgres`.
"""

import contextlib
import pathlib
from collections.abc import Iterator

from heddle.config import settings
from heddle.service import postgres

DIRECTORY = "postgres"


def embedded(limits: settings.Settings) -> postgres.EmbeddedPostgres:
    """Give the embedded server of the state directory, not started yet."""
    return postgres.EmbeddedPostgres(directory=pathlib.Path(limits.state_dir).resolve() / DIRECTORY)


@contextlib.contextmanager
def using(limits: settings.Settings) -> Iterator[str]:
    """Give the address of a database that answers, and let go of it afterwards.

    Raises PostgresUnavailable when the embedded server cannot be started; a named one is not asked.
    """
    if limits.database_url:
        yield limits.database_url
        return
    server = embedded(limits)
    try:
        yield server.ensure().dsn
    finally:
        server.release()
