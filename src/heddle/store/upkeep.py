"""Serve the engine's long work: bulk operations, retention, and the knowledge of a restored database.

Mixed into ``PostgresStore``, whose connections it uses. Neighbours: ``ports.operating`` says what is promised;
``store.operating`` and ``store.retaining`` do it.
"""

import asyncio
import secrets
import uuid
from collections.abc import Sequence
from typing import Any

import psycopg

from heddle.core import ids
from heddle.ports import operating, store
from heddle.store import connections, retaining, routing, schema
from heddle.store import operating as operating_store

_UNTOLD = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.ObjectNotInPrerequisiteState,
)
# What stands in the way of every operation alike, such as a schema of another release, is no fault of one of them.
_IN_THE_WAY = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.LockNotAvailable,
)
_TOO_LONG = (psycopg.errors.QueryCanceled, psycopg.errors.TransactionTimeout)


class Upkeep:
    """Carry out what lasts longer than one statement."""

    _connections: connections.Connections
    _direct_dsn: str

    async def operate(self, *, batch: int, cleanup_s: float) -> operating.OperationStep | None:
        """Do one chunk of a bulk operation, of each tenant the oldest in turn."""
        taken = list[operating_store.Operation]()

        async def work(transaction: connections.Transaction) -> operating.OperationStep | None:
            return await operating_store.step(transaction, batch=batch, cleanup_s=cleanup_s, on_taken=taken.append)

        try:
            return await self._connections.run(work, stage="operate")
        except _IN_THE_WAY:
            raise
        except store.StoreLost as error:
            is_too_long = isinstance(error.__cause__, _TOO_LONG) and batch == 1
            if not taken or not is_too_long:
                raise
            raise operating_store.failure(taken[-1], error) from error
        except Exception as error:
            if not taken:
                raise
            raise operating_store.failure(taken[-1], error) from error

    async def fail_operation(self, *, id: uuid.UUID, reason: str) -> bool:  # noqa: A002 - the name of the column
        """End a bulk operation that fails again and again."""

        async def work(transaction: connections.Transaction) -> bool:
            return bool(
                (await transaction.rows("operation_fail", {"id": id, "reason": reason, "actor": routing.LEADER}))[0][0]
            )

        return await self._connections.run(work, stage="operate")

    async def retain(self, *, runs_days: int, ledger_days: int, weeks_ahead: int) -> operating.RetentionReport:
        """Remove history past its time, from a thread and on a connection of its own."""
        try:
            return await asyncio.to_thread(
                retaining.run_at,
                self._direct_dsn,
                runs_days=runs_days,
                ledger_days=ledger_days,
                weeks_ahead=weeks_ahead,
            )
        except retaining.NeedsDirect as error:
            return operating.RetentionReport(kept=(operating.KeptWeek(week="all", reason=str(error)),))
        except psycopg.Error as error:
            raise store.StoreLost(str(error)) from error

    async def check_schema(self) -> None:
        """Raise SchemaBehind when the database lacks a migration of this release."""

        async def work(transaction: connections.Transaction) -> list[str]:
            if not (await transaction.rows("migrations_known", {}))[0][0]:
                return []
            return [name for (name,) in await transaction.rows("migrations_applied", {})]

        problem = schema.problem(await self._connections.run(work, stage="operate"))
        if problem is not None:
            raise operating.SchemaBehind(problem)

    async def doubt(self, left_out: Sequence[store.Claimed]) -> None:
        """Have looked up, before they are sent, calls that may have been sent in a history that a restore lost."""
        if not left_out:
            return

        async def work(transaction: connections.Transaction) -> None:
            await transaction.send("lock_runs", {"run_ids": sorted({call.run_id for call in left_out})})
            await transaction.send(
                "doubt",
                {
                    "runs": [call.run_id for call in left_out],
                    "ordinals": [call.ordinal for call in left_out],
                    "numbers": [call.number for call in left_out],
                    "fences": [call.fence for call in left_out],
                },
            )

        await self._connections.run(work, stage="execute")

    async def note_lineage(self) -> operating.Lineage | None:
        """Note which history this is."""
        try:
            return await self._connections.run(_note, stage="operate")
        except _UNTOLD:
            # A managed server that does not tell its timeline; `doctor` says so.
            return None

    async def end_restore(self, *, hold_s: float) -> bool:
        """Resume sending when nothing is in doubt any more, or when the time is over."""

        async def work(transaction: connections.Transaction) -> bool:
            found = await transaction.rows("restore_doubts", {"hold_s": hold_s})
            if not found or hold_s == 0:
                return False
            paused_s, is_in_doubt = found[0]
            if is_in_doubt and paused_s < hold_s:
                return False
            return bool(await transaction.rows("resume_sending", {}))

        return await self._connections.run(work, stage="operate")


async def _note(transaction: connections.Transaction) -> operating.Lineage | None:
    row = (await transaction.rows("lineage_read", {}))[0]
    identifier, timeline, known_identifier, known_timeline, is_paused = row
    if (identifier, timeline) == (known_identifier, known_timeline):
        return operating.Lineage(timeline=timeline, is_new=False, is_paused=is_paused)
    before = await _now_id(transaction)
    noted = await transaction.rows(
        "lineage_note", {"system_identifier": identifier, "timeline": timeline, "restored_before": before}
    )
    is_new = bool(noted and noted[0][0])
    return operating.Lineage(timeline=timeline, is_new=is_new, is_paused=is_new or is_paused)


async def _now_id(transaction: connections.Transaction) -> Any:
    """Give the id that a run made now would have: every run of the history before is below it."""
    now_s = (await transaction.rows("database_time", {}))[0][0]
    return ids.run_id(database_unix_ms=int(now_s * 1000), random_bits=secrets.randbits(80))
