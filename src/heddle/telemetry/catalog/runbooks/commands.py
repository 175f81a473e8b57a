"""Hold the commands that several runbooks use, so that each is written and tried once.

They take their values from the shell: ``HEDDLE_API_URL``, ``HEDDLE_API_KEY``, ``DATABASE_URL``, ``RUN_ID``, ``STEP``,
``ENDPOINT``, ``MODEL``, ``TENANT``, ``WEBHOOK_ID``.
This module runs nothing. Before it: the command line and the HTTP contract. After: the runbooks beside it.
"""

from heddle.telemetry.catalog.records import Action, Command, Metric

VARIABLES: tuple[str, ...] = (
    "HEDDLE_API_URL",
    "HEDDLE_API_KEY",
    "DATABASE_URL",
    "RUN_ID",
    "ENDPOINT",
    "MODEL",
    "STEP",
    "TENANT",
    "WEBHOOK_ID",
)

DOCTOR = Command(line="heddle doctor", expect="every dependency healthy; a line that is not says what to do")
READY = Command(line='curl -sS "$HEDDLE_API_URL/readyz"', expect="each dependency by name, with its state")
RUNS_FAILED = Command(
    line="heddle runs list --state failed", expect="the latest failed runs: a RUN_ID for what follows"
)
RUN_SHOW = Command(line='heddle runs show "$RUN_ID"', expect="its steps, how often each was tried, faults and cost")
RUN_CANCEL = Command(
    line='heddle runs cancel "$RUN_ID"', expect="the run ends as cancelled within a second or two", is_read_only=False
)
STEPS_UNKNOWN = Command(
    line="heddle steps unknown --limit 20",
    expect="the run, step, endpoint and job of each, those of the oldest runs first: RUN_ID and STEP of what follows. "
    "Its last column says when it is looked up again, or that it waits for a person",
)
RUNS_READY = Command(
    line=(
        'psql "$DATABASE_URL" -c "select t.name as tenant, r.run_id, r.ordinal as step, r.at from heddle_ready r '
        'join heddle_tenant t on t.id = r.tenant_id order by r.at, r.run_id, r.ordinal limit 5"'
    ),
    expect="what has waited longest: a RUN_ID for what follows",
)
WHY = Command(line='heddle why "$RUN_ID"', expect="one sentence: what it waits for, and until when")
SETTLE_RETRY = Command(
    line='heddle settle "$RUN_ID" "$STEP" --as retry',
    expect="settled as retry; the next attempt follows; kept in the audit trail",
    is_read_only=False,
)
WEBHOOK_TENANTS = Command(
    line=(
        'psql "$DATABASE_URL" -c "select t.name as tenant, o.state, count(*) as events from heddle_outbox o '
        "join heddle_tenant t on t.id = o.tenant_id where o.state in ('due', 'dead') "
        'group by t.name, o.state order by events desc, tenant limit 20"'
    ),
    expect="how many events wait or were given up, by tenant: a TENANT for what follows",
)
WEBHOOKS_DEAD = Command(
    line='heddle webhooks list --tenant "$TENANT" --state dead',
    expect="what was given up, with address, tries and the last answer",
)
WEBHOOKS_DUE = Command(
    line='heddle webhooks list --tenant "$TENANT" --state due',
    expect="what is to be sent, with its next time and the last answer",
)
WEBHOOK_REDELIVER = Command(
    line='heddle webhooks redeliver --tenant "$TENANT" "$WEBHOOK_ID"',
    expect="due again from the start, under the same id; kept in the audit trail",
    is_read_only=False,
)
WORKER = Command(line="heddle worker", expect="worker.started in its log; it claims at once", is_read_only=False)
MIGRATE = Command(
    line="heddle migrate", expect="nothing to do, or the partitions and tables it made", is_read_only=False
)
AUDIT = Command(line="heddle audit --json --limit 20", expect="the latest changes, with who made each and why")
ENDPOINTS = Command(
    line='curl -sS -H "Authorization: Bearer $HEDDLE_API_KEY" "$HEDDLE_API_URL/v1/endpoints"',
    expect="limits, breaker, pause and routes of each endpoint",
)
PAUSE_HERE = Command(
    line='heddle pause endpoint "$ENDPOINT"',
    expect="paused since now; `heddle resume endpoint` undoes it; works without the web server",
    is_read_only=False,
)
PAUSE = Command(
    line=(
        'curl -sS -X PATCH -H "Authorization: Bearer $HEDDLE_API_KEY" -H "Content-Type: application/json" '
        '-d \'{"paused": true}\' "$HEDDLE_API_URL/v1/endpoints/$ENDPOINT"'
    ),
    expect='the endpoint with "paused": true; no new calls from the next claim on; "paused": false undoes it '
    "(a key with the scope admin)",
    is_read_only=False,
)
QUOTE = Command(
    line='heddle quote "$MODEL" --model',
    expect="what a call of the model is expected to cost at each of its endpoints; 0 where it has no price",
)
SPEND_SHOW = Command(
    line="heddle spend show --days 31", expect="metered, reported and their difference, by endpoint and day"
)
SPEND_IMPORT = Command(
    line='heddle spend import costs.json --endpoint "$ENDPOINT"',
    expect="how many rows were kept; a later import of a day replaces it",
    is_read_only=False,
)
SPEND_ADJUST = Command(
    line='heddle spend adjust "$RUN_ID" "$STEP" --amount-usd 0.04',
    expect="booked; the run, its budgets and the sums follow; kept in the audit trail",
    is_read_only=False,
)
SESSIONS = Command(
    line=(
        'psql "$DATABASE_URL" -c "select pid, application_name, state, wait_event_type, now() - xact_start as age, '
        'left(query, 80) from pg_stat_activity where xact_start is not null order by xact_start limit 20"'
    ),
    expect="the oldest transactions first, with who holds them",
)
REPLICATION_SLOTS = Command(
    line=(
        'psql "$DATABASE_URL" -c "select slot_name, active, '
        "pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) as kept "
        'from pg_replication_slots order by restart_lsn limit 20"'
    ),
    expect="the log that each slot keeps; one that is not active and keeps much is abandoned",
)


def read(metric: Metric) -> Command:
    """Give the command that reads one metric from the service itself, for when Prometheus is not at hand."""
    return Command(
        line=f"curl -sS \"$HEDDLE_API_URL/metrics\" | grep '^{metric.name}'", expect=f"{metric.unit}; {metric.help}"
    )


def do(text: str, *commands: Command) -> Action:
    """Give one thing to do, with its commands."""
    return Action(text=text, commands=commands)
