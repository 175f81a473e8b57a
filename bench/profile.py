"""Show where the time of a drain goes: per statement on the server, per function in a worker.

`python -m bench.profile noop_steps` drains once with the server logging every statement's duration and py-spy, where it
is installed, sampling the first worker. Both cost time themselves: the shares are the result, the rates are not.
"""

import argparse
import collections
import contextlib
import dataclasses
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from bench import drains, figures, house
from bench.shapes import Shape, all_shapes
from heddle.store import statements

SERVER_SETTINGS = {
    "log_min_duration_statement": "0",
    "log_parameter_max_length": "0",
    "log_line_prefix": "%a|",
}
WORKER = "heddle-worker"
DURATION = re.compile(r"heddle-worker\|LOG:  duration: ([0-9.]+) ms  (parse|bind|execute|statement)[^:]*: (.*)")
SHOWN_CHARS = 40
STOPPED_STATUS = 130
SAMPLES_PER_S = 200
FUNCTIONS_SHOWN = 45


@dataclasses.dataclass(slots=True)
class _Spent:
    """What one statement cost: executions and milliseconds by phase."""

    executions: int = 0
    longest_ms: float = 0.0
    by_phase_ms: dict[str, float] = dataclasses.field(default_factory=lambda: collections.defaultdict(float))


def main(words: Sequence[str] | None = None) -> int:
    """Profile one drain and print both tables."""
    shapes = all_shapes(is_quick=False)
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description="Show where the time of a drain goes.")
    parser.add_argument("shape", choices=list(shapes))
    parser.add_argument("--keep", help="folder that the raw stacks and the server's log are copied to")
    given = parser.parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED_STATUS))
    with tempfile.TemporaryDirectory(prefix="heddle-bench-") as folder:
        path = pathlib.Path(folder)
        path.chmod(0o755)
        with house.running(path, server_settings=SERVER_SETTINGS) as running:
            begin = running.server_log.stat().st_size
            stacks = path / "stacks.txt"
            with _sampled(running, stacks):
                found = drains.measure(running, shapes[given.shape])
            log = running.server_log.read_bytes()[begin:].decode(errors="replace")
        print(figures.table(figures.summarise(found)))
        print(f"\n{_statement_table(log, shapes[given.shape])}")
        if stacks.exists():
            print(f"\n{_function_table(stacks.read_text())}")
        if given.keep:
            keep = pathlib.Path(given.keep)
            keep.mkdir(parents=True, exist_ok=True)
            (keep / "server.log").write_text(log)
            if stacks.exists():
                shutil.copy(stacks, keep / "stacks.txt")
    return 0


def _statement_table(log: str, shape: Shape) -> str:
    known = {_plain(statements.load(name)): name for name in statements.names()}
    spent: dict[str, _Spent] = collections.defaultdict(_Spent)
    # A line that belongs to the one before begins with a tab.
    for record in log.replace("\n\t", " ").splitlines():
        match = DURATION.match(record)
        if match is None:
            continue
        duration_ms, phase, text = float(match[1]), match[2], _plain(match[3])
        each = spent[known.get(text, text[:SHOWN_CHARS])]
        each.by_phase_ms[phase] += duration_ms
        each.executions += phase in ("execute", "statement")
        each.longest_ms = max(each.longest_ms, duration_ms)
    steps = shape.runs * shape.steps
    lines = ["| statement | executions | mean ms | of it before execution ms | longest ms | µs a step |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for name, each in sorted(spent.items(), key=lambda item: -sum(item[1].by_phase_ms.values())):
        total_ms, count = sum(each.by_phase_ms.values()), max(1, each.executions)
        before_ms = (each.by_phase_ms["parse"] + each.by_phase_ms["bind"]) / count
        shown = (
            f"{total_ms / count:.2f}",
            f"{before_ms:.2f}",
            f"{each.longest_ms:.1f}",
            f"{total_ms * 1000 / steps:.1f}",
        )
        lines.append(f"| {name} | {each.executions} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Give a statement with its parameters and its spaces made alike, as it stands in the file and in the log."""
    return " ".join(re.sub(r"%\(\w+\)s|\$\d+", "?", text).replace("%%", "%").split())


def _function_table(stacks: str) -> str:
    """Give the functions of the worker by the samples they were on top of, and by those they were anywhere in."""
    own: collections.Counter[str] = collections.Counter()
    within: collections.Counter[str] = collections.Counter()
    samples = 0
    for line in stacks.splitlines():
        path, _, count = line.rpartition(" ")
        frames = path.split(";")
        samples += int(count)
        own[frames[-1]] += int(count)
        within.update(dict.fromkeys(frames, int(count)))
    lines = ["| function | own % | with what it calls % |", "|---|---:|---:|"]
    shown = dict.fromkeys([name for name, _ in own.most_common(FUNCTIONS_SHOWN)])
    shown |= dict.fromkeys([name for name, _ in within.most_common(FUNCTIONS_SHOWN)])
    lines += [f"| {name} | {own[name] / samples:.1%} | {within[name] / samples:.1%} |" for name in shown]
    return "\n".join(lines)


@contextlib.contextmanager
def _sampled(running: house.House, stacks: pathlib.Path) -> Iterator[None]:
    """Let every house's first worker be sampled by py-spy for the block, where it is installed."""
    program = shutil.which("py-spy") or shutil.which("py-spy", path=str(pathlib.Path(sys.executable).parent))
    samplers: list[subprocess.Popen[bytes]] = []

    def started(pids: Sequence[int]) -> None:
        if program is not None:
            command = [program, "record", "--pid", str(pids[0]), "--rate", str(SAMPLES_PER_S), "--format", "raw"]
            command += ["--output", str(stacks), "--nonblocking"]
            samplers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    running.on_workers.append(started)
    try:
        yield
    finally:
        running.on_workers.remove(started)
        for sampler in samplers:
            sampler.wait(timeout=60)


if __name__ == "__main__":
    sys.exit(main())
