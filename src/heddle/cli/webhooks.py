"""`heddle webhooks list`, `redeliver`, `enable`, `rotate`: look after what customers are told, on the machine itself.

They speak to the database and need neither the web server nor a key, as `heddle pause` does. Every change names the
user and the machine in the audit trail. Before it: an operator. After it: ``heddle.client.webhooks``.
"""

import argparse
import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from heddle.cli import complaints, operate, table
from heddle.client import pages
from heddle.config import settings
from heddle.service import database, secret, setup

if TYPE_CHECKING:
    from heddle import client


def index(given: argparse.Namespace) -> int:
    """List events, or addresses that get none."""
    with _desk() as desk:
        if given.disabled:
            return _list_disabled(desk, given)
        page = pages.read(
            lambda before, limit: desk.deliveries(
                tenant=given.tenant, state=given.state, run_id=given.run_id, before=before, limit=limit
            ),
            start=given.cursor,
            limit=given.limit,
            mark_of=lambda view: str(view.id),
        )
    rows = [
        {
            "id": str(each.id),
            "type": each.type,
            "state": each.state.value,
            "tries": each.tries,
            "next_at": None if each.next_at is None else f"{each.next_at:%Y-%m-%d %H:%M:%S}",
            "last": each.last_error or ("" if each.last_status is None else str(each.last_status)),
            "url": each.url,
        }
        for each in page.items
    ]
    table.tell(rows, heads=("ID", "TYPE", "STATE", "TRIES", "NEXT (UTC)", "LAST", "URL"), is_json=given.json)
    if page.following is not None:
        print(f"more: --cursor {page.following}", file=sys.stderr)
    return complaints.Exit.DONE


def _list_disabled(desk: "client.Webhooks", given: argparse.Namespace) -> int:
    page = pages.read(
        lambda before, limit: desk.disabled(tenant=given.tenant, before=before, limit=limit),
        start=given.cursor,
        limit=given.limit,
        mark_of=lambda view: str(view.place),
    )
    gone = [{"at": f"{each.place.at:%Y-%m-%d %H:%M:%S}", "url": each.url, "reason": each.reason} for each in page.items]
    table.tell(gone, heads=("AT (UTC)", "URL", "WHY"), is_json=given.json)
    if page.following is not None:
        print(f"more: --cursor {page.following}", file=sys.stderr)
    return complaints.Exit.DONE


def redeliver(given: argparse.Namespace) -> int:
    """Send events again."""
    with _desk() as desk:
        for event_id in given.ids:
            view = desk.redeliver(event_id, tenant=given.tenant, actor=operate.actor())
            print(f"{view.id}: {view.type} is due again, to {view.url}")
    return complaints.Exit.DONE


def enable(given: argparse.Namespace) -> int:
    """Let an address be sent to again."""
    with _desk() as desk:
        desk.enable(given.url, tenant=given.tenant, actor=operate.actor())
    print(f"{given.url}: sent to again; what was not sent meanwhile: heddle webhooks list --state disabled")
    return complaints.Exit.DONE


def rotate(given: argparse.Namespace) -> int:
    """Make the next secret and print it: alone on standard output, so that a script can take it."""
    _require_key(setup.beside_service())
    with _desk() as desk:
        made, version = desk.rotate(tenant=given.tenant, actor=operate.actor())
    print(made)
    print(f"Version {version} for tenant {given.tenant}; keep it, it is not shown again.", file=sys.stderr)
    return complaints.Exit.DONE


def _require_key(limits: settings.Settings) -> None:
    """Refuse to derive a secret from a key that was never used: nothing is signed with it, and a customer would refuse
    every webhook.
    """
    held = pathlib.Path(limits.state_dir).resolve() / secret.FILE
    if limits.database_url and not limits.secret_key and not held.exists():
        raise complaints.CommandRefused(
            f"HEDDLE_SECRET_KEY is not set and there is no {held}; name the key that your workers sign with, or the "
            "secret would fit none of your webhooks"
        )


@contextlib.contextmanager
def _desk() -> Iterator["client.Webhooks"]:
    """Give what webhooks are looked after through, on the database that the settings name."""
    limits = setup.beside_service()
    with database.using(limits) as address:
        setup.complete(os.environ, limits=limits, database_url=address)
        setup.command()
        from heddle import wiring
        from heddle.ports import operators

        try:
            yield wiring.webhooks()
        except (operators.SubjectMissing, operators.ChangeRefused) as error:
            raise complaints.CommandRefused(str(error)) from error
