"""`heddle steps unknown`: list the calls whose outcome at the provider nobody knows, on the machine itself.

It speaks to the database and needs neither the web server nor a key, as `heddle settle` does, which decides what is
listed here. Before it: an operator. After it: ``heddle.client.operating``.
"""

import argparse
import json
import sys

from heddle.cli import complaints, operate, table
from heddle.client import shown
from heddle.ports import operators

_HEADS = ("RUN", "STEP", "TENANT", "MODEL", "ENDPOINT", "JOB", "UNKNOWN SINCE (UTC)", "USD", "LOOKED UP")


def unknown(given: argparse.Namespace) -> int:
    """List calls of unknown outcome, those of the oldest runs first."""
    with operate.desk() as desk:
        page = desk.unknown_calls(tenant=given.tenant, after=given.cursor, limit=given.limit)
    written = shown.unknown_calls(page)
    if given.json:
        print(json.dumps(written, indent=2))
        return complaints.Exit.DONE
    rows = [
        (
            each["run"],
            str(each["step"]),
            each["tenant"],
            each["model"],
            each["endpoint"] or table.UNKNOWN,
            each["handle"] or table.UNKNOWN,
            each["unknown_since"][:19],
            each["price"] or table.UNKNOWN,
            _looked_up(view),
        )
        for each, view in zip(written["items"], page.calls, strict=True)
    ]
    print(table.columns(rows, heads=_HEADS))
    if written["next_cursor"]:
        print(f"more: --cursor {written['next_cursor']}", file=sys.stderr)
    return complaints.Exit.DONE


def _looked_up(view: operators.UnknownCall) -> str:
    if view.is_looked_up:
        return "now"
    return "never: settle it" if view.next_look_at is None else f"{view.next_look_at:%Y-%m-%d %H:%M:%S}"
