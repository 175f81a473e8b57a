"""List every event that Heddle logs, in the past tense, with its level and fields.

This module is data and writes no line. The ids (run, step, attempt, tenant, trace) are added by the context and are not
listed as fields. Before it: nothing. After: the recorder, which refuses an event or a field that is not here, and the
documentation.
"""

import re
from typing import Final

from heddle.telemetry.catalog.records import Event, Field, Level

EVENT_NAME: Final = re.compile(r"^[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*$")
RESERVED_FIELDS: Final = frozenset(
    {"ts", "level", "event", "logger", "run_id", "step", "attempt", "tenant", "trace_id", "span_id", "exception"}
)
"""Keys every line may have already, so that no field may take them."""

MEANINGS: Final[dict[str, str]] = {
    "address": "host and port, without credentials",
    "batch": "how many items were in the batch",
    "bound": "the largest number allowed",
    "cause": "why, in one sentence",
    "cost_usd": "decimal string in USD",
    "count": "how many",
    "deadline": "UTC instant",
    "difference_usd": "reported less metered, USD",
    "downtime_s": "how long it was away, seconds",
    "duration_s": "how long it took, seconds",
    "endpoint": "the endpoint by name",
    "epoch": "the breaker's epoch after the change",
    "error": "the type and message of the error",
    "exit_code": "of the process; negative for a signal",
    "fault": "the classified failure",
    "fence": "the lease's fence",
    "held_by": "process id or application name of the holder",
    "key": "the last four characters of the key",
    "lag_s": "how late the loop ran, seconds",
    "lane": "the lane",
    "metric": "the metric by name",
    "name": "the thing by its name",
    "path": "the file or route template",
    "pid": "the process id",
    "policy": "the policy that decided",
    "process": "the supervised process by name",
    "reason": "why, in one sentence, and what to do",
    "retry_at": "UTC instant of the next attempt",
    "setting": "the setting by name",
    "signal": "the signal by name",
    "size_bytes": "size in bytes",
    "stage": "the stage of the walk",
    "state": "the state after the change",
    "status": "the HTTP status",
    "suppressed_event": "the event whose lines were held back",
    "url": "where it can be reached, redacted",
    "version": "the version",
    "webhook_id": "the delivery's constant id",
    "worker": "the worker by id",
    "workflow": "the workflow by name",
}


def _event(name: str, level: Level, meaning: str, *field_names: str) -> Event:
    fields = tuple(Field(name=field_name, meaning=MEANINGS[field_name]) for field_name in field_names)
    return Event(name=name, level=level, meaning=meaning, fields=fields)


DEBUG, INFO, WARNING, ERROR = Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR

# Runs.
RUN_FAILED = _event("run.failed", WARNING, "A run ended in failure.", "workflow", "duration_s")
RUN_CANCELLED = _event("run.cancelled", INFO, "A run ended because it was asked to.", "workflow", "duration_s")
RUN_EXPIRED = _event("run.expired", WARNING, "A run reached its deadline.", "workflow", "duration_s")

# Activations and steps.
ACTIVATION_BLOCKED = _event(
    "activation.blocked", ERROR, "The workflow function held its thread too long.", "workflow", "duration_s", "reason"
)
STEP_RELEASED = _event("step.released", DEBUG, "A worker gave a step back unsent.", "endpoint", "reason")
STEP_RETRIED = _event("step.retried", INFO, "A step will be tried again.", "endpoint", "fault", "reason", "retry_at")
STEP_FAILED = _event("step.failed", WARNING, "A step failed for good.", "endpoint", "fault", "reason")

# Attempts and money.
ATTEMPT_UNKNOWN = _event(
    "attempt.unknown", ERROR, "A request was sent and its outcome is not known.", "endpoint", "reason", "cost_usd"
)
ATTEMPT_RESOLVED = _event("attempt.resolved", INFO, "An unknown attempt became known.", "endpoint", "state", "cost_usd")
ATTEMPT_LATE = _event("attempt.late", WARNING, "Results came after their steps had moved on.", "endpoint", "count")
REPLY_UNCLASSIFIED = _event(
    "reply.unclassified", ERROR, "No table names a provider's reply; it is logged whole.", "endpoint", "status", "error"
)

# Workers, leases and fences.
WORKER_STARTED = _event("worker.started", INFO, "A worker is ready to claim.", "worker", "pid", "version", "lane")
WORKER_DRAINED = _event("worker.drained", INFO, "A worker ended with nothing in its hands.", "worker", "duration_s")
WORKER_DRAIN_STARTED = _event("worker.drain_started", INFO, "A worker claims no more.", "worker", "count", "signal")
WORKER_DIED = _event("worker.died", WARNING, "The sweep declared a worker dead.", "worker", "count")
WORKER_RETIRED = _event(
    "worker.retired", WARNING, "A worker found itself declared dead and took a new id.", "worker", "count"
)
WORKER_SHORT_OF_FILES = _event(
    "worker.short_of_files",
    WARNING,
    "A worker may open fewer files than its calls in flight can come to need.",
    "worker",
    "count",
    "bound",
)
LOOP_LAGGED = _event("loop.lagged", WARNING, "The event loop ran late.", "worker", "lag_s", "reason")
LEASE_EXPIRED = _event("lease.expired", WARNING, "A step was taken back from a dead worker.", "worker", "fence")
LEASE_RELEASED = _event(
    "lease.released", WARNING, "A heartbeat gave back a lease nobody was working on.", "worker", "fence"
)
WRITE_FENCED = _event("write.fenced", WARNING, "A write came too late to move its step.", "stage", "worker", "fence")
RECLAIM_PAUSED = _event("reclaim.paused", WARNING, "Reclaim waits out one lease after an outage.", "downtime_s")
SLOT_DRIFTED = _event("slot.drifted", ERROR, "The recount found slots counted wrongly.", "name", "count")
SPEND_DOUBTED = _event(
    "spend.doubted", ERROR, "Metered and reported spend do not fit.", "endpoint", "name", "difference_usd"
)

# The database.
DATABASE_LOST = _event("database.lost", ERROR, "The database cannot be reached.", "address", "error")
DATABASE_BACK = _event("database.back", INFO, "The database can be reached again.", "downtime_s")
DEADLOCK_RETRIED = _event(
    "deadlock.retried", WARNING, "A deadlocked transaction was made again.", "stage", "batch", "error"
)
SERIALIZATION_RETRIED = _event(
    "serialization.retried", INFO, "A transaction refused as not serializable was made again.", "stage", "batch"
)
COMMIT_AMBIGUOUS = _event(
    "commit.ambiguous", WARNING, "Claims whose outcome was not told were read back.", "stage", "count"
)
PARTITION_CREATED = _event("partition.created", INFO, "A partition was made ahead of its time.", "name")
DOORBELL_DEAF = _event("doorbell.deaf", WARNING, "This worker hears no doorbell and polls for work.", "reason")
SCHEMA_BEHIND = _event(
    "schema.behind", WARNING, "The database waits for a migration, and this worker for it.", "reason"
)
PARTITION_DROPPED = _event(
    "partition.dropped", INFO, "A partition past its retention was removed.", "name", "size_bytes"
)
PARTITION_KEPT = _event(
    "partition.kept", WARNING, "A partition past its retention still holds something live.", "name", "reason"
)
SCHEDULE_REFUSED = _event(
    "schedule.refused", ERROR, "A schedule could start nothing; its times are missed.", "workflow", "reason"
)

# Endpoints.
BREAKER_OPENED = _event(
    "breaker.opened", WARNING, "Seen by the leader: an endpoint gets no more calls for a while.", "endpoint"
)
BREAKER_PROBED = _event(
    "breaker.probed", INFO, "Seen by the leader: one call tries whether an endpoint is back.", "endpoint"
)
BREAKER_CLOSED = _event("breaker.closed", INFO, "Seen by the leader: an endpoint gets calls again.", "endpoint")
CANARY_ROLLED_BACK = _event(
    "canary.rolled_back",
    WARNING,
    "A canary was worse than the others and gets nothing more.",
    "name",
    "endpoint",
    "reason",
)
RESULT_REFUSED = _event(
    "result.refused", INFO, "A result was paid for and refused by a quality gate.", "endpoint", "reason"
)
RESULT_UNMEASURED = _event(
    "result.unmeasured", WARNING, "A result passed its quality gates unmeasured.", "endpoint", "reason"
)
OPERATION_ENDED = _event("operation.ended", INFO, "A bulk operation has come to its end.", "name", "count")
OPERATION_FAILED = _event(
    "operation.failed", ERROR, "A bulk operation was stopped: it failed again and again.", "name", "count", "reason"
)
RESTORE_FOUND = _event(
    "restore.found", WARNING, "The database has a new history: all sending is paused until outcomes are known.", "name"
)
SENDING_RESUMED = _event("sending.resumed", INFO, "Sending goes on after a restore.", "cause")

# Doors.
CALLBACK_RECEIVED = _event("callback.received", INFO, "A provider's callback was verified and stored.", "endpoint")
CALLBACK_REPEATED = _event("callback.repeated", DEBUG, "A callback came again.", "endpoint")
CALLBACK_REFUSED = _event("callback.refused", WARNING, "A callback was not believed.", "endpoint", "reason", "status")
WEBHOOK_DELIVERED = _event(
    "webhook.delivered", INFO, "A customer's receiver took an event.", "webhook_id", "status", "duration_s"
)
WEBHOOK_FAILED = _event("webhook.failed", WARNING, "A delivery failed.", "webhook_id", "status", "error", "retry_at")
WEBHOOK_DIED = _event(
    "webhook.died",
    ERROR,
    "The last try of a delivery failed, or its receiver left no time for one; it waits to be redelivered.",
    "webhook_id",
    "status",
    "error",
)
WEBHOOK_DISABLED = _event("webhook.disabled", WARNING, "A receiver gets no more deliveries.", "url", "reason")
REQUEST_FAILED = _event("request.failed", ERROR, "A request failed in a way that no rule names.", "error")
GATEWAY_LISTENING = _event("gateway.listening", INFO, "A gateway takes requests.", "address", "worker")
KEY_REFUSED = _event("key.refused", WARNING, "A key was missing, unknown, expired or not allowed.", "key", "reason")
ARTIFACT_STORED = _event("artifact.stored", DEBUG, "An artifact was stored.", "size_bytes")
ARTIFACT_REFUSED = _event("artifact.refused", INFO, "An upload was refused.", "reason", "size_bytes")
ARTIFACTS_ABANDONED = _event(
    "artifacts.abandoned", INFO, "Files that killed processes had left half-written were removed.", "count"
)

# The compute pool.
COMPUTE_TIMED_OUT = _event(
    "compute.timed_out", WARNING, "A step's process was ended: it ran too long.", "name", "duration_s"
)
COMPUTE_CRASHED = _event("compute.crashed", WARNING, "A step's process died under it.", "name", "reason")

# The service.
TIMER_PUT_OFF = _event(
    "timer.put_off",
    ERROR,
    "A timer could not be carried out; it is tried again, others go on.",
    "name",
    "count",
    "error",
    "retry_at",
)
STAGE_FAILED = _event("stage.failed", ERROR, "A pass of a stage raised and will be made again.", "stage", "error")

# Telemetry about itself.
LOG_SUPPRESSED = _event(
    "log.suppressed", WARNING, "Lines of one event were held back by the rate limit.", "suppressed_event", "count"
)
LABEL_OVERFLOWED = _event(
    "label.overflowed",
    WARNING,
    "A label came to its bound; new values are written as other.",
    "metric",
    "name",
    "bound",
)

ALL: Final[tuple[Event, ...]] = tuple(value for value in tuple(globals().values()) if isinstance(value, Event))
"""Every event, in the order of this file."""
