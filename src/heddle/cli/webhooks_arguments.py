"""Lay out `heddle webhooks …`. Before it: ``commands``. After it: ``webhooks``, imported when one is run."""

import argparse

_RUN = "heddle.cli.webhooks"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands."""
    listed = _add(commands, "list", "list webhooks and what became of them", "index")
    listed.add_argument("--state", default=None, help="due, delivered, dead or disabled (default: all)")
    listed.add_argument("--run", dest="run_id", default=None, metavar="RUN_ID", help="those of one run")
    listed.add_argument("--disabled", action="store_true", help="list the addresses that answered 410 Gone instead")
    listed.add_argument("--limit", type=int, default=20)
    listed.add_argument("--cursor", default=None, metavar="ID", help="what the page before named after 'more'")
    listed.add_argument("--json", action="store_true", help="print JSON")
    again = _add(commands, "redeliver", "send webhooks again from the start, under their ids", "redeliver")
    again.add_argument("ids", nargs="+", metavar="ID", help="as `heddle webhooks list` shows them")
    enabled = _add(commands, "enable", "send to an address again that answered 410 Gone", "enable")
    enabled.add_argument("url")
    _add(commands, "rotate", "make the next signing secret and print it once", "rotate")


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, function: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=f"{_RUN}:{function}")
    parser.add_argument("--tenant", default="default", help="whose (default: default)")
    return parser
