"""Bring the database to what this version and `heddle.toml` say: migrations, partitions, deployment.

Safe to run again and beside running workers; a second run with nothing new changes nothing. Before it: `heddle migrate`
and `heddle up`. After it: workers and doors can start.
"""

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

from django.core import management
from django.db import OperationalError, connection, transaction
from psycopg import errors

from heddle import wiring
from heddle.config import deployment
from heddle.providers import registry
from heddle.store import apply, partitions

TRIES_MAX = 20
TRY_AGAIN_S = 0.5
_LOG = logging.getLogger("heddle.migrate")


def migrate(wanted: deployment.Deployment) -> tuple[list[str], apply.Applied | None]:
    """Migrate, make partitions, apply a deployment; Django must be set up. See `ensure`.

    What is refused is refused before anything is changed.
    """
    registry.check(wanted, os.environ)
    for number in range(1, TRIES_MAX + 1):
        try:
            management.call_command("migrate", interactive=False, verbosity=0)
            break
        except OperationalError as error:
            if number == TRIES_MAX or not isinstance(error.__cause__, errors.LockNotAvailable):
                raise
            # A migration gives up soon, so that workers never queue behind it for long; the next try may find a gap.
            _LOG.warning("migrate.waiting try=%d of=%d error=%s", number, TRIES_MAX, " ".join(str(error).split()))
            time.sleep(TRY_AGAIN_S)
    return ensure(wanted)


def ensure(wanted: deployment.Deployment) -> tuple[list[str], apply.Applied | None]:
    """Make partitions and apply a deployment, for a host whose own `migrate` has run.

    Gives the partitions made and what the deployment named. One that names nothing is not applied (None), but for the
    schedules that code declares: a missing file must not switch off what runs. Raises EndpointRefused for an endpoint
    that no worker could use, DeploymentRefused for a schedule that both name, and for an endpoint that its price list
    cannot price.
    """
    registry.check(wanted, os.environ)
    with _transaction() as cursor:
        made = partitions.ensure(cursor, weeks_ahead=wiring.house_settings().partition_weeks_ahead)
    declared = wiring.schedules(wanted)
    if wanted == deployment.EMPTY:
        with _transaction() as cursor:
            apply.apply_schedules(cursor, declared, is_whole=False)
        return made, None
    with _transaction() as cursor:
        applied = apply.apply(cursor, wanted, prices=wiring.prices(wanted))
        count = apply.apply_schedules(cursor, declared, is_whole=True)
        return made, dataclasses.replace(applied, schedules=count)


@contextlib.contextmanager
def _transaction() -> Iterator[Any]:
    """Open a transaction that the server ends when this process is frozen in it, whosever the session is."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select set_config('idle_in_transaction_session_timeout', '10s', true)")
        yield cursor
