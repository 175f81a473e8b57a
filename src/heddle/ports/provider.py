"""What the engine needs from a provider adapter, and what an adapter promises.

An adapter turns one resolved request into the outside's wire form and its answer into an ``Outcome`` of
``core.settle``. It never retries, never follows redirects, never swallows: retries belong to the engine alone (one
layer). It classifies by a table (status, code), never by prose. Before this in the walk: execute and poll. After:
settle.
"""

import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from heddle.core import artifact, attempt, identity, run, settle


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Declare what a provider offers.

    ``idempotency``: see DESIGN's classes A, B, C. ``is_paid``: a call costs money, so its intent is made durable
    before the socket opens. ``lookup_bound_s``: class B: after this long an absent answer proves that a job
    was never accepted; class C: for this long a callback that names the job may still come, and nothing is decided.
    """

    idempotency: attempt.IdempotencyClass
    is_paid: bool
    has_poll: bool = False
    has_lookup: bool = False
    has_cancel: bool = False
    has_callback: bool = False
    lookup_bound_s: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """Say in one place what a kind of endpoint offers, for people: ``docs/providers.md`` is made of these.

    ``idempotency``: the class, and why in ``guarantee``, one sentence on what a crash in the middle of a call leads to.
    ``operations``: what can be called. ``callback``: how callbacks are verified, empty for none.
    ``is_named_by_callback``: it may name the job of a send whose answer was lost. ``cancel``,
    ``deadline``, ``priority``, ``queue_position``: the provider's own call or field, empty where there is none.
    ``limits``: what headers tell. ``result_ttl_s``: how long the provider keeps a result; it is copied into our
    artifacts before. ``inline_bytes_max``: the largest value sent or taken inside JSON; larger ones go by reference.
    ``source``: where the wire contract was read, and when.
    """

    title: str
    operations: tuple[str, ...]
    idempotency: attempt.IdempotencyClass
    guarantee: str
    source: str
    callback: str = ""
    is_named_by_callback: bool = False
    cancel: str = ""
    deadline: str = ""
    priority: str = ""
    queue_position: str = ""
    limits: str = ""
    result_ttl_s: float | None = None
    inline_bytes_max: int | None = None
    is_streamed: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """Hold one endpoint as configured.

    ``options`` are the adapter's own keys of ``[endpoints.X]``, validated by the adapter's ``check``. ``secret`` is
    the value behind ``secret = "env:NAME"``; it is never logged (repr hides it). ``timeout_s`` bounds one attempt,
    connect included.
    """

    name: str
    adapter: str
    url: str
    timeout_s: float
    options: Mapping[str, Any]
    secret: str | None = dataclasses.field(default=None, repr=False)
    callback_secret: str | None = dataclasses.field(default=None, repr=False)


class ArtifactReader(Protocol):
    """Give an adapter the bytes of the artifacts in its request, and take those of its result. Bound to one tenant."""

    async def read(self, reference: artifact.Artifact) -> bytes:
        """Read a whole artifact; at most ``artifact_bytes_max``.

        Raises ``ports.blobs.BlobMissing``, or ``BlobUnread`` when the storage cannot be read just now. All inputs are
        read before anything is ordered, so what is raised here may leave ``send``: the engine takes ``BlobUnread`` for
        ``not_sent``.
        """
        ...

    async def write(self, chunks: AsyncIterator[bytes] | bytes, *, media_type: str | None) -> artifact.Artifact:
        """Store bytes and give their reference; the media type is sniffed and checked against the claimed one.

        Raises ``ports.blobs.BlobRefused`` when they are too large or no medium of an accepted kind.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRequest:
    """Hold one attempt as an adapter sees it.

    ``input``: resolved, encoded JSON (artifacts in marked form). ``idempotency_key`` is the same for every
    transport retry of a logical call; ``attempt_id`` names this try. ``timeout_s``: what is left for this attempt;
    ``deadline_s``: what is left of the run's time when the request is built, None for no deadline.
    ``callback_url``: where the provider may call back, None when it makes no callbacks or none are configured.
    ``priority``: the run's class. ``on_delta``: takes pieces of the answer as they come, None when nobody listens; it
    returns at once and never raises, and the outcome holds the whole answer all the same.
    """

    attempt_id: str
    idempotency_key: str
    model: str
    input: dict[str, identity.JsonValue]
    timeout_s: float
    artifacts: ArtifactReader
    callback_url: str | None = None
    deadline_s: float | None = None
    priority: run.Priority = run.Priority.STANDARD
    on_delta: Callable[[identity.JsonValue], None] | None = None


class CallbackRefused(Exception):
    """Say why a callback is not believed; it is counted and stored nowhere."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CallbackEvent:
    """Hold one verified callback: ``event_id`` is the provider's own, or the sha256 of the raw body. ``handle``: the
    job it tells of, by which a send of unknown outcome is found again; None when it names none.
    """

    event_id: str
    is_verified: bool
    handle: str | None = None


class Provider(Protocol):
    """Speak to one kind of endpoint. One instance serves one endpoint for the life of a process; it may hold a
    connection pool.
    """

    capabilities: Capabilities

    async def send(self, request: ProviderRequest) -> settle.Outcome:
        """Make one attempt.

        Must answer ``Faulted(not_sent)`` only when provably no byte of the request left, and ``Unknown`` whenever
        bytes may have left and no answer tells what became of them. A second call with the same ``idempotency_key``
        is a re-send; a refusal that says nothing of the sends before it is marked ``is_of_this_send``, as
        ``providers.outcomes`` does by the status. Cancelling the task abandons the attempt: the connection is closed.
        """
        ...

    async def poll(self, handle: str, request: ProviderRequest) -> settle.Outcome:
        """Ask after an accepted job. A transport failure is ``StillRunning``: it tells nothing about the job."""
        ...

    async def lookup(self, request: ProviderRequest) -> settle.Outcome:
        """Find by our reference what became of a send of unknown outcome: ``Accepted``, ``Completed``, ``Faulted`` or
        ``Absent``.

        ``Unknown`` when it could not be asked.
        """
        ...

    async def cancel(self, handle: str, request: ProviderRequest) -> bool:
        """Ask the provider to stop a job; tell whether it said yes. Never raises for a job already over."""
        ...

    def verify_callback(self, *, headers: Mapping[str, str], body: bytes, now_s: float) -> CallbackEvent:
        """Verify a callback's raw body, in constant time. Raises CallbackRefused. Header names are lower case."""
        ...

    async def check(self) -> str | None:
        """Tell what is wrong with the endpoint's configuration or reach, None when nothing is. Costs no money."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
