"""`heddle quote` and `heddle spend …`: what something will cost, what was spent, and whether the provider agrees.

A quote is asked over HTTP with the caller's key. What concerns the whole installation (import, show, refund, adjust)
is done on the machine itself, like the other operators' commands, and kept in the audit trail.
"""

import argparse
import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from heddle.cli import complaints, operate, remote, table
from heddle.service import database, setup

if TYPE_CHECKING:
    from heddle import client
    from heddle.core.policy import invoice


def quote(given: argparse.Namespace) -> int:
    """Ask what a run of a workflow, or a call of a model, will probably cost."""
    api = remote.here()
    asked: dict[str, Any] = {"workflow": given.name}
    if given.model:
        asked = {"model": given.name, "priority": given.priority}
        used = {"tokens": given.tokens, "images": given.images}
        asked |= {name: units for name, units in used.items() if units is not None}
    found = api.post("/v1/runs/quote", asked).json()
    print(json.dumps(found, indent=2) if given.json else _quoted(found))
    return complaints.Exit.DONE


def _quoted(found: dict[str, Any]) -> str:
    if found["basis"] == "no_history":
        return f"{found['workflow']}: no run of it has succeeded lately, so nobody can tell what one costs"
    if found["basis"] == "history":
        return (
            f"{found['workflow']}: {found['median_cost']} USD in the middle, {found['p95_cost']} for 95 of 100, "
            f"{found['highest_cost']} at most, by its last {found['runs']} runs"
        )
    lines = [(each["endpoint"], str(each["tier"]), each["cost"]) for each in found["routes"]]
    wait = found["expected_wait_s"]
    head = f"{found['model']}: {found['low_cost']} to {found['high_cost']} USD a call"
    line = "" if wait is None else f"; it would wait for about {wait:g} s"
    return f"{head}{line}\n" + table.columns(lines, heads=("ENDPOINT", "TIER", "USD"))


def show(given: argparse.Namespace) -> int:
    """Show what was metered and reported; 1 when something does not fit."""
    with _purse() as purse:
        from heddle.core.policy import invoice

        limits = setup.read_settings()
        found = purse.compare(days=given.days)
        options = invoice.InvoiceOptions(
            divergence_ratio_max=limits.spend_divergence_ratio_max,
            divergence_nano_usd_min=int(limits.spend_divergence_usd_min * 1e9),
            silent_calls_min=limits.spend_silent_calls_min,
        )
        raised = {endpoint: sorted(invoice.alarms(options, days)) for endpoint, days in found.items()}
        if given.json:
            print(json.dumps({name: _as_json(days, raised[name]) for name, days in found.items()}, indent=2))
        else:
            print(_compared(found, invoice))
            for endpoint, alarms in raised.items():
                for alarm in alarms:
                    print(f"{endpoint}: {_ALARMS[alarm]}")
    return complaints.Exit.UNWELL if any(raised.values()) else complaints.Exit.DONE


_ALARMS = {
    "diverging": "metered and reported spend differ by more than allowed",
    "silent": "calls were paid for and nothing was booked",
    "unknown_key": "money was spent under an account that spend_accounts does not name",
}


def _compared(found: "dict[str, Sequence[invoice.DaySpend]] | Any", invoice: Any) -> str:
    from heddle.client import money

    rows = [
        (
            endpoint,
            day.day.isoformat(),
            str(day.calls),
            money.usd(day.metered_nano_usd),
            "-" if day.reported_nano_usd is None else money.usd(day.reported_nano_usd),
            "-" if day.reported_nano_usd is None else money.usd(invoice.difference_nano_usd([day])),
        )
        for endpoint, days in found.items()
        for day in days
    ]
    if not rows:
        return "nothing was metered and nothing reported"
    return table.columns(rows, heads=("ENDPOINT", "DAY (UTC)", "CALLS", "METERED USD", "REPORTED USD", "DIFFERENCE"))


def _as_json(days: "Sequence[invoice.DaySpend]", alarms: Sequence[str]) -> dict[str, Any]:
    from heddle.client import money

    return {
        "alarms": list(alarms),
        "days": [
            {
                "day": day.day.isoformat(),
                "calls": day.calls,
                "metered": money.usd(day.metered_nano_usd),
                "reported": None if day.reported_nano_usd is None else money.usd(day.reported_nano_usd),
                "unknown": money.usd(day.unknown_nano_usd),
            }
            for day in days
        ],
    }


def import_(given: argparse.Namespace) -> int:
    """Keep what a provider reports."""
    path = pathlib.Path(given.file)
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise complaints.CommandRefused(f"{given.file} cannot be read: {error}") from error
    if len(content) > BYTES_MAX:
        raise complaints.CommandRefused(f"{given.file} has more than {BYTES_MAX} bytes; import it in parts")
    with _purse() as purse:
        count = purse.import_report(text, endpoint=given.endpoint, source=path.name, actor=operate.actor())
    print(f"{count} days and accounts of {given.endpoint} kept; `heddle spend show` compares them")
    return complaints.Exit.DONE


BYTES_MAX = 64 * 1024 * 1024


def refund(given: argparse.Namespace) -> int:
    """Book money that a provider gave back."""
    return _correct(given, "refund")


def adjust(given: argparse.Namespace) -> int:
    """Book that a call cost another sum than was charged."""
    return _correct(given, "adjustment")


def _correct(given: argparse.Namespace, correction: str) -> int:
    with _purse() as purse:
        purse.correct(
            given.run_id,
            given.step,
            number=given.attempt,
            correction=correction,
            amount_usd=given.amount_usd,
            actor=operate.actor(),
        )
    print(f"{correction} of {given.amount_usd} USD booked to step {given.step} of {given.run_id}")
    return complaints.Exit.DONE


@contextlib.contextmanager
def _purse() -> "Iterator[client.Spending]":
    limits = setup.beside_service()
    with database.using(limits) as address:
        setup.complete(os.environ, limits=limits, database_url=address)
        setup.command()
        from heddle import wiring
        from heddle.ports import doors, spending

        try:
            yield wiring.spending()
        except spending.CorrectionRefused as error:
            raise complaints.CommandRefused(str(error)) from error
        except doors.RunMissing as error:
            raise complaints.CommandRefused(f"there is no run {error}") from error
