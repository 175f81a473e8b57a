"""Carry the ids of the work at hand, so that every line, span and exemplar can name it without being told.

One context variable holds one frozen record; asyncio tasks inherit it and threads started by ``asyncio.to_thread`` do
too. The W3C trace context is parsed, formatted and drawn here. This module writes nothing and keeps nothing past the
``with`` block. Before it: doors and the engine, which bind. After: ``recorder`` and ``logs``, which read.
"""

import contextvars
import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple, Protocol

TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
TRACEPARENT_CHARS_MAX: Final = 512
"""Longer headers are not looked at; version 00 has 55 characters."""


class Chance(Protocol):
    """Give random bits: ``random.Random`` in tests and the engine, ``random.SystemRandom`` at the doors."""

    def getrandbits(self, k: int, /) -> int:
        """Draw an integer in [0, 2**k)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Name one span of one trace as W3C Trace Context does: 32 and 16 lowercase hexadecimal digits, never all zero."""

    trace_id: str
    span_id: str
    is_sampled: bool


class Ids(NamedTuple):
    """Hold the ids bound at this point; None means not bound. ``step`` is the ordinal in the run, ``attempt`` counts
    from 1."""

    run_id: str | None = None
    step: int | None = None
    attempt: int | None = None
    tenant: str | None = None
    trace_id: str | None = None
    span_id: str | None = None

    def bound(self) -> dict[str, str | int]:
        """Give the ids that are bound, by name, in a fixed order."""
        return {name: value for name in _NAMES if (value := getattr(self, name)) is not None}


_NAMES: Final = Ids._fields
NOTHING: Final = Ids()
_current: Final[contextvars.ContextVar[Ids]] = contextvars.ContextVar("heddle_ids", default=NOTHING)


def current() -> Ids:
    """Give the ids bound at this point."""
    return _current.get()


class bind:  # noqa: N801 - it reads as a verb where it is used: `with context.bind(run_id=…)`
    """Bind ids for the duration of a ``with`` block, on top of those bound already.

    Each id is a text or None; None leaves an outer binding as it is. ``run_id`` may be anything whose ``str`` is the
    id. ``trace`` binds both its ids. A block leaves what it found, also when it raises or is cancelled. One object may
    not be entered twice at once.
    """

    __slots__ = ("_attempt", "_run_id", "_step", "_tenant", "_token", "_trace")

    def __init__(
        self,
        *,
        run_id: object = None,
        step: int | None = None,
        attempt: int | None = None,
        tenant: str | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._run_id = run_id
        self._step = step
        self._attempt = attempt
        self._tenant = tenant
        self._trace = trace
        self._token: contextvars.Token[Ids] | None = None

    def __enter__(self) -> Ids:
        assert self._token is None, "a binding is entered once"
        outer, trace = _current.get(), self._trace
        merged = Ids(
            run_id=outer.run_id if self._run_id is None else str(self._run_id),
            step=outer.step if self._step is None else self._step,
            attempt=outer.attempt if self._attempt is None else self._attempt,
            tenant=outer.tenant if self._tenant is None else self._tenant,
            trace_id=outer.trace_id if trace is None else trace.trace_id,
            span_id=outer.span_id if trace is None else trace.span_id,
        )
        self._token = _current.set(merged)
        return merged

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._token is not None, "a binding is left after it is entered"
        _current.reset(self._token)
        self._token = None


def new_trace(*, chance: Chance, is_sampled: bool) -> Trace:
    """Begin a trace with ids drawn from ``chance``."""
    return Trace(trace_id=_hexadecimal(chance, 128), span_id=_hexadecimal(chance, 64), is_sampled=is_sampled)


def child_of(parent: Trace, *, chance: Chance) -> Trace:
    """Give a new span of the same trace; it is sampled when its parent is."""
    return dataclasses.replace(parent, span_id=_hexadecimal(chance, 64))


def parse_traceparent(header: str) -> Trace | None:
    """Read a ``traceparent`` header; None when it is absent or not valid, and a new trace is to be begun.

    W3C Trace Context, section 3.2: version ff and zero ids are invalid, version 00 ends after its flags, and a later
    version is read as version 00 with whatever follows ignored.
    """
    if len(header) > TRACEPARENT_CHARS_MAX:
        return None
    match = TRACEPARENT.fullmatch(header.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    is_invalid = version == "ff" or (version == "00" and rest is not None)
    if is_invalid or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Trace(trace_id=trace_id, span_id=span_id, is_sampled=bool(int(flags, 16) & 1))


def format_traceparent(trace: Trace) -> str:
    """Write the ``traceparent`` header, version 00, for a request made within this span."""
    return f"00-{trace.trace_id}-{trace.span_id}-{'01' if trace.is_sampled else '00'}"


def trace_of(headers: Mapping[str, str], *, chance: Chance, is_sampled: bool) -> Trace:
    """Give the span for a request that came in: a child of its caller's, or the first of a new trace.

    ``headers`` has lowercase names. ``is_sampled`` decides for new traces only.
    """
    parent = parse_traceparent(headers.get("traceparent", ""))
    return new_trace(chance=chance, is_sampled=is_sampled) if parent is None else child_of(parent, chance=chance)


def _hexadecimal(chance: Chance, bits: int) -> str:
    # Zero is not a valid id. One draw in 2**64 is; `or 1` is then as good as another draw.
    return f"{chance.getrandbits(bits) or 1:0{bits // 4}x}"
