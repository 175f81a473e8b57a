"""`heddle keys create`, `list`, `revoke`: make an API key, which is printed once and kept only as a hash; show whose
keys there are; refuse one from now on.
"""

import argparse
import datetime
import json
import os
import sys

from heddle.cli import complaints, operate, table
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
        setup.command()
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


def index(given: argparse.Namespace) -> int:
    """Show keys, the newest first: whose they are, never what they are."""
    with operate.desk() as desk:
        found = desk.api_keys(tenant=given.tenant, limit=given.limit)
    rows = [
        {
            "id": each.id,
            "tenant": each.tenant,
            "name": each.name,
            "scopes": " ".join(sorted(each.scopes)),
            **{moment: _shown(getattr(each, moment)) for moment in ("created_at", "expires_at", "revoked_at")},
        }
        for each in found
    ]
    heads = ("ID", "TENANT", "NAME", "MAY", "CREATED (UTC)", "EXPIRES", "REVOKED")
    table.tell(rows, heads=heads, is_json=given.json)
    return complaints.Exit.DONE


def revoke(given: argparse.Namespace) -> int:
    """Refuse a key from now on."""
    with operate.desk() as desk:
        since = desk.revoke_api_key(given.id, actor=operate.actor())
    print(f"key {given.id}: revoked {_shown(since)} UTC; doors that have just seen it refuse it within seconds")
    return complaints.Exit.DONE


def _shown(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S}"
