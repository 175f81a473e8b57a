"""Draw what was measured as pictures for the documents: `python -m bench.plots`, or `make plots`.

The newest document of each kind in `bench/results` is drawn: the comparison with peers as bars, the held snapshot and
the soak as lines. A kind without a document is named and left as it is. Pictures are SVG, written by `bench.svg` alone.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bench import svg

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
PICTURES = ROOT / "docs" / "pictures"
OURS = "heddle"
Document = Mapping[str, Any]


def main(words: Sequence[str] | None = None) -> int:
    """Draw what there is; the status is 1 when there was nothing."""
    parser = argparse.ArgumentParser(prog="python -m bench.plots", description="Draw the newest results.")
    parser.add_argument("--results", default=str(RESULTS), help="folder of the documents (default bench/results)")
    parser.add_argument("--pictures", default=str(PICTURES), help="folder of the pictures (default docs/pictures)")
    parser.add_argument("--peers", default="peers", help="name of the comparison's run (default peers)")
    parser.add_argument("--held", default="held-snapshot", help="name of the held snapshot's run")
    parser.add_argument("--soak", default="soak", help="name of the soak's run")
    given = parser.parse_args(words)
    pictures = pathlib.Path(given.pictures)
    drawn = 0
    for name, draw in ((given.peers, _peers), (given.held, _held), (given.soak, _soaked)):
        document = newest(pathlib.Path(given.results), name)
        if document is None:
            print(f"no document named {name} in {given.results}; nothing drawn of it", file=sys.stderr)
            continue
        for stem, text in draw(document).items():
            path = pictures / f"{stem}.svg"
            path.write_text(text, encoding="utf-8")
            print(path)
            drawn += 1
    return 0 if drawn else 1


def newest(folder: pathlib.Path, name: str) -> Document | None:
    """Read the latest document of a name, or give None."""
    found = sorted(folder.glob(f"????-??-??-{name}.json"))
    return json.loads(found[-1].read_text(encoding="utf-8")) if found else None


def _peers(document: Document) -> dict[str, str]:
    """Draw throughput, start latency and what a kill loses."""
    line = _machine(document)
    rates = {
        "bench-noop": ("noop.per_s", "No-op jobs per second", "each a durable run of one step in Heddle"),
        "bench-http": ("http.per_s", "HTTP jobs per second", "one POST each, answered after 50 ms"),
        "bench-chain": (
            "chain.per_s",
            "Steps per second in chains of three",
            "each step starts when the one before ended",
        ),
    }
    drawn: dict[str, str] = {}
    for stem, (key, title, note) in rates.items():
        bars = _bars(document, key)
        if bars:
            ordered = sorted(bars, key=lambda bar: -bar.value)
            drawn[stem] = svg.bars(title=title, note=f"{note}; median, lowest and highest. {line}", rows=ordered)
    waits = _bars(document, "idle.start_p50_ms", whisker_key="idle.start_p99_ms")
    if waits:
        note = f"idle; bar: median, whisker: 99th percentile. {line}"
        title = "Milliseconds from submit to the job's first line"
        drawn["bench-start"] = svg.bars(title=title, note=note, rows=sorted(waits, key=lambda bar: bar.value))
    lost = [*_bars(document, "kill.lost"), *_bars(document, "kill_careful.lost", suffix=", careful")]
    if lost:
        note = f"kill -9 of one of two workers, after a restart; settings as they come, and careful ones. {line}"
        ordered = sorted(lost, key=lambda bar: (bar.value, bar.label))
        drawn["bench-kill"] = svg.bars(title="Jobs lost or stuck", note=note, rows=ordered)
    return drawn


def _bars(document: Document, key: str, *, whisker_key: str | None = None, suffix: str = "") -> list[svg.Bar]:
    """Give a bar for each contender with this figure."""
    figures = document["figures"]
    found = []
    for name, figure in figures.items():
        contender, _, rest = name.partition(".")
        if rest != key:
            continue
        rounds = figure["rounds"]
        low, high = min(rounds), max(rounds)
        if whisker_key is not None:
            low, high = figure["median"], figures[f"{contender}.{whisker_key}"]["median"]
        bar = svg.Bar(label=contender + suffix, value=figure["median"], low=low, high=high, is_ours=contender == OURS)
        found.append(bar)
    return found


def _held(document: Document) -> dict[str, str]:
    """Draw the held snapshot's series, one panel under the other."""
    series = document["series"]
    minutes = [at_s / 60 for at_s in series["at_s"]]
    # A sample stands at its end; the snapshot was taken at the end of the last sample before.
    begun = [before for before, is_held in zip(minutes, series["is_held"][1:], strict=False) if is_held]
    held = [at for at, is_held in zip(minutes, series["is_held"], strict=True) if is_held]
    panels = [
        svg.Panel(title="steps finished a second", ys=series["finished_per_s"]),
        svg.Panel(title="wait from submission to the step's claim, p99, ms", ys=series["start_p99_ms"]),
        svg.Panel(title="buffers that a claim of 50 reads", ys=series["claim_buffers"]),
        svg.Panel(title="buffers read by all statements, a step", ys=series["step_buffers"]),
        svg.Panel(title="dead rows in the queue", ys=series["ready_dead_rows"]),
    ]
    text = svg.lines(
        title="A snapshot held under load",
        note=f"{document['options']['rate']} steps a second offered; grey: held. {_machine(document)}",
        x_title="minutes",
        xs=minutes,
        shaded=(begun[0], held[-1]) if begun else None,
        panels=panels,
    )
    return {"bench-held-snapshot": text}


def _soaked(document: Document) -> dict[str, str]:
    """Draw the soak's series, one panel under the other."""
    series = document["series"]
    panels = [
        svg.Panel(title="steps a second", ys=series["steps_per_s"]),
        svg.Panel(title="size of the tables whose rows live for seconds, MiB", ys=series["hot_mib"]),
        svg.Panel(title="memory of the first worker, MiB", ys=series["worker_1_mib"]),
        svg.Panel(title="memory of the second worker, MiB", ys=series["worker_2_mib"]),
        svg.Panel(title="database connections", ys=series["connections"]),
    ]
    text = svg.lines(
        title="Millions of steps at one go",
        note=f"{series['steps'][-1] / 1e6:.1f} million no-op steps in all. {_machine(document)}",
        x_title="minutes",
        xs=[at_s / 60 for at_s in series["at_s"]],
        shaded=None,
        panels=panels,
    )
    return {"bench-soak": text}


def _machine(document: Document) -> str:
    machine = document["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, PostgreSQL {machine['postgresql']}; {machine['commit']}"


if __name__ == "__main__":
    sys.exit(main())
