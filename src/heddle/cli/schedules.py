"""`heddle schedules`: show what is started by itself, when it comes next and how it went, through the HTTP API."""

import argparse
import json
import sys

from heddle.cli import complaints, remote, table


def index(given: argparse.Namespace) -> int:
    """List schedules."""
    page = remote.here().get("/v1/schedules", limit=given.limit, cursor=given.cursor)
    if given.json:
        print(json.dumps(page, indent=2))
        return complaints.Exit.DONE
    rows = [
        (
            each["name"],
            each["workflow"],
            each["cron"],
            each["time_zone"],
            _next(each),
            (each["last_at"] or "never")[:19],
            f"{each['started']}",
            f"{each['missed']}",
            each["problem"] or "",
        )
        for each in page["items"]
    ]
    heads = ("NAME", "WORKFLOW", "CRON", "TIME ZONE", "NEXT (UTC)", "LAST (UTC)", "STARTED", "MISSED", "PROBLEM")
    print(table.columns(rows, heads=heads))
    if page["next_cursor"]:
        print(f"more: --cursor {page['next_cursor']}", file=sys.stderr)
    return complaints.Exit.DONE


def _next(each: dict[str, str | None]) -> str:
    if not each["enabled"]:
        return "off"
    return "paused" if each["paused_at"] else str(each["next_at"])[:19]
