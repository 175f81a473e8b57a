"""`heddle pause`, `drain`, `resume`, `settle`, `retention`, `audit`: what an operator does on the machine itself.

They speak to the database and need neither the web server nor a key: who may use them is whoever has the database's
address. Every change names the user and the machine in the audit trail.
"""

import argparse
import contextlib
import getpass
import json
import os
import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from heddle.cli import complaints, given_json, table
from heddle.service import database, setup

if TYPE_CHECKING:
    from heddle import client


def pause(given: argparse.Namespace) -> int:
    """Let nothing new be claimed."""
    with desk() as house:
        since = house.pause(given.kind, given.name, actor=actor())
    print(f"{given.kind} {given.name}: paused since {since:%Y-%m-%d %H:%M:%S} UTC; what is in flight goes on")
    return complaints.Exit.DONE


def drain(given: argparse.Namespace) -> int:
    """Pause and wait until nothing is in flight; 1 when the time ended first."""
    last, held = "", None
    with desk() as house:
        try:
            for held in house.drain(given.kind, given.name, actor=actor(), timeout_s=given.timeout_s):
                line = f"in flight: {held.calls} calls, {held.steps} steps"
                if line != last:
                    print(line, file=sys.stderr)
                last = line
        except KeyboardInterrupt:
            print(f"{given.kind} {given.name}: stays paused; `heddle resume` undoes it", file=sys.stderr)
            raise
    assert held is not None, "a drain looks at least once"
    if held.total:
        print(f"{given.kind} {given.name}: paused; {held.total} still in flight after {given.timeout_s:g} s")
        return complaints.Exit.UNWELL
    print(f"{given.kind} {given.name}: drained")
    return complaints.Exit.DONE


def resume(given: argparse.Namespace) -> int:
    """Undo a pause."""
    with desk() as house:
        was_paused = house.resume(given.kind, given.name or "", actor=actor())
    shown = f"{given.kind} {given.name or ''}".strip()
    print(f"{shown}: {'goes on' if was_paused else 'was not paused'}")
    return complaints.Exit.DONE


def settle(given: argparse.Namespace) -> int:
    """Decide a step whose outcome nobody knows."""
    output = None
    if given.output is not None:
        output = given_json.read(given.output, option="--output")
    if given.verdict == "done" and given.output is None:
        raise complaints.CommandRefused("--as done needs --output, the result that the workflow goes on with")
    with desk() as house:
        house.settle(
            given.run_id, given.step, verdict=given.verdict, output=output, cost_usd=given.cost_usd, actor=actor()
        )
    print(f"step {given.step} of {given.run_id}: settled as {given.verdict}; heddle runs show {given.run_id}")
    return complaints.Exit.DONE


def audit(given: argparse.Namespace) -> int:
    """Show the latest changes made by hand."""
    with desk() as house:
        found = house.audit(limit=given.limit)
    if given.json:
        rows = [
            {
                "at": each.at.isoformat(),
                "actor": each.actor,
                "action": each.action,
                "subject": each.subject,
                "before": each.before,
                "after": each.after,
            }
            for each in found
        ]
        print(json.dumps(rows, indent=2))
        return complaints.Exit.DONE
    lines = [(f"{each.at:%Y-%m-%d %H:%M:%S}", each.actor, each.action, each.subject) for each in found]
    print(table.columns(lines, heads=("AT (UTC)", "WHO", "WHAT", "SUBJECT")))
    return complaints.Exit.DONE


def retention(given: argparse.Namespace) -> int:
    """Show which weeks may go and what keeps others; with --apply, remove them."""
    limits = setup.beside_service()
    with database.using(limits) as address:
        setup.complete(os.environ, limits=limits, database_url=address)
        setup.command()
        from heddle.store import retaining

        direct = limits.database_direct_url or address
        ahead = limits.partition_weeks_ahead
        try:
            with retaining.connect(direct) as connection:
                looked = retaining.outlook(connection, runs_days=limits.retention_runs_days, weeks_ahead=ahead)
        except retaining.NeedsDirect as error:
            raise complaints.CommandRefused(str(error)) from error
        if limits.retention_runs_days == 0:
            print("HEDDLE_RETENTION_RUNS_DAYS is 0: runs are kept for ever")
        for week in looked.removable:
            print(f"over: {retaining.shown(week.week)}: {', '.join(retaining.tables_of(week))}")
        for kept in looked.kept:
            print(f"kept beyond its time: {kept.week}: {kept.reason}")
        print(
            f"{len(looked.removable)} weeks may go, {len(looked.kept)} are kept beyond their time, {looked.young} stay"
        )
        if not given.apply:
            if looked.removable:
                print("nothing was removed; --apply removes them, and so does the leading worker within five minutes")
            return complaints.Exit.DONE
        report = retaining.run_at(
            direct,
            runs_days=limits.retention_runs_days,
            ledger_days=limits.retention_ledger_days,
            weeks_ahead=ahead,
        )
    print(f"removed {len(report.dropped)} tables, pruned {report.pruned} rows")
    for kept in report.kept:
        print(f"left: {kept.week}: {kept.reason}")
    return complaints.Exit.DONE


@contextlib.contextmanager
def desk() -> "Iterator[client.Operating]":
    """Open what operators change the installation through; refusals become sentences."""
    limits = setup.beside_service()
    with database.using(limits) as address:
        setup.complete(os.environ, limits=limits, database_url=address)
        setup.command()
        from heddle import wiring
        from heddle.ports import doors, operators

        try:
            yield wiring.operating()
        except (operators.SubjectMissing, operators.ChangeRefused) as error:
            raise complaints.CommandRefused(str(error)) from error
        except doors.RunMissing as error:
            raise complaints.CommandRefused(f"there is no run {error}") from error


def actor() -> str:
    """Name who uses the command line, for the audit trail."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"cli {user}@{socket.gethostname()}"
