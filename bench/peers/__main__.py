"""Run the comparison: `python -m bench.peers`, or `make bench-peers ARGS=…`.

Rounds are interleaved: in each, every workload is taken by every contender before the next. Killing comes once, at the
end, in the first `--kills` rounds. A contender that fails is named with its reason, in the output and in the document,
and the status is then 1; the others are measured all the same.
"""

import argparse
import contextlib
import datetime
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence

import psycopg

from bench import figures, house, machine
from bench.peers import contenders, killing, measures, rig, servers, tables, tally
from bench.peers.contenders import Contender, Workload

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results"
WORKFLOWS = f"{house.WORKFLOWS},bench.peers.on_heddle"
ROUNDS_MAX = 20
STOPPED_STATUS = 130
UNUSABLE_STATUS = 2


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write; give the exit status."""
    everyone = contenders.everyone()
    given = _arguments(words, names=list(everyone))
    chosen = [everyone[name] for name in given.only or everyone]
    workloads = [Workload(name) for name in given.workload or list(Workload)]
    problems = _problems(chosen)
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return UNUSABLE_STATUS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED_STATUS))
    taken: list[figures.Figure] = []
    failures: list[str] = []
    paths: tuple[pathlib.Path, ...] = ()
    with _rigged(chosen) as running:
        with running.house.connect() as connection:
            described = machine.describe(connection) | _versions(chosen)
        print(machine.line(described), flush=True)
        for number in range(1, given.rounds + 1):
            for workload in workloads:
                for contender in chosen:
                    if workload is Workload.KILL and number > given.kills:
                        continue
                    found = _measured(running, contender, workload, failures, is_quick=given.quick)
                    taken += found
                    print(f"round {number} {contender.name} {workload}: {_told(found)}", flush=True)
            # After each round, so that a run that is stopped leaves what it took.
            options = {"rounds": number, "quick": given.quick, "failures": failures}
            heading = figures.Heading(line=machine.line(described), machine=described, options=options)
            paths = _write(given, figures.summarise(taken), heading)
    print("\n" + tables.every(figures.summarise(taken)))
    print(f"\nwritten: {' '.join(map(str, paths))}")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _write(
    given: argparse.Namespace, summaries: Sequence[figures.Summary], heading: figures.Heading
) -> tuple[pathlib.Path, pathlib.Path]:
    stem = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}-{given.name}"
    text = tables.every(summaries)
    return figures.write(pathlib.Path(given.results), stem=stem, heading=heading, summaries=summaries, text=text)


def _measured(
    running: rig.Rig, contender: Contender, workload: Workload, failures: list[str], *, is_quick: bool
) -> list[figures.Figure]:
    """Take one contender's figures; a failure is kept and told, and leaves no figure."""
    count = contender.count(workload, is_quick=is_quick)
    try:
        match workload:
            case Workload.NOOP | Workload.HTTP | Workload.CHAIN:
                return measures.drain(running, contender, workload, count)
            case Workload.IDLE:
                return measures.idle(running, contender, workload, count)
            case Workload.KILL:
                found = killing.kill(running, contender, count, is_careful=False)
                if contender.careful_stall_s is not None:
                    found += killing.kill(running, contender, count, is_careful=True)
                return found
    except (rig.ContenderFailed, psycopg.Error, OSError) as error:
        failures.append(f"{contender.name} {workload}: {error}")
        print(failures[-1], file=sys.stderr, flush=True)
        return []


@contextlib.contextmanager
def _rigged(chosen: Sequence[Contender]) -> Iterator[rig.Rig]:
    """Run everything that the chosen contenders need."""
    needs = {contender.needs for contender in chosen}
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heddle-peers-")))
        folder.chmod(0o755)
        os.environ[tally.VARIABLE] = str(folder / "tally")
        running = stack.enter_context(house.running(folder, workflows=WORKFLOWS))
        redis = stack.enter_context(servers.redis(folder)) if "redis" in needs else None
        rabbitmq = stack.enter_context(servers.rabbitmq(folder)) if "rabbitmq" in needs else None
        yield rig.Rig(house=running, folder=folder, model_url=running.model_url, redis=redis, rabbitmq=rabbitmq)


def _problems(chosen: Sequence[Contender]) -> list[str]:
    """Say what is missing for the chosen contenders, and the command that brings it."""
    needs = {contender.needs for contender in chosen} & set(servers.PACKAGES)
    found = [problem for name in sorted(needs) if (problem := servers.missing(name))]
    environments = sorted({contender.python for contender in chosen if not pathlib.Path(contender.python).exists()})
    return found + [f"{path} does not exist: make bench-peers makes it" for path in environments]


def _versions(chosen: Sequence[Contender]) -> dict[str, str]:
    """Name the servers' versions and what each environment pins."""
    needs = {contender.needs for contender in chosen} & set(servers.PACKAGES)
    return {name: servers.version(name) for name in sorted(needs)}


def _told(found: Sequence[figures.Figure]) -> str:
    return ", ".join(f"{each.name.rpartition('.')[2]} {each.value:,.4g} {each.unit}" for each in found)


def _arguments(words: Sequence[str] | None, *, names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description="Measure Heddle beside its peers.")
    parser.add_argument("--rounds", type=_rounds, default=5, help="how often everything is measured (default 5)")
    parser.add_argument("--kills", type=_rounds, default=1, help="in how many rounds workers are killed (default 1)")
    parser.add_argument("--only", action="append", choices=names, help="measure this contender; may be given again")
    parser.add_argument("--workload", action="append", choices=list(Workload), help="and this workload alone")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the counts, to see that it works")
    parser.add_argument("--name", default="peers", help="name of the run in the results' file names")
    parser.add_argument("--results", default=str(RESULTS), help="folder of the results (default bench/results)")
    return parser.parse_args(words)


def _rounds(text: str) -> int:
    rounds = int(text)
    if not 1 <= rounds <= ROUNDS_MAX:
        raise argparse.ArgumentTypeError(f"must be from 1 to {ROUNDS_MAX}")
    return rounds


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
