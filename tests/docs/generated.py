"""Write what the documents repeat from the code: ``python -m tests.docs.generated``.

Whole pages (settings, command line, faults, states) and marked blocks inside pages written by hand (problem codes, the
drawings of the state machines, the layers). A test holds the files to what this gives. Before it: the tables of the
code. After it: ``docs/``.
"""

import argparse
import pathlib
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping

from heddle.cli import commands
from heddle.config import reference
from heddle.core import attempt, faults, run, step
from heddle.telemetry.catalog import alerts, metrics, slos
from heddle.telemetry.catalog.records import Metric, Severity
from tests.docs import paid_calls_page, provider_page

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEAD = "<!-- Written by `python -m tests.docs.generated` from {source}. Change that, not this file. -->\n\n"
BEGIN, END = "<!-- begin generated: {name} -->", "<!-- end generated -->"
Moves = Mapping[str, tuple[str, ...]]


def pages() -> dict[str, str]:
    """Give the text of each page that is generated whole, by its path."""
    return {
        "docs/reference/settings.md": reference.markdown(),
        "docs/reference/cli.md": command_page(),
        "docs/reference/faults.md": fault_page(),
        "docs/reference/states.md": state_page(),
        "docs/providers.md": provider_page.page(HEAD.format(source="src/heddle/providers")),
    }


def blocks() -> dict[str, dict[str, str]]:
    """Give the text of each generated block, by path and name."""
    return {
        "docs/reference/http.md": {"problems": problem_table()},
        "docs/operations.md": {"silent alerts": silent_alerts()},
        "docs/paid-calls.md": {"guarantees": paid_calls_page.table()},
        "docs/architecture.md": {
            "layers": layer_drawing(),
            "run states": drawing(run_moves()),
            "step states": drawing(step_moves()),
            "attempt states": drawing(attempt_moves()),
        },
    }


def expected() -> dict[str, str]:
    """Give every file as it should be. Raises ValueError for a page that lost the marks of a block."""
    files = pages()
    for path, parts in blocks().items():
        text = (ROOT / path).read_text(encoding="utf-8")
        for name, part in parts.items():
            text = _with_block(text, name=name, part=part, path=path)
        files[path] = text
    return files


def _with_block(text: str, *, name: str, part: str, path: str) -> str:
    begin = BEGIN.format(name=name)
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{path} has no block {begin} … {END}")
    return f"{before}{begin}\n\n{part.strip()}\n\n{END}{after}"


# States


def run_moves() -> Moves:
    """Give the moves of a run, in the order of its states."""
    return {each.value: _ordered(run.RunState, run.TRANSITIONS[each]) for each in run.RunState}


def step_moves() -> Moves:
    """Give the moves of a step."""
    return {each.value: _ordered(step.StepState, step.TRANSITIONS[each]) for each in step.StepState}


def attempt_moves() -> Moves:
    """Give the moves of an attempt."""
    return {each.value: _ordered(attempt.AttemptState, attempt.TRANSITIONS[each]) for each in attempt.AttemptState}


def _ordered(
    kind: type[run.RunState] | type[step.StepState] | type[attempt.AttemptState], chosen: frozenset[str]
) -> tuple[str, ...]:
    return tuple(each.value for each in kind if each in chosen)


def drawing(moves: Moves) -> str:
    """Draw a state machine. The first state is where one begins; a state without moves is an end."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(moves))}"]
    lines += [f"    {source} --> {target}" for source, targets in moves.items() for target in targets]
    lines += [f"    {source} --> [*]" for source, targets in moves.items() if not targets]
    return "\n".join([*lines, "```"])


def state_page() -> str:
    """Write the states of runs, steps and attempts with every allowed move."""
    source = "the transition tables of src/heddle/core/{run,step,attempt}.py"
    chapters = (
        ("Run", run_moves(), {each.value for each in run.TERMINAL}, RUN_MEANINGS),
        ("Step", step_moves(), {each.value for each in step.TERMINAL}, STEP_MEANINGS),
        ("Attempt", attempt_moves(), {each.value for each in attempt.TERMINAL}, ATTEMPT_MEANINGS),
    )
    text = HEAD.format(source=source) + STATE_INTRODUCTION
    for title, moves, ends, meanings in chapters:
        text += f"\n## {title}\n\n| State | Meaning | An end? | May become |\n| --- | --- | --- | --- |\n"
        for name, targets in moves.items():
            after = ", ".join(f"`{each}`" for each in targets) or "nothing"
            text += f"| `{name}` | {meanings[name]} | {'yes' if name in ends else 'no'} | {after} |\n"
    return text


STATE_INTRODUCTION = """\
# States

Stored states and the moves the code allows between them. The database repeats the lists as constraints. An end that
may still become something is left only by a retry (`POST /v1/runs/{id}/retry`), or, for an attempt, by a late answer.

Two more words are shown and not stored. A run is shown as `waiting` when nothing of it is due, and as `cancelling`
from the request to stop until it has. A step is *ready* or *leased* when it is `due` and has a row in that table; a
step that will be tried again is `waiting` with a timer.
"""
RUN_MEANINGS = {
    "queued": "accepted and durable; its function has not run yet",
    "running": "its function has run, or calls are open",
    "succeeded": "its function returned and everything it returned is there",
    "failed": "its function raised, or a call failed that nobody handled",
    "cancelled": "somebody, or the run above it, stopped it; in the second case it goes on when that run is retried",
    "expired": "its deadline passed",
}
STEP_MEANINGS = {
    "blocked": "a call it takes a value from has not ended",
    "due": "ready, or leased by a worker",
    "pending": "a provider works on it; no worker is held, its slots are",
    "waiting": "for a timer, a signal or a child run",
    "unknown": "sent, and whether it was accepted is not known",
    "succeeded": "its output is stored",
    "failed": "its fault is stored",
    "cancelled": "stopped with its run",
    "skipped": "a call it takes a value from failed",
}
ATTEMPT_MEANINGS = {
    "reserved": "claimed; nothing sent",
    "sending": "its intent is durable; bytes may leave",
    "accepted": "the provider gave a handle",
    "done": "it ended with a result",
    "rejected": "it ended with a fault",
    "unknown": "sent, and the outcome is not known",
    "late": "an answer came after the step had moved on",
    "abandoned": "reserved and never sent, or free and cut off",
}


# Faults and problems


def fault_page() -> str:
    """Write the fixed vocabulary of failure."""
    text = HEAD.format(source="src/heddle/core/faults.py") + FAULT_INTRODUCTION
    for fault, law in faults.FAULTS.items():
        marks = (law.is_retryable, law.counts_for_breaker, law.may_be_billed)
        shown = " | ".join("yes" if mark else "no" for mark in marks)
        text += f"| `{fault.value}` | {law.meaning} | {shown} | {law.http_status} |\n"
    return text


FAULT_INTRODUCTION = """\
# Faults

Every failure of a step is one of these. Adapters and the engine choose it by a table of status and code, never by
searching a message; what no table names is `unclassified` and is logged whole. A run's `error` and a step's `fault`
carry it as `{"fault": …, "message": …, "where": …}`. A `code` tells kinds of one fault apart: a
`bad_output` of the code `quality` arrived whole and was refused by a [gate](../howto/route-and-canary.md) of its model;
it is tried again up to the gate's `tries_max`. A `not_sent` of the code `input_unread` failed before its endpoint was
asked, since our own artifact storage could not give an input: it counts against no breaker and no scorecard.

*Tried again*: within the step's own retry options, with full jitter, after a `Retry-After` if there was one.
*Breaker*: counts against the endpoint's scopes. *Billed*: the provider may have charged. *HTTP*: the status that means
the same (RFC 9110); a door that is asked for the run answers `200` whatever became of it.

| Fault | Meaning | Tried again | Breaker | Billed | HTTP |
| --- | --- | --- | --- | --- | --- |
"""


def problem_table() -> str:
    """Write the codes of refused requests."""
    from tests import pg  # Django reads its settings before the doors can be imported.

    pg.set_up_django()
    from heddle.api import problems

    rows = [f"| {kind.status} | `{code}` | {kind.title} | {kind.remedy} |" for code, kind in problems.KINDS.items()]
    return "\n".join(["| Status | Code | Title | What to do |", "| --- | --- | --- | --- |", *rows])


# Telemetry


def silent_alerts() -> str:
    """Name the alerts that tell nothing, because a metric they read is declared and nothing writes it."""
    written = _written()
    declared = {name: each.name for name, each in vars(metrics).items() if isinstance(each, Metric)}
    silent = {metric for name, metric in declared.items() if name not in written}
    expressions = {each.name: each.expression for each in alerts.ALL}
    for slo in slos.ALL:
        for severity in (Severity.PAGE, Severity.TICKET):
            expressions[alerts.burn_alert_name(slo, severity)] += f" {slo.bad} {slo.valid}"
    found = [name for name, text in expressions.items() if any(metric in text for metric in silent)]
    if not found:
        return "Every alert reads metrics that are written."
    burning = {alerts.burn_alert_name(slo, severity) for slo in slos.ALL for severity in Severity.__members__.values()}
    named = [f"`{name}`" for name in found if name not in burning]
    named += ["those on objectives (`Heddle…Burns…`)"] if burning & set(found) else []
    return (
        "Not every metric of the catalogue is written yet. **These alerts tell nothing yet**: "
        f"{', '.join(named)}. Watch what they are about with `heddle doctor` and `/readyz` meanwhile."
    )


def _written() -> set[str]:
    """Give the constants of metrics that any room but the catalogue names."""
    package = ROOT / "src" / "heddle"
    rooms = [path for path in sorted(package.rglob("*.py")) if "telemetry" not in path.parts]
    files = [*rooms, package / "telemetry" / "recorder.py", package / "telemetry" / "logs.py"]
    return {name for path in files for name in re.findall(r"\bmetrics\.([A-Z_]+)\b", path.read_text(encoding="utf-8"))}


# Layers


def layer_drawing() -> str:
    """Draw the order of the rooms from the contract that import-linter keeps."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["id"] == "layers")
    rows = [re.sub(r"[()]", "", layer).replace(" : ", "   ").replace(" | ", "   ") for layer in layers]
    width = max(map(len, rows)) + 4
    edge = f"+{'-' * width}+"
    return "\n".join(["```text", edge, *(line for row in rows for line in (f"|{row:^{width}}|", edge)), "```"])


# Command line


def command_page() -> str:
    """Write every command with its arguments, from the parser itself."""
    parser = commands._parser()
    text = HEAD.format(source="src/heddle/cli") + COMMAND_INTRODUCTION
    for name, each in all_commands(parser):
        text += f"\n## {name}\n\n{_sentence(each.description or '')}\n"
        found = [action for action in each._actions if not isinstance(action, argparse._HelpAction)]
        shown = sorted(found, key=lambda action: bool(action.option_strings))  # what has to be given, first
        if shown:
            text += "\n| Argument | Default | Meaning |\n| --- | --- | --- |\n"
            text += "".join(f"| {_shown(action)} | {_default(action)} | {_help(action)} |\n" for action in shown)
    return f"{text}\n```text\n{(parser.epilog or '').strip()}\n```\n"


COMMAND_INTRODUCTION = """\
# Command line

`heddle COMMAND --help` says the same. `heddle runs …`, `why`, `quote`, `operations …`, `schedules` and `endpoints` go
through the HTTP API with a key. `heddle twin` and `--help` need neither it nor a database. All others reach the
database: that of `DATABASE_URL`, or the embedded one of the state directory; who uses them needs no key.
"""


def all_commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Give each command that does something, by its full name."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield parser.prog, parser
    for group in groups:
        for each in group.choices.values():
            yield from all_commands(each)


def _shown(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if not action.option_strings:
        return f"`{value if action.metavar else action.dest}`"
    if action.choices:
        value = ", ".join(map(str, action.choices))
    return f"`{action.option_strings[-1]}{'' if action.nargs == 0 else f' {value}'}`"


def _default(action: argparse.Action) -> str:
    if action.default in (None, False, []) or action.default is argparse.SUPPRESS:
        return "required" if action.required else ""
    return f"`{action.default}`"


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("|", "\\|")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def stale() -> list[str]:
    """Give the paths of files that are not what the code says."""
    return [path for path, text in expected().items() if _text(path) != text]


def _text(path: str) -> str | None:
    return (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else None


def write(report: Callable[[str], object]) -> None:
    """Write every file that is stale and name it."""
    for path, text in expected().items():
        if _text(path) != text:
            (ROOT / path).write_text(text, encoding="utf-8")
            report(f"written: {path}\n")


if __name__ == "__main__":
    write(sys.stdout.write)
