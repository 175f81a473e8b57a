"""Lay out the commands and run one: arguments in, exit status out.

Each command's module is imported when it is run and not before, so that `heddle --help` needs neither Django nor a
database. Refusals become one sentence on standard error; a bug keeps its traceback. Before it: a person or a script.
"""

import argparse
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Sequence

from heddle.cli import complaints, operate_arguments, output, run_arguments, spend_arguments, webhooks_arguments
from heddle.twins import registry as twins

EPILOG = """\
exit status:
  0    done
  1    a run did not succeed, the doctor found something wrong, or the service kept dying
  2    the command or a setting is wrong; the sentence on standard error names it
  3    the service or the database cannot be reached, or there is none here
  4    the service refused the request
  130  interrupted

Settings are variables HEDDLE_X of the environment (docs/reference/settings.md). `heddle up` leaves the address and key
of the service in .heddle/dev.json, which the other commands read; HEDDLE_API_URL and HEDDLE_API_KEY name another one.
NO_COLOR, not empty, keeps colour out of progress bars.
"""


def main(arguments: Sequence[str] | None) -> int:
    """Run one command. Without one, print the help."""
    output.take_any_text()
    try:
        status = _run(arguments)
        output.flush()
        return status
    except BrokenPipeError:
        # Whoever read our output has had enough, as `heddle runs list | head` does.
        output.drop()
        return complaints.Exit.DONE
    except BaseException as error:
        worded = complaints.worded(error) or output.worded(error, arguments=arguments)
        if worded is None:
            raise
        sentence, status = worded
        print(f"heddle: {sentence}", file=sys.stderr)
        return status


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    try:
        given = parser.parse_args(arguments)
    except SystemExit:
        # The help of a command was printed; a misspelt one has printed nothing here.
        output.flush()
        raise
    if given.run is None:
        parser.print_help()
        return complaints.Exit.DONE
    module, _, name = given.run.partition(":")
    run: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), name)
    return int(run(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="heddle",
        description="Durable, fast, fair and observable machine-learning inference.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"heddle {_version()}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add(commands, "up", "start everything on this machine and serve until Ctrl-C", "heddle.cli.up:run")
    demo = _add(commands, "demo", "run the example on real photographs and write the pictures", "heddle.cli.demo:run")
    demo.add_argument("--photos", metavar="FOLDER", help="your own photographs (default: PHOTOS, else packaged ones)")
    demo.add_argument("--out", metavar="FOLDER", default="out", help="where pictures and report.html go (default: out)")
    demo.add_argument("--seed", type=int, default=1, help="seed of the generated scenes (default: 1)")
    demo.add_argument(
        "--json", action="store_true", help="print the summary as JSON, and nothing else on standard output"
    )
    _add(commands, "web", "serve HTTP: the API, the console, the admin", "heddle.cli.web:run")
    worker = _add(commands, "worker", "run one worker", "heddle.cli.worker:run")
    worker.add_argument("--name", help="name in logs and in the console (default: host and process number)")
    gateway = _add(commands, "gateway", "serve OpenAI's and Replicate's shapes", "heddle.cli.gateway:run")
    gateway.add_argument("--name", help="name in logs and in the console (default: gateway, host and process number)")
    _add(commands, "migrate", "migrate the database, make partitions, apply heddle.toml", "heddle.cli.migrate:run")
    doctor = _add(commands, "doctor", "tell how everything is, and what to do", "heddle.cli.doctor:run")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    run_arguments.add(_group(commands, "runs", "start, show, watch and cancel runs"))
    _add_schedules(commands)
    endpoints = _add(commands, "endpoints", "list routes with what their calls came to", "heddle.cli.endpoints:index")
    endpoints.add_argument("--json", action="store_true", help="print JSON")
    operate_arguments.add(commands)
    spend_arguments.add(commands)
    webhooks_arguments.add(_group(commands, "webhooks", "look after what customers are told"))
    why = _add(commands, "why", "tell what a run waits for, and until when", "heddle.cli.why:run")
    why.add_argument("run_id")
    why.add_argument("--json", action="store_true", help="print JSON")
    twin = _add(
        commands, "twin", "serve a local twin of a vendor's API, with faults from a seed", "heddle.cli.twin:run"
    )
    twins.add_arguments(twin)
    keys = _group(commands, "keys", "make, show and revoke API keys")
    create = _add(keys, "create", "make a key and print it once", "heddle.cli.keys:create")
    create.add_argument("--tenant", default="default", help="whom it belongs to; made when new (default: default)")
    create.add_argument("--name", required=True, help="what it is for, to know it again")
    create.add_argument("--scopes", default="read,write", help="some of read, write, admin (default: read,write)")
    create.add_argument(
        "--days", type=int, default=None, metavar="N", help="expire after so many days (default: never)"
    )
    create.add_argument("--json", action="store_true", help="print JSON")
    shown = _add(keys, "list", "show whose keys there are, never the keys", "heddle.cli.keys:index")
    shown.add_argument("--tenant", default=None, help="of this tenant (default: of all)")
    shown.add_argument("--limit", type=int, default=50, metavar="N", help="at most so many, newest first (default: 50)")
    shown.add_argument("--json", action="store_true", help="print JSON")
    revoke = _add(keys, "revoke", "refuse a key from now on", "heddle.cli.keys:revoke")
    revoke.add_argument("id", type=int, metavar="ID", help="its number in `heddle keys list`")
    return parser


def _add_schedules(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listed = _add(
        commands, "schedules", "list what is started at set times, and how it went", "heddle.cli.schedules:index"
    )
    listed.add_argument("--limit", type=int, default=50, help="most schedules shown (default: 50)")
    listed.add_argument("--cursor", default=None, help="next_cursor of the page before")
    listed.add_argument("--json", action="store_true", help="print JSON")


def _group(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    parser = commands.add_parser(name, help=summary, description=summary)
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, run: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("heddle")
    except importlib.metadata.PackageNotFoundError:
        return "(from source)"
