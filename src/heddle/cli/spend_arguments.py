"""Declare the arguments of `heddle quote` and `heddle spend …`."""

import argparse

PRIORITIES = ("interactive", "standard", "batch")
_RUN = "heddle.cli.spend"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add quote and spend."""
    summary = "tell what a run of a workflow, or a call of a model, will probably cost"
    quote = _add(commands, "quote", summary, "quote")
    quote.add_argument("name", help="a workflow; a model with --model")
    quote.add_argument("--model", action="store_true", help="NAME is a model")
    quote.add_argument("--priority", choices=PRIORITIES, default="standard", help="class of the call")
    quote.add_argument("--tokens", type=int, help="tokens that the call of a model says it uses")
    quote.add_argument("--images", type=int, help="images that the call of a model says it makes")
    quote.add_argument("--json", action="store_true", help="print JSON")
    about = "compare what was metered with what providers report, and correct charges"
    spend = commands.add_parser("spend", help=about, description=about)
    kinds = spend.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = _add(kinds, "show", "show metered and reported spend by endpoint and day; 1 when they do not fit", "show")
    show.add_argument("--days", type=int, default=31, help="how many days up to today (default: 31)")
    show.add_argument("--json", action="store_true", help="print JSON")
    summary = "keep what a provider reports: CSV or JSON lines with time, amount, account, or OpenAI's costs"
    taken = _add(kinds, "import", summary, "import_")
    taken.add_argument("file")
    taken.add_argument("--endpoint", required=True, help="whose spend it is, by its name in heddle.toml")
    for name, summary in (
        ("refund", "book money that a provider gave back for an attempt"),
        ("adjust", "book that an attempt cost another sum than was charged"),
    ):
        parser = _add(kinds, name, summary, name)
        parser.add_argument("run_id")
        parser.add_argument("step", type=int, help="the ordinal of the call, as `heddle runs show` lists it")
        parser.add_argument("--attempt", type=int, default=1, metavar="N", help="which attempt of it (default: 1)")
        parser.add_argument(
            "--amount-usd",
            required=True,
            metavar="USD",
            help="such as 0.04" + ("" if name == "refund" else "; =-0.04 for less"),
        )


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, function: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=f"{_RUN}:{function}")
    return parser
