"""`heddle migrate`: bring the database to what this version and heddle.toml say."""

import argparse
import os

from heddle.cli import complaints
from heddle.service import database, setup


def run(_given: argparse.Namespace) -> int:
    """Migrate, make partitions, apply the deployment; a second run changes nothing."""
    limits = setup.beside_service()
    with database.making(limits) as address:
        setup.complete(os.environ, limits=limits, database_url=address)
        setup.logs(limits)
        setup.command()
        from heddle import wiring
        from heddle.providers import registry
        from heddle.service import migrate

        wanted = wiring.read_deployment(limits)
        made, applied = migrate.migrate(wanted)
        print(f"migrated; partitions made: {len(made)}")
        if applied is None:
            print(f"{limits.config_file} does not exist; what was applied before stays as it is")
        else:
            print(
                f"{limits.config_file}: {applied.endpoints} endpoints, {applied.routes} routes, "
                f"{applied.models} models, {applied.scopes} scopes, {applied.tenants} tenants, "
                f"{applied.schedules} schedules"
            )
        for problem in wiring.config_problems(wanted, os.environ):
            print(f"note: {problem}")
        for warning in registry.warnings(wanted):
            print(f"warning: {warning}")
    return complaints.Exit.DONE
