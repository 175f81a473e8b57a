"""Hold what was measured, and give it as a table and as JSON: the median of the rounds with the lowest and the highest.

Nothing is measured or judged here. Before it: the measurements. After it: the terminal and `bench/results`.
"""

import dataclasses
import enum
import json
import pathlib
import statistics
from collections.abc import Mapping, Sequence


class Unit(enum.StrEnum):
    """What a figure counts."""

    PER_S = "1/s"
    MILLISECONDS = "ms"
    MICROSECONDS = "µs"
    SECONDS = "s"
    COUNT = "count"
    MIB = "MiB"
    RATIO = "ratio"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value; a dot in the name sets a side figure apart from the one it belongs to."""

    name: str
    value: float
    unit: Unit


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One figure over all rounds."""

    name: str
    unit: Unit
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Give the middle value."""
        return statistics.median(self.values)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What a table needs above it: the machine in one line and in parts, and what the run was asked for."""

    line: str
    machine: Mapping[str, str]
    options: Mapping[str, object]
    series: Mapping[str, Sequence[float | None]] = dataclasses.field(default_factory=dict)

    def described(self) -> dict[str, object]:
        """Give the parts for the JSON file."""
        parts: dict[str, object] = {"machine": dict(self.machine), "options": dict(self.options)}
        return parts | ({"series": dict(self.series)} if self.series else {})


# The figures that other tools read, under names that stay: README.md says what each is.
HEADLINE = {
    "noop_steps_per_s": "noop_steps_per_s",
    "noop_runs_per_s": "noop_runs_per_s",
    "chain_steps_per_s": "chain_steps_per_s",
    "fan_in_steps_per_s": "fan_in_steps_per_s",
    "http_steps_per_s": "http_steps_per_s",
    "submit_batch_per_s": "submit_batch_per_s",
    "start_p50_ms": "start_p50_ms",
    "start_p99_ms": "start_p99_ms",
    "ratio_to_pure_sql": "noop_steps_ratio",
    "commits_per_step": "noop_steps.commits_per_step",
    "worker_cpu_us_per_step": "noop_steps.worker_cpu_us_per_step",
}


def headline(summaries: Sequence[Summary]) -> dict[str, float]:
    """Give the medians of the headline figures that were measured, under their fixed keys."""
    medians = {summary.name: summary.median for summary in summaries}
    return {key: medians[name] for key, name in HEADLINE.items() if name in medians}


def summarise(figures: Sequence[Figure]) -> list[Summary]:
    """Gather the rounds of each figure, in the order in which names first came."""
    names = list(dict.fromkeys(figure.name for figure in figures))
    return [
        Summary(
            name=name,
            unit=next(figure.unit for figure in figures if figure.name == name),
            values=tuple(figure.value for figure in figures if figure.name == name),
        )
        for name in names
    ]


def ratios(summaries: Sequence[Summary], pairs: Mapping[str, tuple[str, str]]) -> list[Summary]:
    """Divide figures of one run by each other, round by round; a pair with a missing side is left out."""
    known = {summary.name: summary for summary in summaries}
    made = []
    for name, (above, below) in pairs.items():
        if above in known and below in known:
            both = zip(known[above].values, known[below].values, strict=False)
            values = tuple(over / under for over, under in both if under > 0)
            if values:
                made.append(Summary(name=name, unit=Unit.RATIO, values=values))
    return made


def table(summaries: Sequence[Summary]) -> str:
    """Give a Markdown table: name, median, lowest and highest, unit, rounds."""
    lines = ["| figure | median | lowest | highest | unit | rounds |", "|---|---:|---:|---:|---|---:|"]
    for each in summaries:
        low, high = _shown(min(each.values)), _shown(max(each.values))
        lines.append(f"| {each.name} | {_shown(each.median)} | {low} | {high} | {each.unit} | {len(each.values)} |")
    return "\n".join(lines)


def spread(summary: Summary) -> str:
    """Give the median, and the lowest and the highest when there was more than one round."""
    shown = _shown(summary.median)
    if len(summary.values) == 1:
        return shown
    return f"{shown} ({_shown(min(summary.values))} to {_shown(max(summary.values))})"


def write(
    folder: pathlib.Path, *, stem: str, heading: Heading, summaries: Sequence[Summary], text: str | None = None
) -> tuple[pathlib.Path, pathlib.Path]:
    """Write `<stem>.json` with every round's value and `<stem>.md` with the table, or with a text of the caller's."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {each.name: {"unit": each.unit, "median": each.median, "rounds": list(each.values)} for each in summaries}
    document = json.dumps(
        {**heading.described(), "headline": headline(summaries), "figures": values}, indent=2, ensure_ascii=False
    )
    return (
        _replace(folder / f"{stem}.json", document + "\n"),
        _replace(folder / f"{stem}.md", f"{heading.line}\n\n{text or table(summaries)}\n"),
    )


def _replace(path: pathlib.Path, text: str) -> pathlib.Path:
    scratch = path.with_name(f"{path.name}.tmp")
    scratch.write_text(text, encoding="utf-8")
    return scratch.replace(path)


def _shown(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
