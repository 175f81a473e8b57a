"""`heddle keys create`: make an API key. It is printed once; the database holds only its hash."""

import argparse
import datetime
import json
import os
import sys

from heddle.cli import complaints
from heddle.service import database, setup


def create(given: argparse.Namespace) -> int:
    """Make a key for a tenant and print it: alone on standard output, so that a script can take it."""
    limits = setup.beside_service()
    expires_at = None
    if given.days is not None:
        if not 1 <= given.days <= 3_650:
            raise complaints.CommandRefused(f"--days is {given.days}; it must be from 1 to 3650")
        expires_at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=given.days)
    scopes = frozenset(filter(None, (part.strip() for part in given.scopes.split(","))))
    with database.using(limits) as address:
        setup.complete(os.environ, limits=limits, database_url=address)
        setup.django()
        from heddle import wiring

        key, view = wiring.client().create_key(
            tenant=given.tenant, name=given.name, scopes=scopes, expires_at=expires_at
        )
    if given.json:
        shown = {"key": key, "tenant": view.tenant.name, "name": view.name, "scopes": sorted(view.scopes)}
        print(json.dumps(shown, indent=2))
    else:
        print(key)
        print(
            f"Made for tenant {view.tenant.name} ({', '.join(sorted(view.scopes))}); keep it, it is not shown again.",
            file=sys.stderr,
        )
    return complaints.Exit.DONE
