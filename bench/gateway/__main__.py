"""Run the comparison: `python -m bench.gateway`, or `make bench-gateway ARGS=…`.

In each round the vendor is asked directly, then through each gateway, for so many seconds at so many requests a second.
What a gateway adds is its percentile less that of the same round's direct asking.
"""

import argparse
import asyncio
import contextlib
import datetime
import pathlib
import sys
import tempfile
import time
from collections.abc import Sequence

import uvloop

from bench import figures, house, machine, processes
from bench.figures import Figure, Unit
from bench.gateway import contenders, offering, vendor

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results"
WARM_S = 3.0
MIB = 1024 * 1024


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 when a gateway failed requests."""
    given = _arguments(words)
    taken: list[Figure] = []
    trouble = contenders.litellm_trouble()
    if trouble is not None:
        print(f"left out: litellm: {trouble}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="heddle-bench-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        made = stack.enter_context(house.running(folder))
        vendor_url = stack.enter_context(vendor.running())
        with made.connect() as connection:
            described = machine.describe(connection)
        print(machine.line(described), flush=True)
        for number in range(1, given.rounds + 1):
            with contenders.direct(vendor_url) as running:
                base = _measured("direct", running, given)
            taken += _figures("direct", base[0], None)
            gateways = [("heddle", contenders.heddle(made, vendor_url))]
            if trouble is None and not given.alone:
                gateways.append(("litellm", contenders.litellm(folder, vendor_url)))
            for name_of, opening in gateways:
                with opening as running:
                    seen, costs = _measured(name_of, running, given)
                taken += [*_figures(name_of, seen, base[0]), *costs]
            print(f"round {number} of {given.rounds} is over", flush=True)
    summaries = figures.summarise(taken)
    text = figures.table(summaries)
    print(text)
    heading = figures.Heading(
        line=machine.line(described),
        machine=described,
        options={"rounds": given.rounds, "rate_per_s": given.rate, "seconds": given.seconds},
    )
    stem = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}-{given.name}"
    paths = figures.write(pathlib.Path(given.results), stem=stem, heading=heading, summaries=summaries, text=text)
    print(f"written: {' '.join(map(str, paths))}")
    return int(any(figure.value for figure in taken if figure.name.endswith(".failed")))


def _measured(name: str, running: contenders.Running, given: argparse.Namespace) -> tuple[offering.Taken, list[Figure]]:
    """Warm up, ask, and read what it cost."""
    _offer(running, rate=given.rate, seconds=WARM_S)
    before = _usage(running)
    seen = _offer(running, rate=given.rate, seconds=given.seconds)
    after = _usage(running)
    print(
        f"  {name}: p50 {1e3 * seen.percentile_s(0.5):.1f} ms, p99 {1e3 * seen.percentile_s(0.99):.1f} ms, "
        f"{len(seen.took_s)} answered, {seen.failed} failed",
        flush=True,
    )
    costs = []
    for what, first, last in (("gateway", before[0], after[0]), ("postgres", before[1], after[1])):
        if first is not None and last is not None and seen.took_s:
            each_ms = 1e3 * (last.cpu_s - first.cpu_s) / len(seen.took_s)
            costs.append(Figure(name=f"{name}.{what}_cpu_ms_per_request", value=each_ms, unit=Unit.MILLISECONDS))
            costs.append(Figure(name=f"{name}.{what}_resident_mib", value=last.resident_bytes / MIB, unit=Unit.MIB))
    return seen, costs


def _offer(running: contenders.Running, *, rate: float, seconds: float) -> offering.Taken:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(offering.offer(running.url, key=running.key, rate_per_s=rate, seconds=seconds))


def _usage(running: contenders.Running) -> tuple[processes.Usage | None, processes.Usage | None]:
    time.sleep(0.2)
    own = processes.usage(running.pids) if running.pids else None
    return own, None if running.postgres_pid is None else processes.usage([running.postgres_pid])


def _figures(name: str, seen: offering.Taken, base: offering.Taken | None) -> list[Figure]:
    found = []
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        value = 1e3 * seen.percentile_s(share)
        found.append(Figure(name=f"{name}.{label}_ms", value=value, unit=Unit.MILLISECONDS))
        if base is not None:
            added = value - 1e3 * base.percentile_s(share)
            found.append(Figure(name=f"{name}.added_{label}_ms", value=added, unit=Unit.MILLISECONDS))
    found.append(Figure(name=f"{name}.answered_per_s", value=len(seen.took_s) / seen.lasted_s, unit=Unit.PER_S))
    found.append(Figure(name=f"{name}.failed", value=seen.failed, unit=Unit.COUNT))
    return found


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description="Measure what a gateway adds.")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (default: 200)")
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds of each measurement (default: 30)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--alone", action="store_true", help="leave LiteLLM out")
    parser.add_argument("--name", default="gateway", help="what the files in bench/results are called")
    parser.add_argument("--results", default=str(RESULTS), help="where the files go")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
