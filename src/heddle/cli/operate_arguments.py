"""Declare the arguments of the operators' commands and of the bulk forms of `heddle runs …`."""

import argparse

PRIORITIES = ("interactive", "standard", "batch")
_RUN = "heddle.cli.operate"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add pause, drain, resume, steps, operations, settle, retention, canary and audit."""
    for name, summary in (
        ("pause", "start nothing new of an endpoint, model or tenant; what is in flight goes on"),
        ("drain", "pause, then wait until nothing is in flight; 1 when the time ends first"),
        ("resume", "undo a pause"),
    ):
        parser = _add(commands, name, summary)
        kinds = ("endpoint", "model", "tenant") + (("sending",) if name == "resume" else ())
        parser.add_argument("kind", choices=kinds)
        if name == "resume":
            parser.add_argument("name", nargs="?", default="", help="not for sending, which a restore pauses")
        else:
            parser.add_argument("name")
        if name == "drain":
            parser.add_argument(
                "--timeout-s", type=float, default=600.0, metavar="S", help="longest wait (default: 600)"
            )
    _steps(commands)
    _operations(commands)
    settle = _add(commands, "settle", "decide a step whose outcome at the provider nobody knows")
    settle.add_argument("run_id")
    settle.add_argument("step", type=int, help="the ordinal of the call, as `heddle runs show` lists it")
    settle.add_argument("--as", dest="verdict", choices=("done", "failed", "retry"), required=True)
    settle.add_argument(
        "--output", default=None, metavar="JSON", help="the result, for done; @FILE reads a file, - reads stdin"
    )
    settle.add_argument("--cost-usd", default=None, metavar="USD", help="what the provider charged, such as 0.04")
    retention = _add(commands, "retention", "show which weeks of history may go; --apply removes them")
    retention.add_argument("--apply", action="store_true", help="remove them (default: only show)")
    _canary(commands)
    audit = _add(commands, "audit", "show the latest changes made by hand")
    audit.add_argument("--limit", type=int, default=20)
    audit.add_argument("--json", action="store_true", help="print JSON")


def _steps(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    about = "find the steps that wait for somebody"
    kinds = commands.add_parser("steps", help=about, description=about).add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    summary = "list calls whose outcome at the provider nobody knows; `heddle settle` decides them"
    unknown = kinds.add_parser("unknown", help=summary, description=summary)
    unknown.set_defaults(run="heddle.cli.steps:unknown")
    unknown.add_argument("--tenant", default=None, help="of this tenant (default: of all)")
    unknown.add_argument(
        "--limit", type=int, default=50, metavar="N", help="at most so many, of the oldest runs first (default: 50)"
    )
    unknown.add_argument("--cursor", default=None, help="next_cursor of the page before")
    unknown.add_argument("--json", action="store_true", help="print JSON")


def _operations(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    about = "look after what `heddle runs` began to do to many runs"
    kinds = commands.add_parser("operations", help=about, description=about).add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    for name, summary in (
        ("show", "show how far a bulk operation is"),
        ("stop", "end a bulk operation after its present chunk; what it did stays"),
    ):
        parser = kinds.add_parser(name, help=summary, description=summary)
        parser.set_defaults(run=f"heddle.cli.bulk:{name}")
        parser.add_argument("id", metavar="ID", help="as --no-wait prints it")
        parser.add_argument("--tenant", default=None, help="another tenant's; needs a key with the scope admin")
        parser.add_argument("--json", action="store_true", help="print JSON")


def _canary(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    summary = "try a route of a model on a share of the traffic; it is rolled back by itself when it is worse"
    canary = commands.add_parser("canary", help=summary, description=summary)
    actions = canary.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, told in (
        ("start", "give a route its share and begin to compare it with the others of its tier"),
        ("promote", "let it be a route like the others, until it is reset"),
        ("rollback", "give it nothing more, until it is reset"),
        ("reset", "go back to what heddle.toml says of the route"),
    ):
        parser = actions.add_parser(name, help=told, description=told)
        parser.set_defaults(run=f"heddle.cli.canary:{name}")
        parser.add_argument("model")
        parser.add_argument("endpoint")
        if name == "start":
            parser.add_argument("--share", default="5%", metavar="SHARE", help="of its tier's traffic (default: 5%%)")
            parser.add_argument(
                "--margin", default="5%", metavar="SHARE", help="how much worse it may be (default: 5%%)"
            )


def add_filter(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which runs a bulk operation means."""
    parser.add_argument("run_id", nargs="?", default=None, help="one run; or name many by the options below")
    parser.add_argument("--workflow", default=None)
    parser.add_argument("--state", default=None, help="queued, running, failed or expired")
    parser.add_argument("--label", default=None, metavar="NAME=VALUE")
    parser.add_argument("--fault", default=None, help="the classified failure, such as rejected_transient")
    parser.add_argument("--created-after", default=None, metavar="TIME", help="such as 2027-01-31T09:00:00Z")
    parser.add_argument("--created-before", default=None, metavar="TIME")
    parser.add_argument("--tenant", default=None, help="another tenant's runs; needs a key with the scope admin")
    parser.add_argument("--dry-run", action="store_true", help="tell which runs are meant, and do nothing")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until it is done; the workers go on")


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=f"{_RUN}:{name}")
    return parser
