"""Write what comes in through Django's connection: one round trip for a submit, whatever the keys; part of the doors.

Outside a transaction of the host's, the whole of it is sent as one message: begin, keys, runs, commit, who has the
keys, doorbell; a provider's callback is kept in the same way. The doorbell rings in a transaction of its own after the
commit, since notifying transactions wait for each other. Inside ``atomic()`` the same statements join the host's
transaction, one by one, and the bell rings after it. Run ids carry the database's time, measured now and then against
this machine's monotonic clock.
"""

import dataclasses
import logging
import secrets
import time
import uuid
from collections.abc import Sequence
from typing import Any

import django.db
import psycopg
from django.db import transaction

from heddle.core import ids
from heddle.ports import records, transport
from heddle.store import keys as keys_module
from heddle.store import schedule, statements

_LOG = logging.getLogger("heddle.store")
CLOCK_KEPT_S = 60.0
RING_LEAST_S = 0.02
"""Least time between two doorbells of one process: a worker that was just woken looks again within this anyway."""

_Rows = list[tuple[Any, ...]]
# A named statement and its parameters.
Statement = tuple[str, dict[str, Any]]


@dataclasses.dataclass(slots=True, kw_only=True)
class _Clock:
    """Tell the database's time without asking: what it was at a moment of this machine's monotonic clock."""

    offset_s: float = 0.0
    measured_s: float | None = None


class Admitting:
    """Admit runs on one of Django's connections; part of ``DjangoDoors``."""

    def __init__(self, *, using: str) -> None:
        self._using = using
        self._clock = _Clock()
        self._rang_at_s = float("-inf")

    def _rows(self, name: str, parameters: dict[str, Any]) -> _Rows:
        with django.db.connections[self._using].cursor() as cursor:
            cursor.execute(statements.load(name), parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def _ring(self, channel: str = transport.CHANNEL_READY, payload: str = "") -> None:
        """Ring after the commit. A doorbell that cannot be rung costs a poll interval, never the answer."""

        def ring() -> None:
            try:
                self._rows("notify", {"channel": channel, "payload": payload})
            except django.db.Error:
                _LOG.warning("doorbell.failed channel=%s", channel, exc_info=True)

        transaction.on_commit(ring, using=self._using)

    def submit(self, new: records.NewRun) -> records.Submission:
        """Write a run, once per idempotency key."""
        (outcome,) = self.submit_many([new])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def submit_many(self, new: Sequence[records.NewRun]) -> list[records.Submission | Exception]:
        """Write runs in one transaction and one round trip; one outcome per item, in order."""
        keys, arrays = keys_module.Keys(), schedule.NewRuns()
        run_ids = [self._add(item, keys, arrays) for item in new]
        holders = {row[:3]: row[3:] for row in self._write(keys, arrays)} if new else {}
        return [
            keys_module.outcome(item, run_id, holders.get((item.tenant.id, item.operation, item.idempotency_key or "")))
            for item, run_id in zip(new, run_ids, strict=True)
        ]

    def replay(self, new: records.NewRun) -> records.Submission | None:
        """Give what was admitted under a request's key."""
        keys = keys_module.Keys()
        keys.add(dataclasses.replace(new, answer_for=None), uuid.UUID(int=0))
        found = self._rows("idempotency_read", keys.values)
        if not found:
            return None
        outcome = keys_module.outcome(new, uuid.UUID(int=0), found[0][3:])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _add(self, new: records.NewRun, keys: keys_module.Keys, arrays: schedule.NewRuns) -> uuid.UUID:
        now_s = self._now_s()
        run_id = self._new_run_id(int(now_s * 1000))
        if new.idempotency_key is not None:
            keys.add(new, run_id)
        arrays.add(
            run_id=run_id,
            tenant_id=new.tenant.id,
            workflow=new.workflow,
            version=new.version,
            priority=new.priority.value,
            arguments=new.input,
            labels=new.labels,
            webhook_url=new.webhook_url,
            max_cost_nano_usd=new.max_cost_nano_usd,
            deadline_s=new.deadline_s,
            start_in_s=0.0 if new.start_at is None else new.start_at.timestamp() - now_s,
            traceparent=new.traceparent,
            operation=None if new.idempotency_key is None else new.operation,
            key=new.idempotency_key,
            call=new.call,
        )
        return run_id

    def _new_run_id(self, now_ms: int) -> uuid.UUID:
        return ids.run_id(database_unix_ms=now_ms, random_bits=secrets.randbits(80))

    def _now_s(self) -> float:
        """Tell the database's time, asking for it once a minute."""
        now_s, clock = time.monotonic(), self._clock
        if clock.measured_s is None or now_s - clock.measured_s > CLOCK_KEPT_S:
            database_s = float(self._rows("database_time", {})[0][0])
            asked_s, now_s = now_s, time.monotonic()
            clock = self._clock = _Clock(offset_s=database_s - (asked_s + now_s) / 2, measured_s=now_s)
        return now_s + clock.offset_s

    def _write(self, keys: keys_module.Keys, arrays: schedule.NewRuns) -> _Rows:
        """Write what was collected and give who has the keys: rows of idempotency_read."""
        taken = [("idempotency_take", keys.values)] if keys.is_any else []
        after = [("idempotency_read", keys.values)] if keys.is_any else []
        return self._together([*taken, ("new_runs", arrays.values)], after=after)

    def _together(self, inside: Sequence[Statement], *, after: Sequence[Statement] = ()) -> _Rows:
        """Run statements in one transaction, those of ``after`` behind its end, and ring: all of it as one message.

        Inside the host's transaction they join it, one by one, and the bell rings after it. Gives the rows of the last
        of them. They share their parameters' names.
        """
        connection = django.db.connections[self._using]
        if connection.in_atomic_block or not connection.get_autocommit():
            found: _Rows = []
            for name, values in (*inside, *after):
                found = self._rows(name, values)
            self._ring()
            return found
        parts = ["begin", *(statements.load(name) for name, _ in inside), "commit"]
        parts += [statements.load(name) for name, _ in after]
        place = len(parts) - 1 if after else len(inside)
        parameters = {name: value for _, values in (*inside, *after) for name, value in values.items()}
        if time.monotonic() - self._rang_at_s >= RING_LEAST_S:
            self._rang_at_s = time.monotonic()
            parameters |= {"channel": transport.CHANNEL_READY, "payload": ""}
            parts += ["begin", "set local synchronous_commit = off", statements.load("notify"), "commit"]
        return self._send(";\n".join(parts), parameters, place=place)

    def _send(self, message: str, parameters: dict[str, Any], *, place: int) -> _Rows:
        """Send several statements as one message, and give the rows of one; roll back what an error left open."""
        connection = django.db.connections[self._using]
        connection.ensure_connection()
        with connection.wrap_database_errors:
            try:
                with psycopg.ClientCursor(connection.connection) as cursor:
                    cursor.execute(message, parameters)
                    for _ in range(place):
                        cursor.nextset()
                    return list(cursor.fetchall()) if cursor.description else []
            except psycopg.Error:
                if not connection.connection.closed:
                    connection.connection.rollback()
                raise
