"""Tell whether what Heddle needs stands: the database and its schema, partitions ahead, artifacts, the disk.

Each look is one sentence that says what is wrong and what to do, or None. Nothing is mended here. Before it: readiness
and ``heddle doctor``. After it: a person.
"""

import functools
import pathlib
from collections.abc import Callable

from heddle.store import blobs, disk, partitions, schema, statements

# A partition shortage is told a week before the first run would be refused.
PARTITION_WEEKS_MIN = 1.0


def checks(*, storage: blobs.FilesystemBlobs, state_dir: pathlib.Path) -> dict[str, Callable[[], str | None]]:
    """Give the looks by name."""
    return {
        "database": _database,
        "schema": _schema,
        "partitions": _partitions,
        "artifacts": functools.partial(_artifacts, storage),
        "disk": functools.partial(disk.shortage, state_dir),
    }


def _database() -> str | None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("select pg_is_in_recovery()")
        if cursor.fetchone() == (True,):
            return "the server is a standby, where nothing can be written; point DATABASE_URL at the primary"
    return None


def _schema() -> str | None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statements.load("migrations_known"))
        if cursor.fetchone() != (True,):
            return schema.problem(())
        cursor.execute(statements.load("migrations_applied"))
        return schema.problem(name for (name,) in cursor.fetchall())


def _artifacts(storage: blobs.FilesystemBlobs) -> str | None:
    from django.db import connection

    problem = storage.check_sync()
    if problem is not None or not storage.is_empty_sync():
        return problem
    with connection.cursor() as cursor:
        cursor.execute(statements.load("artifacts_known"))
        is_known = cursor.fetchone() == (True,)
    if not is_known:
        return None
    return (
        "the artifact folder holds nothing, and the database knows of artifacts: mount it, or set HEDDLE_ARTIFACT_DIR; "
        "if they are lost for good, make a folder of any name in it"
    )


def _partitions() -> str | None:
    from django.db import connection

    with connection.cursor() as cursor:
        weeks = partitions.weeks_left(cursor)
    if weeks >= PARTITION_WEEKS_MIN:
        return None
    return f"partitions exist for {max(0.0, weeks):.1f} weeks from now; run `heddle migrate`"
