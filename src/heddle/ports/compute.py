"""What the engine needs from the place where synchronous steps run, and what that place promises.

A call names a function and carries its pickled arguments; the outcome says how it ended. What happens to one call
happens to no other: not its time, not its memory, not its crash. This port refuses to know what a step means, to retry,
and to unpickle a value. Before it in the walk: execute. After: settle, which turns the outcome into a verdict.
"""

import dataclasses
import math
from typing import Literal, Protocol, TypeAlias


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ComputeCall:
    """Hold one call of a step's function.

    ``function``: ``package.module:qualname``. An object there that is no plain function and carries ``__wrapped__`` (a
    registered step) stands for the function behind it. ``arguments``: a pickled ``dict[str, object]``, handed over as
    keywords; media go by reference. ``timeout_s``: > 0, counted from the moment a child takes the call, the import of
    its module included. ``memory_bytes``: > 0, what the call may add to what its warm process holds; None is no cap.
    ``label``: names the call in messages and logs (``step run/ordinal``).
    """

    function: str
    arguments: bytes
    timeout_s: float
    memory_bytes: int | None
    label: str

    def __post_init__(self) -> None:
        """Refuse what can not be run. Raises ValueError naming the field."""
        module, colon, name = self.function.partition(":")
        if not (module and colon and name):
            raise ValueError(f"function must be 'package.module:qualname', not {self.function!r} ({self.label})")
        if not 0 < self.timeout_s < math.inf:
            raise ValueError(f"timeout_s must be more than 0 seconds and finite, not {self.timeout_s} ({self.label})")
        if self.memory_bytes is not None and self.memory_bytes <= 0:
            raise ValueError(f"memory_bytes must be more than 0 bytes or None, not {self.memory_bytes} ({self.label})")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ComputeDone:
    """Hold what the function returned, pickled. ``elapsed_s``, here and below, counts from the hand-over to a child."""

    value: bytes
    elapsed_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ComputeRaised:
    """Say that the function raised, or that it, its arguments or its value could not be found, unpickled or pickled.

    ``error_type``: the bare name of a builtin (``MemoryError`` when the cap was met), else ``module.qualname``.
    ``message`` and ``traceback_text`` are bounded, and the traceback begins at the author's code.
    """

    error_type: str
    message: str
    traceback_text: str
    elapsed_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ComputeTimedOut:
    """Say that the call outlived its time; its process and what that had started are killed."""

    elapsed_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ComputeCrashed:
    """Say that the process died under the call.

    Exactly one of ``signal_number`` and ``exit_code`` is set. ``detail``: one sentence, then the Python stack at the
    fault where it is known; bounded.
    """

    signal_number: int | None
    exit_code: int | None
    detail: str
    elapsed_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ComputeTooLarge:
    """Say that the pickled arguments or result pass their limit.

    Arguments are refused unsent; a result is dropped where it was made, after the function has run.
    """

    what: Literal["arguments", "result"]
    size_bytes: int
    limit_bytes: int


ComputeOutcome: TypeAlias = ComputeDone | ComputeRaised | ComputeTimedOut | ComputeCrashed | ComputeTooLarge


class ComputeUnavailable(RuntimeError):
    """Say that a call has no outcome for want of a place to run it: not started, full, closing, or no child will start.

    The call did not begin, except when the drain of ``close`` ran out under it; in both cases its step is to be given
    back, not failed.
    """


class Compute(Protocol):
    """Run synchronous functions away from the caller's event loop. Used from one event loop only."""

    @property
    def size(self) -> int:
        """Tell how many calls can run at once when everything is well."""
        ...

    @property
    def free(self) -> int:
        """Tell how many calls would begin at once if made now: 0 … ``size``; 0 before start and from close on."""
        ...

    async def start(self) -> None:
        """Make every place ready, warm. A second call raises RuntimeError.

        Raises ComputeUnavailable with the reason when the places can not be made; nothing is left running then.
        """
        ...

    async def run(self, call: ComputeCall) -> ComputeOutcome:
        """Run one call when a place is free, in the order of asking, and tell how it ended.

        Never raises for what the function did. Raises ComputeUnavailable when there is no place for it, in bounded
        time. Cancelling kills the call and what it had started; its place is made anew. Every call runs the function
        again.
        """
        ...

    async def close(self, drain_s: float) -> None:
        """Take no more calls, give the running ones ``drain_s`` seconds (>= 0), kill the rest; leave nothing running.

        Calls that still wait for a place, and those killed, raise ComputeUnavailable. A second call waits for the
        first. Cancelling it ends the drain at once.
        """
        ...
