"""Serve the engine and the doors from tables in memory: the ports' promises without a database.

``MemoryStore`` and ``MemoryDoors`` are the executors of PostgreSQL over ``Connections`` whose statements are functions
of this room. A ``Gate`` stands before every transaction: a test slows it down there, or loses it before or after it
has taken effect. Nothing here is shared between processes.
"""

import contextlib
import dataclasses
import random
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import psycopg

from heddle.config import deployment
from heddle.core import ids
from heddle.core.policy import price
from heddle.ports import operating, transport
from heddle.store import admitting, apply, postgres, statements
from heddle.store import django as django_store
from heddle.testing.memory import (
    absent,
    admission,
    attempts,
    calls,
    chains,
    claims,
    deploying,
    late,
    leases,
    limits,
    model_claims,
    newcomers,
    outbox,
    plans,
    reusing,
    routes,
    settling,
    stops,
    timers,
    views,
    whys,
)
from heddle.testing.memory.tables import Rows, Statement, Tables

Result = TypeVar("Result")
STATEMENTS: Mapping[str, Statement] = {
    **absent.STATEMENTS,
    **admission.STATEMENTS,
    **attempts.STATEMENTS,
    **calls.STATEMENTS,
    **chains.STATEMENTS,
    **claims.STATEMENTS,
    **deploying.STATEMENTS,
    **late.STATEMENTS,
    **leases.STATEMENTS,
    **limits.STATEMENTS,
    **model_claims.STATEMENTS,
    **newcomers.STATEMENTS,
    **outbox.STATEMENTS,
    **plans.STATEMENTS,
    **reusing.STATEMENTS,
    **routes.STATEMENTS,
    **settling.STATEMENTS,
    **stops.STATEMENTS,
    **timers.STATEMENTS,
    **views.STATEMENTS,
    **whys.STATEMENTS,
}


class NotSimulated(NotImplementedError):
    """Say which statement of a real store this one does not have; ``docs/simulation.md`` lists what is left out."""


class Gate(Protocol):
    """Stand before the store: called around every transaction of one worker."""

    async def before(self, stage: str) -> None:
        """Come before a transaction takes effect. Raises StoreLost: it then has none."""
        ...

    async def after(self, stage: str) -> None:
        """Come after a transaction has taken effect. Raises StoreLost: the caller cannot know of it."""
        ...

    def beat(self) -> None:
        """Come before a heartbeat. Raises StoreLost."""
        ...


class OpenGate:
    """Let everything pass at once."""

    async def before(self, stage: str) -> None:
        """Pass."""

    async def after(self, stage: str) -> None:
        """Pass."""

    def beat(self) -> None:
        """Pass."""


class Memory:
    """Hold the tables that stores, doors and pulses of one test share. ``now_s`` is the store's clock, in seconds.

    ``errors``: what transactions of workers raised. Unless ``is_undoing`` nothing is rolled back, and such a store is
    of no more use: an undone transaction costs a copy of every table before it.
    """

    def __init__(self, *, now_s: Callable[[], float], rng: random.Random, is_undoing: bool = False) -> None:
        self.tables = Tables(now_s=now_s, rng=rng)
        self.rng = rng
        self._is_undoing = is_undoing
        self.alone = threading.RLock()
        self.on_commit: Callable[[], None] = lambda: None
        self.errors: list[Exception] = []

    def rows(self, name: str, parameters: Mapping[str, Any]) -> Rows:
        """Run one statement. Raises NotSimulated for one that this store does not have."""
        if name not in STATEMENTS:
            raise NotSimulated(f"the store in memory has no statement {name!r}")
        return STATEMENTS[name](self.tables, **parameters)

    @contextlib.contextmanager
    def undoing(self) -> Iterator[None]:
        """Leave the tables as they were when the block raises, in a store that rolls back."""
        before = self.tables.copied() if self._is_undoing else None
        try:
            yield
        except Exception as error:
            if not isinstance(error, psycopg.errors.DivisionByZero):  # the guard of a plan: nothing is written yet
                self.errors.append(error)
            if before is not None:
                self.tables.restore(before)
            raise

    def new_run_id(self) -> uuid.UUID:
        """Make a run id from the store's time."""
        return ids.run_id(database_unix_ms=int(self.tables.now_s() * 1000), random_bits=self.rng.getrandbits(80))

    def deploy(
        self, wanted: deployment.Deployment, *, prices: Mapping[tuple[str, str], price.Expected] | None = None
    ) -> apply.Applied:
        """Write a deployment, as ``heddle migrate`` does; ``prices`` as ``store.apply`` takes them."""
        with self.alone:
            return apply.apply(_Cursor(self), wanted, prices=prices or {})


class _Cursor:
    """Stand for a driver's cursor: statements come by their text."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._rows: Rows = []
        self._names = {statements.load(name): name for name in STATEMENTS}

    def execute(self, text: str, parameters: Mapping[str, Any]) -> None:
        """Run a statement."""
        self._rows = self._memory.rows(self._names[text], parameters)

    def fetchone(self) -> tuple[Any, ...]:
        """Give the first row."""
        return self._rows[0]

    def fetchall(self) -> Rows:
        """Give all rows."""
        return self._rows


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """Hold the rows of one statement as the executors take them."""

    found: Rows
    description: bool = True

    async def fetchall(self) -> Rows:
        """Give the rows."""
        return self.found


class Transaction:
    """Run named statements at once, one after the other."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def send(self, name: str, parameters: dict[str, Any]) -> Any:
        """Run a named statement."""
        return _Found(self._memory.rows(name, parameters))

    async def rows(self, name: str, parameters: dict[str, Any]) -> Rows:
        """Run a named statement and give its rows."""
        return self._memory.rows(name, parameters)


class Connections:
    """Run transactions on the tables, each alone: none of them ever waits inside."""

    def __init__(self, memory: Memory, gate: Gate) -> None:
        self._memory = memory
        self._gate = gate

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Disconnect."""

    async def run(self, work: Callable[[Any], Awaitable[Result]], *, stage: str, suffix: str = "") -> Result:
        """Run one transaction. Raises StoreLost when the gate says so. ``suffix``: tables here have no partitions."""
        await self._gate.before(stage)
        with self._memory.alone:
            with self._memory.undoing():
                result = await work(Transaction(self._memory))
            self._memory.on_commit()
        await self._gate.after(stage)
        return result


class MemoryStore(postgres.PostgresStore):
    """Keep runs and steps for one worker (``ports.store.EngineStore``), in a ``Memory`` that others share."""

    def __init__(
        self, memory: Memory, *, gate: Gate | None = None, send_window_s: float = 8.0, claim_endpoints: int = 4
    ) -> None:
        super().__init__(
            dsn="",
            pool_size=2,
            timeout_s=1.0,
            statement_timeout_s=1.0,
            is_prepared=False,
            send_window_s=send_window_s,
            claim_endpoints=claim_endpoints,
        )
        self._memory = memory
        self._connections = Connections(memory, gate or OpenGate())  # type: ignore[assignment]

    async def open(self) -> None:
        """Connect."""
        await self._connections.open()

    def new_run_id(self) -> uuid.UUID:
        """Make a run id from the store's time."""
        return self._memory.new_run_id()

    async def check_schema(self) -> None:
        """Find nothing missing: tables in memory have no migrations."""

    async def ensure_partitions(self, *, weeks_ahead: int) -> list[str]:
        """Make no partition: tables in memory have none."""
        return []

    async def retain(self, *, runs_days: int, ledger_days: int, weeks_ahead: int) -> operating.RetentionReport:
        """Remove nothing: there are no weeks."""
        return operating.RetentionReport()

    async def note_lineage(self) -> operating.Lineage | None:
        """Tell nothing: a store in memory is never restored."""
        return None

    async def end_restore(self, *, hold_s: float) -> bool:
        """End nothing."""
        return False


class MemoryPulse:
    """Beat for a worker (``ports.session.Pulse``), in a session that ends with its process or when it is cut."""

    def __init__(self, memory: Memory, *, gate: Gate | None = None) -> None:
        self._memory = memory
        self._gate = gate or OpenGate()
        self._session: str | None = None

    def beat(self, *, worker: int, detail: dict[str, Any]) -> bool:
        """Beat once; False when this worker was declared dead. Raises StoreLost when the gate says so."""
        self._gate.beat()
        with self._memory.alone:
            tables = self._memory.tables
            if self._session not in tables.sessions:
                self._session = f"s{tables.next('session')}"
                tables.sessions.add(self._session)
            told = views.text({**detail, "session": self._session})
            return bool(leases.beat(tables, worker=worker, detail=told or "{}"))

    def is_lost(self) -> bool:
        """Tell whether the session of the last beat has ended since."""
        return self._session is not None and self._session not in self._memory.tables.sessions

    def close(self) -> None:
        """End the session, as the end of the process and a cut by something in between do. Twice changes nothing."""
        if self._session is not None:
            self._memory.tables.sessions.discard(self._session)


class MemoryDoors(django_store.DjangoDoors):
    """Admit, show and steer runs (``ports.doors.Doors``); may be called from any thread.

    ``rung`` is called after each call that rings the doorbell of a real store, with the channel and the payload. There
    is no host's transaction to join: every call is one of its own.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        cleanup_s: float = 60.0,
        signals_max: int = 1_000,
        rung: Callable[[str, str], None] = lambda _channel, _text: None,
    ) -> None:
        super().__init__(cleanup_s=cleanup_s, signals_max=signals_max)
        self._memory = memory
        self._rung = rung

    def _rows(self, name: str, parameters: dict[str, Any]) -> Rows:
        return self._memory.rows(name, parameters)

    @contextlib.contextmanager
    def _atomic(self) -> Iterator[None]:  # type: ignore[override]
        with self._memory.alone:
            yield
            self._memory.on_commit()

    def _ring(self, channel: str = transport.CHANNEL_READY, payload: str = "") -> None:
        self._rung(channel, payload)

    def _now_s(self) -> float:
        return self._memory.tables.now_s()

    def _together(self, inside: Sequence[admitting.Statement], *, after: Sequence[admitting.Statement] = ()) -> Rows:
        found: Rows = []
        with self._atomic():
            for name, values in (*inside, *after):
                found = self._rows(name, values)
        self._ring()
        return found

    def _new_run_id(self, now_ms: int) -> uuid.UUID:
        return ids.run_id(database_unix_ms=now_ms, random_bits=self._memory.rng.getrandbits(80))
