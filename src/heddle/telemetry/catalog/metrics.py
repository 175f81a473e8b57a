"""List every metric that Heddle emits.

This module is data: names, units, labels and buckets. It measures nothing. Before it: ``labels``. After: the recorder,
which refuses what is not here, the alerts and dashboards that read these names, and the tables in the documentation.
"""

from typing import Final

from heddle.telemetry.catalog import labels
from heddle.telemetry.catalog.records import Kind, Label, Merge, Metric


def _counter(name: str, unit: str, help_text: str, *carried: Label) -> Metric:
    return Metric(name=name, kind=Kind.COUNTER, unit=unit, help=help_text, labels=carried)


def _gauge(name: str, unit: str, help_text: str, *carried: Label, merge: Merge) -> Metric:
    return Metric(name=name, kind=Kind.GAUGE, unit=unit, help=help_text, labels=carried, merge=merge)


def _histogram(
    name: str, unit: str, help_text: str, *carried: Label, buckets: tuple[float, ...], source: str
) -> Metric:
    return Metric(
        name=name,
        kind=Kind.HISTOGRAM,
        unit=unit,
        help=help_text,
        labels=carried,
        buckets=buckets,
        buckets_source=source,
    )


HTTP_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
HTTP_SOURCE: Final = "OpenTelemetry semantic conventions 1.44, http.server.request.duration"
STAGE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
STAGE_SOURCE: Final = (
    "OpenTelemetry 1.44, db.client.operation.duration, with steps of about 2.5 between, and 60 for calls"
)
CALL_BUCKETS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 300.0)
CALL_SOURCE: Final = "OpenTelemetry GenAI conventions, gen_ai.client.operation.duration, with 300 for video"
START_BUCKETS: Final = (0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0)
START_SOURCE: Final = "BARS B20 (15 and 100 ms) and the objectives for start freshness (2 and 60 s)"
RUN_BUCKETS: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
RUN_SOURCE: Final = "Our own range: a one-step run (0.1 s) to a run that waits for a person (a day)"
BATCH_BUCKETS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
BATCH_SOURCE: Final = "DESIGN 3.1: batches of 1, 10 and 100 were measured; 1,000 is the largest batch the API takes"

# The walk: rate, errors and duration of each stage.
STAGE_DURATION = _histogram(
    "heddle_stage_duration_seconds",
    "seconds",
    "How long one pass of a stage took; its count is the rate of passes.",
    labels.STAGE,
    buckets=STAGE_BUCKETS,
    source=STAGE_SOURCE,
)
STAGE_ERRORS = _counter("heddle_stage_errors_total", "errors", "Passes of a stage that raised.", labels.STAGE)
STAGE_ITEMS = _counter("heddle_stage_items_total", "items", "Runs, steps or messages a stage finished.", labels.STAGE)
BATCH_SIZE = _histogram(
    "heddle_batch_size_items",
    "items",
    "How many items one pass of a stage took together; empty passes are not observed.",
    labels.STAGE,
    buckets=BATCH_BUCKETS,
    source=BATCH_SOURCE,
)
COMMITS = _counter("heddle_commits_total", "commits", "Database transactions a stage committed.", labels.STAGE)

# Runs and steps.
RUNS_ADMITTED = _counter("heddle_runs_admitted_total", "runs", "Runs accepted at a door or by submit.", labels.WORKFLOW)
RUNS_CONTINUED = _counter(
    "heddle_runs_continued_total", "runs", "Runs that went on as a new one of their workflow.", labels.WORKFLOW
)
SCHEDULES_STARTED = _counter("heddle_schedules_started_total", "runs", "Runs started by a schedule.", labels.WORKFLOW)
SCHEDULES_MISSED = _counter(
    "heddle_schedules_missed_total",
    "times",
    "Times of schedules for which no run was started: nobody was there, or the input does not fit.",
    labels.WORKFLOW,
)
RUNS_REFUSED = _counter("heddle_runs_refused_total", "runs", "Runs refused at admission.", labels.POLICY)
RUNS_FINISHED = _counter(
    "heddle_runs_finished_total", "runs", "Runs that reached a terminal state.", labels.WORKFLOW, labels.RUN_STATE
)
RUN_DURATION = _histogram(
    "heddle_run_duration_seconds",
    "seconds",
    "Admission to terminal state, with retries, fallbacks and waits.",
    labels.PRIORITY,
    buckets=RUN_BUCKETS,
    source=RUN_SOURCE,
)
STEPS_FINISHED = _counter(
    "heddle_steps_finished_total", "steps", "Steps that reached a terminal state.", labels.STEP_STATE
)
STEPS_FAILED = _counter("heddle_steps_failed_total", "steps", "Steps that failed for good, by fault.", labels.FAULT)
STEPS_RETRIED = _counter(
    "heddle_steps_retried_total", "steps", "Attempts that will be made again, by fault.", labels.FAULT
)

# The queue.
READY_STEPS = _gauge(
    "heddle_ready_steps",
    "steps",
    "Steps that could start now and have not.",
    labels.PRIORITY,
    merge=Merge.LATEST_OF_LIVING,
)
READY_OLDEST_AGE = _gauge(
    "heddle_ready_oldest_age_seconds",
    "seconds",
    "How long the oldest ready step has been waiting; 0 when none is.",
    labels.PRIORITY,
    merge=Merge.LATEST_OF_LIVING,
)
START_LATENCY = _histogram(
    "heddle_start_latency_seconds",
    "seconds",
    "Time from a step being ready to its attempt starting.",
    labels.PRIORITY,
    buckets=START_BUCKETS,
    source=START_SOURCE,
)
CLAIMS_EMPTY = _counter("heddle_claims_empty_total", "claims", "Claims that found nothing to take.")
LEASES_EXPIRED = _counter("heddle_leases_expired_total", "leases", "Leases taken back from dead workers.")
WRITES_FENCED = _counter(
    "heddle_writes_fenced_total", "writes", "Writes refused because another worker owns the step.", labels.STAGE
)
RESULTS_LATE = _counter(
    "heddle_results_late_total", "results", "Results that came after the step had moved on.", labels.ENDPOINT
)
SLOTS_DRIFTED = _counter(
    "heddle_slots_drifted_total", "slots", "Slots the recount found counted wrongly; the bar is 0."
)
LIMITS_REFUSED = _counter(
    "heddle_limits_refused_total",
    "statements",
    "Statements of an endpoint about its limits that were no numbers or could not be true.",
    labels.ENDPOINT,
)
RETRIES_PARKED = _counter(
    "heddle_retries_parked_total",
    "retries",
    "Retries put off because the retry budget of their endpoint was spent.",
    labels.ENDPOINT,
)
RESULTS_REFUSED = _counter(
    "heddle_results_refused_total", "results", "Results that a quality gate of their model refused.", labels.ENDPOINT
)
RESULTS_UNMEASURED = _counter(
    "heddle_results_unmeasured_total",
    "results",
    "Results that passed their quality gates because they could not be measured.",
    labels.ENDPOINT,
)
CANARIES_ROLLED_BACK = _counter(
    "heddle_canaries_rolled_back_total", "canaries", "Canaries that the leader rolled back by itself.", labels.ENDPOINT
)
TIMERS_LATE = _histogram(
    "heddle_timer_lateness_seconds",
    "seconds",
    "How late after its due time a timer was acted on.",
    buckets=START_BUCKETS,
    source=START_SOURCE,
)
TIMERS_PUT_OFF = _counter(
    "heddle_timers_put_off_total",
    "timers",
    "Timers put off because they could not be carried out, each time they were tried.",
)

# Endpoints.
ENDPOINT_DURATION = _histogram(
    "heddle_endpoint_duration_seconds",
    "seconds",
    "How long one attempt at an endpoint took, from sending to its answer.",
    labels.ENDPOINT,
    buckets=CALL_BUCKETS,
    source=CALL_SOURCE,
)
ENDPOINT_ATTEMPTS = _counter(
    "heddle_endpoint_attempts_total",
    "attempts",
    "Attempts by the state they came to; one that is accepted first and done later is counted at both.",
    labels.ENDPOINT,
    labels.ATTEMPT_OUTCOME,
)
ENDPOINT_FAULTS = _counter(
    "heddle_endpoint_faults_total", "faults", "Attempts that failed, by fault.", labels.ENDPOINT, labels.FAULT
)
ENDPOINT_FIRST_TRIES = _counter(
    "heddle_endpoint_first_tries_total",
    "attempts",
    "First tries by how they ended, so that retries cannot hide a sick provider.",
    labels.ENDPOINT,
    labels.TRY_OUTCOME,
)
ENDPOINT_IN_FLIGHT = _gauge(
    "heddle_endpoint_in_flight_steps",
    "steps",
    "Slots taken at an endpoint, by all workers.",
    labels.ENDPOINT,
    merge=Merge.LATEST_OF_LIVING,
)
BREAKER_STATE = _gauge(
    "heddle_breaker_state",
    "state",
    "Breaker of an endpoint: 0 closed, 1 half open, 2 open.",
    labels.ENDPOINT,
    merge=Merge.LATEST_OF_LIVING,
)
ATTEMPTS_UNKNOWN = _gauge(
    "heddle_attempts_unknown",
    "attempts",
    "Attempts whose outcome at the provider is not known yet, and for which a step waits.",
    merge=Merge.LATEST_OF_LIVING,
)

# Money. Counters hold USD as floats for charts; the ledger, in integer nano-USD, is the truth.
MONEY_CHARGED = _counter("heddle_money_charged_usd_total", "usd", "Money that calls did cost.", labels.ENDPOINT)
MONEY_ESTIMATED = _counter(
    "heddle_money_estimated_total",
    "charges",
    "Charges booked at their reservation because nothing told what the call cost.",
    labels.ENDPOINT,
)
MONEY_REFUSED = _counter(
    "heddle_money_refused_total", "calls", "Paid calls that were not sent because a cap would be passed.", labels.CAP
)
SPEND_ALARM = _gauge(
    "heddle_spend_alarm",
    "state",
    "1 while an endpoint's metered spend does not fit what its provider reports, or its meter is silent, else 0.",
    labels.ENDPOINT,
    labels.SPEND_ALARM,
    merge=Merge.LATEST_OF_LIVING,
)
SPEND_DIVERGENCE = _gauge(
    "heddle_spend_divergence_ratio",
    "ratio",
    "Difference between metered and reported spend of the last 31 days with a report, as a share of the larger.",
    labels.ENDPOINT,
    merge=Merge.LATEST_OF_LIVING,
)

# The database.
DATABASE_UP = _gauge(
    "heddle_database_up",
    "state",
    "1 while this process reaches the database, else 0; the lowest of all processes.",
    merge=Merge.SMALLEST_OF_LIVING,
)
DEADLOCKS = _counter(
    "heddle_deadlocks_total", "errors", "Transactions the database ended as deadlocked; the bar is 0.", labels.STAGE
)
SERIALIZATION_FAILURES = _counter(
    "heddle_serialization_failures_total", "errors", "Transactions refused as not serializable.", labels.STAGE
)
OLDEST_TRANSACTION_AGE = _gauge(
    "heddle_database_oldest_transaction_age_seconds",
    "seconds",
    "Age of the oldest open transaction in the database, of the sessions Heddle's role may see.",
    merge=Merge.LATEST_OF_LIVING,
)
DISK_FREE = _gauge(
    "heddle_disk_free_ratio",
    "ratio",
    "Free share of the fullest disk of state_dir and artifact_dir, as each worker's machine sees them.",
    merge=Merge.SMALLEST_OF_LIVING,
)
PARTITIONS_AHEAD = _gauge(
    "heddle_partitions_ahead_seconds",
    "seconds",
    "Time until rows have no partition to go to.",
    merge=Merge.LATEST_OF_LIVING,
)
NOTIFICATIONS_SENT = _counter("heddle_notifications_sent_total", "messages", "Doorbells rung through the database.")
NOTIFICATIONS_RECEIVED = _counter("heddle_notifications_received_total", "messages", "Doorbells heard by workers.")

# Workers and the compute pool.
WORKERS_ALIVE = _gauge(
    "heddle_workers_alive", "workers", "Workers whose heartbeat is fresh.", merge=Merge.LATEST_OF_LIVING
)
WORKERS_DIED = _counter("heddle_workers_died_total", "workers", "Workers declared dead by the sweep.")
LOOP_LAG = _gauge(
    "heddle_loop_lag_seconds",
    "seconds",
    "How late the event loop runs what is due; the worst process.",
    merge=Merge.LARGEST_OF_LIVING,
)
REUSE_LOOKS = _counter(
    "heddle_reuse_looks_total",
    "looks",
    "Looks of model calls for an equal one; each `found` is a call that cost nothing.",
    labels.LOOK_OUTCOME,
)
COMPUTE_CALLS = _counter(
    "heddle_compute_calls_total", "calls", "Calls in the compute pool by how they ended.", labels.COMPUTE_OUTCOME
)
COMPUTE_DURATION = _histogram(
    "heddle_compute_duration_seconds",
    "seconds",
    "How long one call in the compute pool took, from its hand-over to a process.",
    buckets=CALL_BUCKETS,
    source=CALL_SOURCE,
)
COMPUTE_BUSY = _gauge(
    "heddle_compute_busy_ratio", "ratio", "Share of the pool's places in use.", merge=Merge.LARGEST_OF_LIVING
)

# The doors.
HTTP_REQUESTS = _counter("heddle_http_requests_total", "requests", "Requests answered.", labels.ROUTE, labels.STATUS)
HTTP_DURATION = _histogram(
    "heddle_http_request_duration_seconds",
    "seconds",
    "How long a request took to answer; streams are not observed.",
    labels.ROUTE,
    buckets=HTTP_BUCKETS,
    source=HTTP_SOURCE,
)
GATEWAY_REQUESTS = _counter(
    "heddle_gateway_requests_total",
    "requests",
    "Requests that a gateway answered in another vendor's shape.",
    labels.ROUTE,
    labels.STATUS,
)
GATEWAY_DURATION = _histogram(
    "heddle_gateway_request_duration_seconds",
    "seconds",
    "How long a gateway took to answer, the provider's time included; streams are not observed.",
    labels.ROUTE,
    buckets=CALL_BUCKETS,
    source=CALL_SOURCE,
)
GATEWAY_HELD = _gauge(
    "heddle_gateway_held_requests", "requests", "Requests that gateways hold open.", merge=Merge.SUM_OF_LIVING
)
GATEWAY_LEFT = _counter(
    "heddle_gateway_left_requests_total", "requests", "Callers who went away before the answer of their call."
)
CALLBACKS = _counter(
    "heddle_callbacks_total", "callbacks", "Providers' callbacks by outcome.", labels.ENDPOINT, labels.CALLBACK_OUTCOME
)
ARTIFACTS = _counter("heddle_artifacts_total", "artifacts", "Artifacts stored or served.", labels.DIRECTION)
ARTIFACT_BYTES = _counter("heddle_artifacts_bytes_total", "bytes", "Bytes stored or served.", labels.DIRECTION)

# Webhooks.
WEBHOOK_TRIES = _counter(
    "heddle_webhook_tries_total", "tries", "Tries to deliver a webhook, by what followed.", labels.WEBHOOK_OUTCOME
)
WEBHOOK_DURATION = _histogram(
    "heddle_webhook_duration_seconds",
    "seconds",
    "How long one try to deliver a webhook took.",
    buckets=HTTP_BUCKETS,
    source=HTTP_SOURCE,
)
WEBHOOKS_KEPT = _gauge(
    "heddle_webhooks_undelivered",
    "events",
    "Events that customers do not have: due, given up after the last try, or for an address that is gone.",
    labels.EVENT_STATE,
    merge=Merge.LATEST_OF_LIVING,
)
WEBHOOKS_OVERDUE_AGE = _gauge(
    "heddle_webhooks_overdue_age_seconds",
    "seconds",
    "How long an event has been due that nobody sent, though its receiver is well; 0 when there is none.",
    merge=Merge.LATEST_OF_LIVING,
)

# Promises (RELIABILITY R23: two counters of our own).
SLO_VALID = _counter("heddle_slo_valid_total", "things", "Things an objective is about.", labels.SLO)
SLO_BAD = _counter("heddle_slo_bad_total", "things", "Those of them that broke the objective.", labels.SLO)

# Telemetry about itself.
BUILD_INFO = _gauge(
    "heddle_build_info",
    "info",
    "1; the labels say what is running.",
    labels.VERSION,
    labels.PYTHON,
    merge=Merge.LATEST_OF_LIVING,
)
EVENTS = _counter("heddle_events_total", "events", "Events recorded, written as a line or not.", labels.EVENT)
LOG_LINES_SUPPRESSED = _counter(
    "heddle_log_lines_suppressed_total", "lines", "Log lines the rate limit held back.", labels.EVENT
)
LABELS_OVERFLOWED = _counter(
    "heddle_labels_overflowed_total", "values", "Label values written as `other`, past their bound.", labels.METRIC
)

ALL: Final[tuple[Metric, ...]] = tuple(value for value in tuple(globals().values()) if isinstance(value, Metric))
"""Every metric, in the order of this file."""
