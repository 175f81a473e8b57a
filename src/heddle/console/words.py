"""Give every state a word, a tone and a sentence, and write durations, times and sizes for people.

The tones are the classes of ``console.css``; colour is never the only sign, the word always stands beside it.
"""

import dataclasses
import datetime

from heddle.core import reasons, step


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Show one state: the word people read, the tone it is painted in, a sentence for those who ask."""

    word: str
    tone: str
    meaning: str


RUNS: dict[str, Look] = {
    "queued": Look(word="Queued", tone="calm", meaning="Accepted; no worker has begun it."),
    "running": Look(word="Running", tone="live", meaning="Work is going on."),
    "waiting": Look(
        word="Waiting", tone="wait", meaning="Nothing is due: it waits for a timer, a signal or a provider."
    ),
    "cancelling": Look(word="Cancelling", tone="wait", meaning="Asked to stop; open calls are ending."),
    "succeeded": Look(word="Succeeded", tone="good", meaning="Every call that mattered ended well."),
    "failed": Look(
        word="Failed", tone="bad", meaning="It ended without a result; its failed steps can be tried again."
    ),
    "cancelled": Look(word="Cancelled", tone="mute", meaning="Somebody, or the run above it, stopped it."),
    "expired": Look(word="Expired", tone="late", meaning="Its deadline came before its end; it can be tried again."),
}
STEPS: dict[str, Look] = {
    "blocked": Look(word="Blocked", tone="mute", meaning="A call it takes a value from has not ended."),
    "due": Look(word="Ready", tone="calm", meaning="It can start as soon as a worker has room."),
    "leased": Look(word="Running", tone="live", meaning="A worker holds it."),
    "pending": Look(word="At provider", tone="live", meaning="A provider works on it; no worker is held."),
    "waiting": Look(word="Waiting", tone="wait", meaning="For a timer, a signal, a child run or its next try."),
    "unknown": Look(word="Unknown", tone="late", meaning="Sent, and what became of it is being found out."),
    "succeeded": Look(word="Succeeded", tone="good", meaning="It ended well."),
    "failed": Look(word="Failed", tone="bad", meaning="It ended in failure."),
    "cancelled": Look(word="Cancelled", tone="mute", meaning="It was stopped."),
    "skipped": Look(word="Skipped", tone="mute", meaning="A call it takes a value from failed."),
}

ATTEMPT_TONES: dict[str, str] = {
    "reserved": "calm",
    "sending": "live",
    "accepted": "live",
    "done": "good",
    "rejected": "bad",
    "unknown": "late",
    "late": "wait",
    "abandoned": "mute",
}


def of_run(shown_state: str) -> Look:
    """Give the look of a run's shown state; a state the table lacks is shown by its own name."""
    return RUNS.get(shown_state) or Look(word=shown_state.capitalize(), tone="calm", meaning="")


def of_step(state: step.StepState, *, is_leased: bool) -> Look:
    """Give the look of a step; a due step in a worker's hands is running."""
    return STEPS["leased" if is_leased and state is step.StepState.DUE else state.value]


def explained(found: reasons.Explanation) -> str:
    """Write what a run waits for, with when that is probably over where somebody can tell."""
    if found.eta is None:
        return found.sentence
    low, high = duration(found.eta.low_s), duration(found.eta.high_s)
    return f"{found.sentence} Probably over in {low} to {high} ({found.eta.confidence.value} confidence)."


def duration(seconds: float) -> str:
    """Write a duration with two units at most: ``840 ms``, ``2.4 s``, ``3 min 12 s``, ``5 h 2 min``, ``2 d 4 h``."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, small, small_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


def ago(at: datetime.datetime, *, now: datetime.datetime) -> str:
    """Write how long ago something was."""
    seconds = (now - at).total_seconds()
    return "just now" if seconds < 2 else f"{duration(seconds if seconds < 60 else seconds // 60 * 60)} ago"


def clock(at: datetime.datetime) -> str:
    """Write a time in UTC to the second."""
    return at.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def size(size_bytes: int) -> str:
    """Write a size."""
    if size_bytes < 1_000:
        return f"{size_bytes} B"
    for factor, unit in ((1_000_000_000, "GB"), (1_000_000, "MB")):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes / 1_000:.0f} kB"
