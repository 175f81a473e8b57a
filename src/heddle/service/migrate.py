"""Bring the database to what this version and `heddle.toml` say: migrations, partitions, deployment.

Safe to run again and beside running workers; a second run with nothing new changes nothing. Before it: `heddle migrate`
and `heddle up`. After it: workers and doors can start.
"""

from django.core import management
from django.db import connection, transaction

from heddle import wiring
from heddle.config import deployment
from heddle.store import apply, partitions


def migrate(wanted: deployment.Deployment) -> tuple[list[str], apply.Applied | None]:
    """Migrate, make partitions, apply a deployment; Django must be set up. See `ensure`."""
    management.call_command("migrate", interactive=False, verbosity=0)
    return ensure(wanted)


def ensure(wanted: deployment.Deployment) -> tuple[list[str], apply.Applied | None]:
    """Make partitions and apply a deployment, for a host whose own `migrate` has run.

    Gives the partitions made and what the deployment named. One that names nothing is not applied (None): a missing
    file must not switch off what runs.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        made = partitions.ensure(cursor, weeks_ahead=wiring.house_settings().partition_weeks_ahead)
    if wanted == deployment.EMPTY:
        return made, None
    with transaction.atomic(), connection.cursor() as cursor:
        return made, apply.apply(cursor, wanted)
