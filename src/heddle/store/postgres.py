"""Serve the engine from PostgreSQL: each method is one transaction of named statements, pipelined into one or two
round trips.

Nothing here decides: placement comes from ``core.placement``, verdicts come in as settlements. Neighbours:
``engine`` above, ``store/sql`` below.
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from heddle.core import ids, plan
from heddle.ports import store
from heddle.store import (
    calling,
    connections,
    delivering,
    limits,
    load,
    lookout,
    partitions,
    planning,
    recurring,
    reserving,
    reusing,
    routing,
    rows,
    session,
    settling,
    spending,
    stopping,
    timing,
    upkeep,
)

_TENANTS_MAX = 256


class PostgresStore(
    session.SessionWatch,
    limits.Governing,
    stopping.StoppedJobs,
    recurring.Schedules,
    upkeep.Upkeep,
    spending.SpendCounting,
    load.PostgresLoad,
    calling.Calling,
    reserving.Reserving,
    reusing.Reusing,
    delivering.Outbox,
    routing.PostgresRouting,
    settling.Settling,
    timing.Timing,
):
    """Keep runs and steps for the workers of one process."""

    def __init__(
        self,
        *,
        dsn: str,
        pool_size: int,
        timeout_s: float,
        statement_timeout_s: float,
        is_prepared: bool,
        send_window_s: float,
        claim_endpoints: int,
        journal_bytes_max: int = 16 * 1024**2,
        direct_dsn: str | None = None,
        is_prepared_pooled: bool = False,
        on_retry: Callable[[str, Exception], None] = lambda _stage, _error: None,
    ) -> None:
        self._connections = connections.Connections(
            dsn=dsn,
            size=pool_size,
            timeout_s=timeout_s,
            statement_timeout_s=statement_timeout_s,
            is_prepared=is_prepared,
            is_prepared_pooled=is_prepared_pooled,
            on_retry=on_retry,
        )
        self._direct_dsn = direct_dsn or dsn
        self._send_window_s = send_window_s
        self._claim_endpoints = claim_endpoints
        self._journal_bytes_max = journal_bytes_max
        self._database_offset_s = 0.0
        self._lookout = lookout.Lookout()

    async def open(self) -> None:
        """Connect, see that the schema is there, measure how far this machine's clock is from the database's."""
        await self._connections.open()
        await self.check_schema()
        found = await self._rows("database_time", {})
        self._database_offset_s = found[0][0] - time.time()

    async def close(self) -> None:
        """Disconnect."""
        await self._connections.close()

    async def _rows(self, name: str, parameters: dict[str, Any], *, stage: str = "sweep") -> list[tuple[Any, ...]]:
        """Run one statement in a transaction of its own, in one round trip."""

        async def work(transaction: connections.Transaction) -> Any:
            return await transaction.send(name, parameters)

        cursor = await self._connections.run(work, stage=stage)
        return list(await cursor.fetchall()) if cursor.description else []

    def new_run_id(self) -> uuid.UUID:
        """Make a run id from the database's time."""
        now_ms = int((time.time() + self._database_offset_s) * 1000)
        return ids.run_id(database_unix_ms=now_ms, random_bits=secrets.randbits(80))

    # Workers and leases

    async def register(self, *, name: str, detail: dict[str, Any]) -> int:
        """Make a worker row."""
        found = await self._rows("register_worker", {"name": name, "detail": rows.dump(detail)})
        return int(found[0][0])

    async def retire(self, *, worker: int) -> None:
        """Tell that a worker has left in order."""
        await self._rows("retire_worker", {"worker": worker})

    async def held(self, *, worker: int, grace_s: float) -> list[store.LeaseRef]:
        """List a worker's leases older than a grace."""
        found = await self._rows("held", {"worker": worker, "grace_s": grace_s})
        return [store.LeaseRef(run_id=row[0], ordinal=row[1], fence=row[2]) for row in found]

    async def readback(self, *, worker: int, claim_ids: Sequence[uuid.UUID]) -> list[store.LeaseRef]:
        """Give the leases that claims of unknown outcome took."""
        found = await self._rows("readback", {"worker": worker, "claim_ids": list(claim_ids)})
        return [store.LeaseRef(run_id=row[0], ordinal=row[1], fence=row[2]) for row in found]

    async def give_back(self, *, leases: Sequence[store.LeaseRef]) -> None:
        """Return leases unused."""
        if leases:
            await self._reclaim(leases, is_death=False, margin_s=0.0)

    async def _reclaim(
        self, leases: Sequence[store.LeaseRef], *, is_death: bool, margin_s: float
    ) -> tuple[int, int, int]:
        async def work(transaction: connections.Transaction) -> Any:
            await transaction.send("lock_runs", {"run_ids": sorted({lease.run_id for lease in leases})})
            return await transaction.send(
                "reclaim",
                {
                    "runs": [lease.run_id for lease in leases],
                    "ordinals": [lease.ordinal for lease in leases],
                    "fences": [lease.fence for lease in leases],
                    "is_death": is_death,
                    "margin_s": margin_s,
                },
            )

        cursor = await self._connections.run(work, stage="sweep")
        taken, readied, unknown = (await cursor.fetchall())[0]
        return taken, readied, unknown

    async def reclaim(self, *, lease_s: float | None, margin_s: float, limit: int) -> store.ReclaimReport:
        """Declare silent workers dead and take a batch of the leases of dead ones."""
        dead = await self._rows("mark_dead", {"lease_s": lease_s})
        if not dead:
            return store.ReclaimReport()
        found = await self._rows("dead_leases", {"workers": [row[0] for row in dead], "limit": limit})
        leases = [store.LeaseRef(run_id=row[0], ordinal=row[1], fence=row[2]) for row in found]
        taken = readied = unknown = 0
        if leases:
            taken, readied, unknown = await self._reclaim(leases, is_death=True, margin_s=margin_s)
        return store.ReclaimReport(
            dead_workers=sum(1 for row in dead if row[1]), taken=taken, readied=readied, unknown=unknown
        )

    # Claim

    async def endpoints(self) -> list[store.EndpointRow]:
        """Give every endpoint that is enabled or still has slots taken."""
        return [
            store.EndpointRow(
                id=row[0],
                name=row[1],
                adapter=row[2],
                url=row[3],
                secret_name=row[4],
                callback_secret_name=row[5],
                timeout_s=row[6],
                price_nano_usd=row[7],
                is_paid=row[8],
                options=row[9],
                models=tuple(row[10] or ()),
                unknown_policies=row[11] or {},
                gates=routing.gates(row[12]),
            )
            for row in await self._rows("endpoints", {})
        ]

    async def claim_local(
        self, *, worker: int, claim_id: uuid.UUID, lanes: Sequence[store.LaneWish], caps: Sequence[int]
    ) -> list[store.Claimed]:
        """Lease activations, local steps and polls."""
        parameters: dict[str, Any] = {
            "worker": worker,
            "claim_id": claim_id,
            "lanes": [wish.lane for wish in lanes],
            "groups": [wish.group for wish in lanes],
            "purposes": [wish.purpose for wish in lanes],
            "shares": [wish.share for wish in lanes],
            "caps": list(caps),
            "tenants": _TENANTS_MAX,
        }
        parameters |= self._lookout.parameters(parameters["lanes"], now_s=time.monotonic())
        found = await self._rows("claim_local", parameters, stage="claim")
        taken = [rows.claimed(row[:-2]) for row in found]
        self._lookout.note((row[-2], item.tenant_id, row[-1]) for row, item in zip(found, taken, strict=True))
        return taken

    async def claim_models(
        self,
        *,
        worker: int,
        claim_id: uuid.UUID,
        lanes: Sequence[store.ModelWish],
        want: int,
        is_expected: bool = False,
    ) -> list[store.Claimed] | None:
        """Lease model calls with an endpoint each; a short look first, since most passes find none."""
        numbers = [wish.lane for wish in lanes]
        if not is_expected and not await self._is_ready(numbers):
            return None
        found = await self._rows(
            "claim_model",
            {
                "worker": worker,
                "claim_id": claim_id,
                "lanes": numbers,
                "models": [wish.model for wish in lanes],
                "shares": [wish.share for wish in lanes],
                "want": want,
                "endpoints": self._claim_endpoints,
                "send_window_s": self._send_window_s,
                "tenants": _TENANTS_MAX,
                "governed_s": limits.GOVERNED_S,
                **limits.LAW,
            },
            stage="claim",
        )
        if not found and is_expected and not await self._is_ready(numbers):
            return None
        return [rows.claimed(row) for row in found]

    async def _is_ready(self, lanes: Sequence[int]) -> bool:
        return bool(await self._rows("model_ready", {"lanes": list(lanes)}, stage="claim"))

    # Activate

    async def journals(
        self, *, run_ids: Sequence[uuid.UUID], outputs_of: dict[uuid.UUID, tuple[int, ...]]
    ) -> dict[uuid.UUID, store.LoadedJournal]:
        """Read journals in one round trip."""

        async def work(transaction: connections.Transaction) -> Any:
            parameters = {"run_ids": list(run_ids)}
            extra = {
                "ordinals": sorted({ordinal for ordinals in outputs_of.values() for ordinal in ordinals}),
                "eager_runs": list(outputs_of),
                "bytes_max": self._journal_bytes_max,
            }
            return (
                await transaction.send("journal_runs", parameters),
                await transaction.send("journal_steps", {**parameters, **extra}),
            )

        suffix = partitions.suffix_of(run_ids)
        runs_cursor, steps_cursor = await self._connections.run(work, stage="activate", suffix=suffix)
        entries: dict[uuid.UUID, dict[int, plan.JournalEntry]] = {run_id: {} for run_id in run_ids}
        for row in await steps_cursor.fetchall():
            run_id, entry = rows.entry(row)
            entries[run_id][entry.ordinal] = entry
        return {row[0]: rows.journal(row, entries[row[0]]) for row in await runs_cursor.fetchall()}

    async def write_plans(
        self, *, plans: Sequence[store.PlanWrite], cleanup_s: float, direct: store.Direct | None = None
    ) -> store.PlanReport:
        """Write plans under their runs' locks: first activations on the guard, the others by what is known of them."""
        first = [made for made in plans if planning.is_guardable(made)]
        others = [made for made in plans if not planning.is_guardable(made)]
        reports = []
        if first:
            try:
                report = await self._connections.run(
                    lambda transaction: planning.write_first(transaction, first, direct),
                    stage="activate",
                    suffix=partitions.suffix_of([made.plan.run_id for made in first]),
                )
                reports.append(await report())
            except psycopg.errors.DivisionByZero:
                others = list(plans)
        if others:
            report = await self._connections.run(
                lambda transaction: planning.write(
                    transaction, others, cleanup_s=cleanup_s, new_run_id=self.new_run_id
                ),
                stage="activate",
            )
            reports.append(await report())
        return planning.added(reports)

    # Upkeep

    async def lead(self, *, worker: int, lead_s: float) -> bool:
        """Become or stay the leader."""
        return bool(await self._rows("lead", {"worker": worker, "lead_s": lead_s}))

    async def gauges(self, *, lease_s: float) -> store.Gauges:
        """Read what the gauges show."""
        found = await self._rows("gauges", {"lease_s": lease_s}, stage="observe")
        ready, leases, slots, late, workers, unknown, breakers, oldest_s, ahead_s = found[0]
        return store.Gauges(
            ready={int(lane): (count, age) for lane, (count, age) in (ready or {}).items()},
            leases=leases or {},
            slots=slots or {},
            late_timers=late,
            workers_alive=workers,
            unknown_attempts=unknown,
            breakers=breakers or {},
            oldest_transaction_s=oldest_s,
            partitions_ahead_s=ahead_s,
        )

    async def tenant_names(self) -> dict[int, str]:
        """Give the names of tenants by id."""
        return {row[0]: row[1] for row in await self._rows("tenant_names", {})}

    async def record_artifact(self, *, tenant_id: int, sha256: str, media_type: str, size_bytes: int) -> None:
        """Note that a tenant owns an artifact."""
        await self._rows(
            "record_artifact",
            {"tenant_id": tenant_id, "sha256": sha256, "media_type": media_type, "size_bytes": size_bytes},
        )

    async def ensure_partitions(self, *, weeks_ahead: int) -> list[str]:
        """Make the partitions that are missing, from a thread and on a connection of its own: it is a matter of DDL."""
        try:
            return await asyncio.to_thread(partitions.ensure_at, self._direct_dsn, weeks_ahead=weeks_ahead)
        except psycopg.Error as error:
            raise store.StoreLost(str(error)) from error

    async def prune(self, *, idempotency_hours: int, limit: int) -> int:
        """Remove what is past its time, in small batches."""
        found = await self._rows("prune", {"hours": idempotency_hours, "limit": limit})
        return int(found[0][0])
