"""What one activation reads and what it decides: the journal in, planned calls and an ending out.

The program layer turns a workflow function and a ``Journal`` into a ``Plan``; the engine writes it. This module
holds the records, the encoding of calls inside values (``{"$call": [ordinal, path]}``; user keys that begin with
``$`` gain one more), and the pure functions both sides share.
"""

import dataclasses
import enum
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from heddle.core import artifact, faults, identity, run, step
from heddle.core.policy import backoff
from heddle.core.policy import retry as retry_policy
from heddle.core.policy import reuse as reuse_policy

_RETRY = retry_policy.RetryOptions()
CALL = "$call"
# The kind of the lanes in which model calls look for equal ones.
LOOK = "look"
# Runs of one chain of continue_as_new; one that would pass it fails.
CHAIN_MAX = 10_000
# What the result of a child run may take as JSON, all its parts together.
RESULT_BYTES_MAX = 4 * 1024**2
# The `where` of the fault that a call cancelled by first_of, and what takes a value from it, ends with.
LOST = "heddle.first_of"
# The `where` of the fault that a run ends with which nobody stopped but the run above it.
ABOVE = "heddle.parent"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """Say how a call is to be executed.

    ``timeout_s``: for one attempt, 0.1 to 86,400 (None: the step's or endpoint's own). ``detach``: its failure does
    not fail the run. ``memory_bytes``: the cap of a step in the compute pool. ``delay_s``: of a sleep, or the
    timeout of a signal (None: none). ``tokens``, ``images``: what a model call is expected to use, 1 to
    1,000,000,000 (None: as the model says). ``reuse``: of a model call, whose results it may take (None: nobody's).
    """

    timeout_s: float | None = None
    retry: retry_policy.RetryOptions = _RETRY
    detach: bool = False
    memory_bytes: int | None = None
    delay_s: float | None = None
    tokens: int | None = None
    images: int | None = None
    reuse: reuse_policy.Reuse | None = None

    def as_json(self) -> dict[str, Any]:
        """Give the stored form: only what differs from the defaults."""
        stored: dict[str, Any] = {}
        if self.timeout_s is not None:
            stored["timeout_s"] = self.timeout_s
        if self.retry != _RETRY:
            stored["retry"] = dataclasses.asdict(self.retry)
        if self.detach:
            stored["detach"] = True
        if self.memory_bytes is not None:
            stored["memory_bytes"] = self.memory_bytes
        if self.delay_s is not None:
            stored["delay_s"] = self.delay_s
        if self.tokens is not None:
            stored["tokens"] = self.tokens
        if self.images is not None:
            stored["images"] = self.images
        if self.reuse is not None:
            stored["reuse"] = self.reuse.as_json()
        return stored

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> "CallOptions":
        """Read ``as_json``'s form."""
        if not value:
            return _PLAIN
        stored = value.get("retry")
        return cls(
            timeout_s=value.get("timeout_s"),
            retry=retry_policy.RetryOptions(**{**stored, "waits": backoff.BackoffOptions(**stored["waits"])})
            if stored
            else _RETRY,
            detach=value.get("detach", False),
            memory_bytes=value.get("memory_bytes"),
            delay_s=value.get("delay_s"),
            tokens=value.get("tokens"),
            images=value.get("images"),
            reuse=reuse_policy.Reuse.from_json(value["reuse"]) if "reuse" in value else None,
        )


_PLAIN = CallOptions()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """Hold one call that the journal does not have yet.

    ``arguments`` is encoded JSON (keyword name to value); ``parents`` are the ordinals it takes values from,
    ascending, unique; ``output`` is set for calls that are over when they are made (``now``).
    """

    ordinal: int
    kind: step.StepKind
    name: str
    version: int
    digest: str
    arguments: dict[str, Any]
    parents: tuple[int, ...]
    options: CallOptions
    output: identity.JsonValue = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """Hold what replay needs of one journalled call. ``output`` is loaded only where ``has_output``: for calls that
    were awaited before. ``ended_at_s``: seconds since 1970 on the store's clock, None while it is open.
    """

    ordinal: int
    kind: step.StepKind
    name: str
    digest: str
    state: step.StepState
    has_output: bool = False
    output: identity.JsonValue = None
    fault: faults.StepFault | None = None
    ended_at_s: float | None = None


class StopReason(enum.StrEnum):
    """Name why open work of a run is to stop."""

    CANCELLED = "cancelled"
    EXPIRED = "expired"
    RAISED = "raised"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Hold everything one activation may see.

    ``now_s`` is the database's time in seconds since 1970. ``stopping`` is set once somebody asked for the run to
    stop: the driver then raises once at the await it is suspended in (``stop_ordinal``: calls at or below it were
    made before the request) and what is called after is cleanup. ``planned`` counts the calls made so far.
    """

    run_id: uuid.UUID
    workflow: str
    version: int
    input: dict[str, Any]
    entries: Mapping[int, JournalEntry]
    patches: frozenset[str]
    now_s: float
    stopping: StopReason | None = None
    stop_ordinal: int = 0
    planned: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Say when a suspended activation is worth running again.

    When ``count`` of ``ordinals`` have ended, or more than ``max_failed`` of them have failed (None: failures alone
    do not wake it).
    """

    ordinals: tuple[int, ...]
    count: int
    max_failed: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """Tell that the function waits for calls that have not ended."""

    need: Need


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """Tell that the function returned. ``shape`` is its encoded value, ``refs`` the ordinals inside it."""

    shape: identity.JsonValue
    refs: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """Tell that the function goes on as a new run of the same workflow: its encoded ``input`` and its version."""

    workflow: str
    input: dict[str, identity.JsonValue]
    version: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """Tell that the function ended without a value; open calls are to be cancelled."""

    fault: faults.StepFault


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NeedOutputs:
    """Ask for the same activation again, with the outputs of these ended calls loaded; nothing is planned."""

    ordinals: tuple[int, ...]


Ending = Suspended | Returned | Continued | Raised | NeedOutputs


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Hold what one activation decided. ``handled`` are the failed calls that were awaited: they do not fail the run
    by themselves. ``cancels`` are calls, old or planned here, that nobody waits for any more.
    """

    run_id: uuid.UUID
    calls: tuple[PlannedCall, ...]
    ending: Ending
    handled: tuple[int, ...] = ()
    awaited: tuple[int, ...] = ()
    patches: tuple[str, ...] = ()
    cancels: tuple[int, ...] = ()


def lost(cause: int | None = None) -> faults.StepFault:
    """Make the fault of a call that lost ``first_of``; ``cause``: of one that takes a value from it."""
    message = (
        "another call of heddle.first_of ended before it"
        if cause is None
        else f"skipped: call {cause}, which it takes a value from, lost heddle.first_of"
    )
    return faults.StepFault(fault=faults.Fault.CANCELLED, message=message, where=LOST)


def stopped_above() -> faults.StepFault:
    """Make the fault of a run that the run above it stops: when that one is retried, this one goes on."""
    return faults.StepFault(fault=faults.Fault.CANCELLED, message="the run above it stopped it", where=ABOVE)


def escape(key: str) -> str:
    """Protect a user's key from being read as a mark."""
    return f"${key}" if key.startswith("$") else key


def unescape(key: str) -> str:
    """Give back the user's key."""
    return key[1:] if key.startswith("$$") else key


def sendable(value: identity.JsonValue) -> identity.JsonValue:
    """Give the form of a resolved encoded value that adapters see: no escapes, artifacts marked as they are."""
    if isinstance(value, dict):
        if artifact.MARK in value:
            return value
        return {unescape(key): sendable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [sendable(item) for item in value]
    return value


def references(value: identity.JsonValue) -> Iterator[int]:
    """Yield the ordinals of the calls inside an encoded value, in order of appearance."""
    if isinstance(value, dict):
        if CALL in value:
            yield int(value[CALL][0])
            return
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def artifacts(value: identity.JsonValue) -> Iterator[artifact.Artifact]:
    """Yield the artifacts inside an encoded value."""
    if isinstance(value, dict):
        if artifact.MARK in value:
            yield artifact.Artifact.from_json(value)
            return
        for item in value.values():
            yield from artifacts(item)
    elif isinstance(value, list):
        for item in value:
            yield from artifacts(item)


class ProjectionMissing(LookupError):
    """Say that a projected edge (``call["k"]``, ``call.field``) names a part that the output does not have."""


def project(output: identity.JsonValue, path: list[str | int]) -> identity.JsonValue:
    """Take the part of an output that a projected edge names. Raises ProjectionMissing."""
    value = output
    for key in path:
        try:
            value = value[escape(key) if isinstance(key, str) else key]
        except (KeyError, IndexError, TypeError) as error:
            raise ProjectionMissing(f"the output has no {'.'.join(map(str, path))!r} (stopped at {key!r})") from error
    return value


def resolve(value: identity.JsonValue, output_of: Callable[[int], identity.JsonValue]) -> identity.JsonValue:
    """Replace every call inside an encoded value by its output; everything else, escapes included, stays encoded.

    Raises ProjectionMissing when a projected part is not there, and whatever ``output_of`` raises.
    """
    if isinstance(value, dict):
        if CALL in value:
            ordinal, path = value[CALL]
            return project(output_of(int(ordinal)), path)
        return {key: resolve(item, output_of) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, output_of) for item in value]
    return value


def public(value: identity.JsonValue) -> identity.JsonValue:
    """Give the form of a resolved encoded value that callers see: no escapes, artifacts as ids."""
    if isinstance(value, dict):
        if artifact.MARK in value:
            return artifact.Artifact.from_json(value).as_public_json()
        return {unescape(key): public(item) for key, item in value.items()}
    if isinstance(value, list):
        return [public(item) for item in value]
    return value


def first_state(call: PlannedCall, *, is_every_parent_over: bool) -> step.StepState:
    """Tell the state a planned call is written in."""
    if call.kind is step.StepKind.NOW:
        return step.StepState.SUCCEEDED
    if not is_every_parent_over:
        return step.StepState.BLOCKED
    if call.kind in (step.StepKind.SLEEP, step.StepKind.SIGNAL, step.StepKind.WORKFLOW):
        return step.StepState.WAITING
    return step.StepState.DUE


def lane_of(call: PlannedCall, priority: run.Priority) -> tuple[str, str, int, str]:
    """Give the lane a planned call is served from: kind, name, version and class.

    A model call that may take another's result looks for it first, in a lane of its own.
    """
    kind = LOOK if call.options.reuse is not None and call.kind is step.StepKind.MODEL else call.kind.value
    return (kind, call.name, call.version, priority.value)
