"""Turn records of the client into what the pages print: words, lines, drawings, pictures.

Everything is decided here; templates only place it. Pure: the time is handed in. It refuses to mark anything as safe:
templates escape every text.
"""

import dataclasses
import datetime
import json
from collections.abc import Iterator, Sequence
from typing import Any

from heddle.client import media, money
from heddle.console import graph, timeline, words
from heddle.core import identity, run, step
from heddle.ports import operators, records

CALLS_MAX = 200
"""Most calls on one page of a run: in its graph, its timeline and its list alike."""
PICTURES_MAX = 60
TEXT_CHARACTERS_MAX = 4_000
NAME_CHARACTERS = 18
_NEVER_BEGUN = frozenset({step.StepState.BLOCKED, step.StepState.SKIPPED, step.StepState.CANCELLED})
_WAITING_KINDS = frozenset({step.StepKind.SLEEP, step.StepKind.SIGNAL, step.StepKind.WORKFLOW})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Show one artifact. ``is_image`` tells whether a browser can show it as a picture."""

    id: str
    media_type: str
    size: str
    is_image: bool
    caption: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """Show one run in a list or a header."""

    id: str
    short_id: str
    workflow: str
    version: int
    look: words.Look
    created: str
    created_ago: str
    lasted: str
    cost: str
    counts: records.StepCounts
    percent_done: int
    percent_failed: int
    labels: tuple[tuple[str, str], ...]
    is_over: bool
    is_retryable: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TryLine:
    """Show one attempt."""

    number: int
    endpoint: str
    word: str
    tone: str
    lasted: str
    cost: str
    worker: str
    handle: str
    fault: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """Show one call with its attempts and pictures."""

    ordinal: int
    name: str
    kind: str
    look: words.Look
    lasted: str
    cost: str
    note: str
    parents: tuple[int, ...]
    fault: str
    message: str
    where: str
    tries: tuple[TryLine, ...]
    pictures: tuple[Picture, ...]
    input: str
    output: str
    child_run: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Draw one node of the graph: where, and what stands in it."""

    place: graph.Place
    line: StepLine
    title: str
    subtitle: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Say which of a run's calls a page has, by their ordinals, and how many it leaves out.

    ``following``: after which ordinal the next page begins; 0: there is none.
    """

    after: int
    first: int
    last: int
    left_out: int
    following: int


def calls(lines: Sequence[StepLine], *, after: int, limit: int, total: int) -> Calls:
    """Say which calls these are of ``total``; the page was to begin after ``after`` and to have at most ``limit``."""
    first, last = (lines[0].ordinal, lines[-1].ordinal) if lines else (0, 0)
    left_out = max(0, total - len(lines))
    return Calls(
        after=after,
        first=first,
        last=last,
        left_out=left_out,
        following=last if left_out and len(lines) == limit else 0,
    )


def run_line(view: records.RunView, *, now: datetime.datetime) -> RunLine:
    """Show one run."""
    until = view.finished_at or now
    total = max(view.steps.total, 1)
    return RunLine(
        id=str(view.id),
        short_id=str(view.id)[-12:],
        workflow=view.workflow,
        version=view.version,
        look=words.of_run(view.shown_state),
        created=words.clock(view.created_at),
        created_ago=words.ago(view.created_at, now=now),
        lasted=words.duration((until - (view.started_at or view.created_at)).total_seconds())
        if view.started_at or view.finished_at
        else "",
        cost=money.usd(view.cost_nano_usd),
        counts=view.steps,
        percent_done=min(100, 100 * view.steps.done // total),
        percent_failed=min(100, 100 * view.steps.failed // total),
        labels=tuple(sorted(view.labels.items())),
        is_over=view.state in run.TERMINAL,
        is_retryable=view.state in (run.RunState.FAILED, run.RunState.EXPIRED),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UnknownLine:
    """Show one call of unknown outcome in the list of them."""

    run: str
    short_id: str
    step: int
    workflow: str
    model: str
    endpoint: str | None
    handle: str | None
    price: str | None
    since: str
    since_ago: str
    looked_up: str


def unknown_line(view: operators.UnknownCall, *, now: datetime.datetime) -> UnknownLine:
    """Show one call of unknown outcome."""
    if view.is_looked_up:
        looked_up = "just now"
    else:
        looked_up = "never" if view.next_look_at is None else words.clock(view.next_look_at)
    return UnknownLine(
        run=str(view.attempt.run_id),
        short_id=str(view.attempt.run_id)[-12:],
        step=view.attempt.ordinal,
        workflow=view.workflow,
        model=view.model,
        endpoint=view.endpoint,
        handle=view.handle,
        price=None if view.price_nano_usd is None else f"${money.usd(view.price_nano_usd)}",
        since=words.clock(view.since),
        since_ago=words.ago(view.since, now=now),
        looked_up=looked_up,
    )


def step_line(view: records.StepView, *, now: datetime.datetime) -> StepLine:
    """Show one call."""
    begin = view.attempts[0].started_at if view.attempts else view.created_at
    is_begun = bool(view.attempts) or (view.finished_at is not None and view.kind in _WAITING_KINDS)
    pictures = [*_pictures(view.output, caption=f"Output of {view.name}, call {view.ordinal}")]
    return StepLine(
        ordinal=view.ordinal,
        name=view.name,
        kind=view.kind.value,
        look=words.of_step(view.state, is_leased=view.is_leased),
        lasted=words.duration(((view.finished_at or now) - begin).total_seconds()) if is_begun else "",
        cost=money.usd(view.cost_nano_usd) if view.cost_nano_usd else "",
        note=view.note,
        parents=view.parents,
        fault=view.fault.fault.value if view.fault else "",
        message=view.fault.message if view.fault else "",
        where=view.fault.where if view.fault else "",
        tries=tuple(_try_line(each, now=now) for each in view.attempts),
        pictures=tuple(pictures[:PICTURES_MAX]),
        input=written(view.input),
        output=written(view.output),
        child_run="" if view.child_run is None else str(view.child_run),
    )


def drawing(views: Sequence[records.StepView], lines: Sequence[StepLine]) -> tuple[graph.Layout, list[Box]]:
    """Lay out the calls (the activation is not one) of a run as a graph."""
    drawn = [(view, line) for view, line in zip(views, lines, strict=True) if view.kind is not step.StepKind.ACTIVATION]
    moments = {at: index for index, at in enumerate(sorted({view.created_at for view, _ in drawn}))}
    layout = graph.lay_out(
        [graph.Node(key=view.ordinal, parents=view.parents, wave=moments[view.created_at]) for view, _ in drawn]
    )
    boxes = [
        Box(
            place=place,
            line=line,
            title=_cut(line.name),
            subtitle=" · ".join(part for part in (line.look.word, line.lasted) if part),
        )
        for place, (_, line) in zip(layout.places, drawn, strict=True)
    ]
    return layout, boxes


def times(view: records.RunView, steps: Sequence[records.StepView], *, now: datetime.datetime) -> timeline.Timeline:
    """Lay out the calls of a run along time."""
    spans = [
        timeline.Span(
            key=each.ordinal,
            parents=each.parents,
            created_at=max(each.created_at, view.created_at),
            finished_at=each.finished_at,
            tries=tuple(
                timeline.Try(
                    number=one.number, started_at=one.started_at, finished_at=one.finished_at, outcome=one.state.value
                )
                for one in each.attempts
            ),
            is_waiting=each.kind in _WAITING_KINDS,
            has_begun=bool(each.attempts) or each.state not in _NEVER_BEGUN,
        )
        for each in steps
    ]
    return timeline.lay_out(spans, started_at=view.created_at, finished_at=view.finished_at, now=now)


def pictures(value: identity.JsonValue, *, caption: str) -> list[Picture]:
    """List the artifacts inside a public value, each once."""
    unique = {each.id: each for each in _pictures(value, caption=caption)}
    return list(unique.values())[:PICTURES_MAX]


def written(value: identity.JsonValue) -> str:
    """Write a value for people, cut to what a page can bear; nothing for nothing."""
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return (
        text if len(text) <= TEXT_CHARACTERS_MAX else f"{text[:TEXT_CHARACTERS_MAX]}\n… {len(text)} characters in all"
    )


def _try_line(view: records.AttemptView, *, now: datetime.datetime) -> TryLine:
    return TryLine(
        number=view.number,
        endpoint=view.endpoint or "local",
        word=view.state.value,
        tone=words.ATTEMPT_TONES.get(view.state.value, "calm"),
        lasted=words.duration(((view.finished_at or now) - view.started_at).total_seconds()),
        cost="" if not view.cost_nano_usd else money.usd(view.cost_nano_usd),
        worker=view.worker or "",
        handle=view.handle or "",
        fault=view.fault.fault.value if view.fault else "",
        message=view.fault.message if view.fault else "",
    )


def _pictures(value: Any, *, caption: str) -> Iterator[Picture]:
    if isinstance(value, dict):
        identifier, media_type = value.get("id"), value.get("media_type")
        if isinstance(identifier, str) and identifier.startswith("sha256:") and isinstance(media_type, str):
            yield Picture(
                id=identifier,
                media_type=media_type,
                size=words.size(int(value.get("size_bytes") or 0)),
                is_image=media_type in media.PICTURES,
                caption=caption,
            )
            return
        for item in value.values():
            yield from _pictures(item, caption=caption)
    elif isinstance(value, list):
        for item in value:
            yield from _pictures(item, caption=caption)


def _cut(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 1]}…"
