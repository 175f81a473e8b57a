"""Give authors the forms that are not calls of their own code: all_of, first_of, sleep, signal, now, random, patched.

Each is journalled or derived from the run, so that a replay sees what the first pass saw. Neighbours: the activation
they ask.
"""

import collections.abc
import datetime
import random as chance
import re
from typing import Any, NamedTuple

from heddle.core import faults, identity, plan, step
from heddle.program import activation, encoding, mapping
from heddle.program.call import Call
from heddle.program.errors import WorkflowMisused

_PATCH = re.compile(r"[A-Za-z0-9_.\-]{1,100}\Z")
DELAY_MAX_S = 366 * 86_400.0


async def all_of(calls: collections.abc.Iterable[Call[Any]], *, max_failed: int = 0) -> list[Any]:
    """Await several calls and give their results in order, None for each one that did not succeed.

    ``max_failed``: how many may fail, 0 or more. Raises StepFailed as soon as one more than that has failed, without
    waiting for the rest.
    """
    listed = _listed(calls, "all_of")
    if type(max_failed) is not int or max_failed < 0:
        raise ValueError(f"max_failed is a count of 0 or more, not {max_failed!r}")
    return await _Group(listed, max_failed)


class _Group:
    """Await calls together."""

    __slots__ = ("_calls", "_max_failed")

    def __init__(self, calls: list[Call[Any]], max_failed: int) -> None:
        self._calls = calls
        self._max_failed = max_failed

    def __await__(self) -> activation.Waiting:
        here = activation.required("heddle.all_of", "await the values themselves")
        results = yield from here.wait(self._calls, self._max_failed)
        return results


class First(NamedTuple):
    """Name the call that won: its place in the calls of ``first_of``, from 0, and its value."""

    winner: int
    value: Any


async def first_of(
    calls: collections.abc.Iterable[Call[Any]], *, max_failed: int = 0, cancel_losers: bool = True
) -> First:
    """Await the first of several calls to succeed, and give which one it was and its value.

    The winner is the one that ended first on the database's clock, written down, so that every replay sees the same
    one. The losers are cancelled, with the provider jobs and child runs behind them, unless ``cancel_losers`` is
    False; what becomes of them does not fail the run, and awaiting one that was cancelled raises StepFailed. A signal
    that came too late to win is there for the next call that waits for it.
    ``max_failed``: how many may fail before one succeeds, 0 to one less than the calls; StepFailed is raised as soon
    as one more than that has failed. Raises ValueError without calls.
    """
    listed = _listed(calls, "first_of")
    if not listed:
        raise ValueError("heddle.first_of takes one call or more")
    if type(max_failed) is not int or not 0 <= max_failed < len(listed):
        raise ValueError(f"max_failed is a count of 0 to {len(listed) - 1} here, not {max_failed!r}")
    winner, value = await _Race(listed, max_failed, cancel_losers)
    return First(winner, value)


class _Race:
    """Await the first of several calls."""

    __slots__ = ("_calls", "_cancel_losers", "_max_failed")

    def __init__(self, calls: list[Call[Any]], max_failed: int, cancel_losers: bool) -> None:
        self._calls = calls
        self._max_failed = max_failed
        self._cancel_losers = cancel_losers

    def __await__(self) -> activation.Waiting:
        here = activation.required("heddle.first_of", "await the values themselves")
        found = yield from here.race(self._calls, self._max_failed, cancel_losers=self._cancel_losers)
        return found


def _listed(calls: collections.abc.Iterable[Call[Any]], form: str) -> list[Call[Any]]:
    listed = list(calls)
    for index, call in enumerate(listed):
        if not isinstance(call, Call):
            raise WorkflowMisused(
                faults.StepFault(
                    fault=faults.Fault.WORKFLOW_MISUSE,
                    message=f"heddle.{form} takes calls; item {index} is a {type(call).__name__}",
                )
            )
    return listed


def map(  # noqa: A001 - the word of the contract
    what: mapping.Mapped,
    items: collections.abc.Iterable[object] | Call[Any],
    *,
    over: str | None = None,
    given: collections.abc.Mapping[str, object] | None = None,
    chunk: int = 200,
    in_flight_max: int = 1_000,
    max_failed: int = 0,
) -> Call[list[Any]]:
    """Call a step, model or workflow once for each item, up to 10,000, in a run of its own; one call here.

    ``items``: a list, or a call that gives one. ``over``: the argument that an item is given as, by default the first
    parameter (a model's must be named). ``given``: the other arguments, the same for every item; items and these take
    at most 2 MiB as JSON. ``chunk``: how many calls are planned at a time, 1 to 1,000. ``in_flight_max``: how many are
    open at a time, 1 to 2,000. ``max_failed``: how many may fail.

    Its value is the list of results in the order of the items, None for each one that failed; at most 4 MiB, so give
    artifacts. Awaited, it raises StepFailed naming the item when more than ``max_failed`` have failed; the rest is
    then cancelled. Raises ValueError and TypeError for what cannot be mapped.
    """
    here = activation.required("heddle.map", "call the function in a loop")
    arguments = mapping.arguments_of(
        what,
        items,
        over=over,
        given=given or {},
        chunk=chunk,
        in_flight_max=in_flight_max,
        max_failed=max_failed,
    )
    return here.make(
        kind=step.StepKind.WORKFLOW,
        name=mapping.NAME,
        version=mapping.VERSION,
        arguments=arguments,
        options=plan.CallOptions(),
        decode=mapping.decode_each(what),
        bytes_max=mapping.BYTES_MAX,
    )


def sleep(seconds: float) -> Call[None]:
    """Wait without holding a worker; ``await`` it. ``seconds``: 0 to 31,622,400 (366 days)."""
    here = activation.required("heddle.sleep", "use asyncio.sleep in a step")
    if not 0 <= seconds <= DELAY_MAX_S:
        raise ValueError(f"heddle.sleep takes 0 to {DELAY_MAX_S:,.0f} seconds, not {seconds!r}")
    return here.make(
        kind=step.StepKind.SLEEP,
        name="sleep",
        version=0,
        arguments={},
        options=plan.CallOptions(delay_s=float(seconds)),
        decode=_nothing,
    )


def signal(name: str, *, timeout_s: float | None = None) -> Call[Any]:
    """Wait for a signal sent to the run from outside; ``await`` it for the payload.

    A signal that came before the wait is taken from the buffer. ``timeout_s``: 0 to 31,622,400, None for no end; when
    it passes, the await raises StepFailed with the fault ``deadline``.
    """
    here = activation.required(
        "heddle.signal",
        "send one with heddle.wiring.client().signal(run_id, name, payload) or POST /v1/runs/{id}/signals/{name}",
    )
    if not name or len(name) > 100:
        raise ValueError(f"a signal's name has 1 to 100 characters, not {len(name)}")
    if timeout_s is not None and not 0 <= timeout_s <= DELAY_MAX_S:
        raise ValueError(f"timeout_s is 0 to {DELAY_MAX_S:,.0f} seconds, not {timeout_s!r}")
    return here.make(
        kind=step.StepKind.SIGNAL,
        name=name,
        version=0,
        arguments={},
        options=plan.CallOptions(delay_s=None if timeout_s is None else float(timeout_s)),
        decode=encoding.decode,
    )


def now() -> Call[datetime.datetime]:
    """Take the time, once; ``await`` it for an aware datetime in UTC. The same on every replay."""
    here = activation.required("heddle.now", "use datetime.datetime.now(datetime.UTC)")
    at = datetime.datetime.fromtimestamp(here.journal.now_s, tz=datetime.UTC)
    return here.make(
        kind=step.StepKind.NOW,
        name="now",
        version=0,
        arguments={},
        options=plan.CallOptions(),
        decode=_instant,
        output=at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
    )


def random() -> chance.Random:
    """Give a source of chance that draws the same on every replay, and differently at each asking."""
    return activation.required("heddle.random", "use random.Random()").chance()


def patched(name: str) -> bool:
    """Tell whether this run takes the new way of a change: False for runs that had passed this point before it."""
    here = activation.required("heddle.patched", "outside there is no journal to fit")
    if not _PATCH.match(name):
        raise ValueError(f"a patch's name is 1 to 100 letters, digits, _, - or ., not {name[:100]!r}")
    return here.is_patched(name)


def _nothing(_: identity.JsonValue) -> None:
    return None


def _instant(output: identity.JsonValue) -> datetime.datetime:
    return datetime.datetime.fromisoformat(str(output))
