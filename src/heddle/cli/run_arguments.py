"""Declare the arguments of `heddle runs …`."""

import argparse

from heddle.cli import operate_arguments


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add submit, list, show, watch, cancel, retry, signal and reprioritise."""
    submit = _add(commands, "submit", "start a run")
    submit.add_argument("workflow", help="registered name")
    submit.add_argument(
        "--input", default="{}", metavar="JSON", help="arguments by name; @FILE reads a file, - reads stdin"
    )
    submit.add_argument(
        "--artifact",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="upload a file and pass it as argument NAME",
    )
    submit.add_argument("--priority", choices=("interactive", "standard", "batch"), default=None)
    submit.add_argument("--deadline-s", type=float, default=None, metavar="S", help="expire after so many seconds")
    submit.add_argument("--max-cost-usd", default=None, metavar="USD", help="most the run may cost, such as 0.50")
    submit.add_argument("--label", action="append", default=[], metavar="NAME=VALUE", help="to find the run by")
    submit.add_argument(
        "--idempotency-key", default=None, metavar="KEY", help="names this request (default: a new one)"
    )
    submit.add_argument("--watch", action="store_true", help="watch it until it is over")

    listing = _add(commands, "list", "list runs, newest first")
    listing.add_argument("--workflow", default=None)
    listing.add_argument("--state", default=None, help="queued, running, succeeded, failed, cancelled or expired")
    listing.add_argument("--label", default=None, metavar="NAME=VALUE")
    listing.add_argument("--limit", type=int, default=20)
    listing.add_argument("--cursor", default=None, help="next_cursor of the page before")

    show = _add(commands, "show", "show one run with its steps, a page of them")
    show.add_argument("run_id")
    show.add_argument("--limit", type=int, default=50, help="most steps shown (default: 50)")
    show.add_argument("--cursor", default=None, help="next_cursor of the page before")
    watch = _add(commands, "watch", "show the progress of a run until it is over; 1 unless it succeeded")
    watch.add_argument("run_id")
    operate_arguments.add_filter(_add(commands, "cancel", "ask a run to stop, or every run of a filter"))
    operate_arguments.add_filter(
        _add(
            commands, "retry", "try the failed steps of a failed or expired run again, or of every such run of a filter"
        )
    )
    signal = _add(commands, "signal", "send a run a signal, which is kept until the run asks for it")
    signal.add_argument("run_id")
    signal.add_argument("name", help="as the workflow asks for it: heddle.signal(NAME)")
    signal.add_argument(
        "--value",
        default="null",
        metavar="JSON",
        help="what the workflow gets (default: null); @FILE reads a file, - reads stdin",
    )
    signal.add_argument(
        "--idempotency-key", default=None, metavar="KEY", help="the same key twice is one signal (default: a new one)"
    )
    reprioritise = _add(commands, "reprioritise", "give a run another class, or every run of a filter")
    operate_arguments.add_filter(reprioritise)
    reprioritise.add_argument("--to", choices=operate_arguments.PRIORITIES, required=True)


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    function = "index" if name == "list" else name
    parser.set_defaults(run=f"heddle.cli.runs:{function}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser
