"""Declare every setting once: name, default, unit, range and one sentence.

``HEDDLE_X`` in the environment wins over Django's ``HEDDLE = {"x": …}``, which wins over the default. An unknown or
out-of-range setting stops the start with one sentence that names it. Nothing else in Heddle reads the environment
for configuration.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

PARTITIONS_MAX = 16
"""Most weekly partitions attached at once: 28 % of the steps/s were lost between 1 and 60 (DESIGN 3.1)."""


class SettingRefused(ValueError):
    """Say which setting is wrong and what it may be."""


def _setting(
    default: Any, sentence: str, *, unit: str = "", low: float | None = None, high: float | None = None
) -> Any:
    return dataclasses.field(default=default, metadata={"sentence": sentence, "unit": unit, "low": low, "high": high})


def _choice(default: str, sentence: str, *choices: str) -> Any:
    return dataclasses.field(default=default, metadata={"sentence": sentence, "unit": "", "choices": choices})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Hold every setting of one process."""

    # What runs where
    config_file: str = _setting(
        "heddle.toml", "File that names models, endpoints, scopes, routes, tenants and schedules."
    )
    workflows: str = _setting("", "Comma-separated modules to import besides workflows.py of each installed app.")
    state_dir: str = _setting(".heddle", "Directory of the embedded database, logs, sockets and dev.json.")
    secret_key: str = _setting(
        "", "Key that callback tokens and sessions are signed with; made in state_dir when empty."
    )
    environment: str = _choice(
        "development", "Development shows details and a development key.", "development", "production"
    )

    # Database
    database_url: str = _setting("", "PostgreSQL to use; the embedded server when empty (also read from DATABASE_URL).")
    database_direct_url: str = _setting(
        "", "PostgreSQL past any pooler, for LISTEN and the heartbeat; poll-only without."
    )
    database_prepare: str = _choice(
        "auto",
        "Whether workers prepare statements; auto: not through a pooler; on: also there (pgbouncer from 1.21).",
        "auto",
        "on",
        "off",
    )
    database_pool_size: int = _setting(
        4, "Connections of a worker process; house-keeping gets half at most.", unit="connections", low=2, high=100
    )
    database_timeout_s: float = _setting(
        5.0, "Longest wait for a connection before the door answers 503.", unit="s", low=0.1, high=60
    )
    statement_timeout_s: float = _setting(30.0, "Longest statement of a worker.", unit="s", low=1, high=3600)
    partition_weeks_ahead: int = _setting(4, "Weekly partitions kept ready.", unit="weeks", low=1, high=11)
    retention_runs_days: int = _setting(
        28,
        "Time runs are kept, in whole weeks, before their partition is dropped; 0: for ever.",
        unit="days",
        low=0,
        high=77,
    )
    retention_ledger_days: int = _setting(
        2_555, "Time the ledger and its sums by day are kept; 0: for ever.", unit="days", low=0, high=36_500
    )
    restore_hold_s: float = _setting(
        300.0,
        "Longest pause of sending after a restore, while outcomes are looked up; 0: until `heddle resume sending`.",
        unit="s",
        low=0,
        high=86_400,
    )

    # Workers
    workers: int = _setting(2, "Worker processes that `heddle up` runs.", unit="processes", low=1, high=64)
    worker_in_flight_max: int = _setting(
        1_000,
        "Most model calls one worker has claimed to send at a time; asking after jobs, and asking or sending anew "
        "after an unknown outcome, come beside them, at most worker_batch.",
        unit="calls",
        low=1,
        high=20_000,
    )
    worker_steps_max: int = _setting(200, "Most async steps one worker runs at once.", unit="steps", low=1, high=10_000)
    worker_batch: int = _setting(400, "Most steps of one claim or settle.", unit="steps", low=1, high=1_000)
    compute_processes: int = _setting(
        0, "Processes of the compute pool of one worker; 0: the number of cores.", unit="processes", low=0, high=128
    )
    compute_memory_bytes: int = _setting(
        2 * 1024**3, "Memory cap of one sync step.", unit="bytes", low=64 * 1024**2, high=1024**4
    )
    step_timeout_s: float = _setting(
        300.0, "Time allowed for one attempt of a step that names none.", unit="s", low=0.1, high=86_400
    )
    activation_blocked_s: float = _setting(
        1.0, "Longest activation before it is workflow_blocked.", unit="s", low=0.1, high=60
    )
    lease_s: float = _setting(15.0, "Silence of a worker after which its leases are taken.", unit="s", low=2, high=600)
    heartbeat_s: float = _setting(5.0, "Time between two heartbeats.", unit="s", low=0.2, high=60)
    session_gone_s: float = _setting(
        2.0,
        "Time a worker's heartbeat session is seen gone before the worker is declared dead; 0: only lease_s counts.",
        unit="s",
        low=0,
        high=600,
    )
    loop_lag_max_s: float = _setting(60.0, "Lag of a worker's loop at which it ends itself.", unit="s", low=5, high=600)
    poll_interval_s: float = _setting(
        0.5, "Longest time between two looks for work when no doorbell rings.", unit="s", low=0.01, high=60
    )
    doorbell_debounce_s: float = _setting(
        0.05, "Least time between two doorbells of one process.", unit="s", low=0, high=5
    )
    sweep_interval_s: float = _setting(1.0, "Time between two sweeps of the leader.", unit="s", low=0.1, high=60)
    govern_interval_s: float = _setting(
        0.5, "Time between two looks of the leader at limits that adapt and at retries.", unit="s", low=0.1, high=5
    )
    route_interval_s: float = _setting(
        5.0, "Time between two looks of the leader at what routes and canaries came to.", unit="s", low=0.1, high=60
    )
    route_explore_share: float = _setting(
        0.05,
        "Share of a tier that goes to routes that are not the best by its objective.",
        unit="share",
        low=0,
        high=0.5,
    )
    score_half_life_s: float = _setting(
        3_600.0, "Time after which what calls came to counts half in a scorecard.", unit="s", low=60, high=2_592_000
    )
    load_interval_s: float = _setting(
        1.0, "Least time between two looks of the leader at how long work waits.", unit="s", low=0.1, high=60
    )
    books_interval_s: float = _setting(
        2.0, "Time between two looks of the leader at new entries of the ledger.", unit="s", low=0.1, high=60
    )
    spend_divergence_ratio_max: float = _setting(
        0.02,
        "Difference between metered and reported spend of an endpoint's last days from which an alert is raised.",
        unit="ratio",
        low=0.0001,
        high=10,
    )
    spend_divergence_usd_min: float = _setting(
        1.0, "Difference below which metered and reported spend count as the same.", unit="USD", low=0, high=1_000_000
    )
    spend_silent_calls_min: int = _setting(
        20, "Paid calls of a day without a cent from which a meter is silent.", unit="calls", low=1, high=1_000_000
    )
    drain_s: float = _setting(
        30.0, "Time a worker is given to finish what it holds when it is asked to stop.", unit="s", low=0, high=3600
    )
    cleanup_s: float = _setting(
        60.0, "Time a stopping workflow is given for its cleanup calls.", unit="s", low=0, high=3600
    )
    claim_endpoints: int = _setting(4, "Most endpoints whose limits one claim locks.", unit="endpoints", low=1, high=64)
    send_margin_s: float = _setting(
        5.0, "Time after send_by before the paid call of a dead worker is looked after.", unit="s", low=0, high=60
    )
    send_window_s: float = _setting(
        8.0, "Time after a claim within which a call must have been sent.", unit="s", low=0.5, high=600
    )
    paid_connection_idle_s: float = _setting(
        1.0,
        "Most time a kept connection was idle to carry a call that must not be sent twice; 0: each gets its own.",
        unit="s",
        low=0,
        high=4,
    )
    unknown_at_most_s: float = _setting(
        3_600.0, "Time an unknown outcome is looked up for before a person is asked.", unit="s", low=1, high=604_800
    )
    job_at_most_s: float = _setting(
        604_800.0, "Time an accepted job is asked after before a person is asked.", unit="s", low=60, high=2_592_000
    )
    poll_after_s: float = _setting(
        1.0, "Time to the first poll of an accepted job when its endpoint names none.", unit="s", low=0.05, high=3600
    )
    poll_after_max_s: float = _setting(
        30.0, "Longest time between two polls of an accepted job.", unit="s", low=0.1, high=3600
    )

    schedule_late_s: float = _setting(
        60.0, "How late a scheduled run may be started and not count as missed.", unit="s", low=1, high=86_400
    )

    # Payloads
    inline_bytes_max: int = _setting(
        65_536, "Largest JSON value kept inline; larger ones are artifacts.", unit="bytes", low=1_024, high=1_048_576
    )
    request_bytes_max: int = _setting(
        1_048_576, "Largest JSON body at the doors.", unit="bytes", low=1_024, high=64 * 1024**2
    )
    artifact_bytes_max: int = _setting(64 * 1024**2, "Largest artifact.", unit="bytes", low=1_024, high=16 * 1024**3)
    artifact_pixels_max: int = _setting(
        50_000_000, "Most pixels of an image artifact.", unit="pixels", low=1, high=1_000_000_000
    )
    artifact_dir: str = _setting("", "Directory of the artifacts; artifacts in state_dir when empty.")
    journal_bytes_max: int = _setting(
        16 * 1024**2, "Largest journal that is replayed.", unit="bytes", low=65_536, high=256 * 1024**2
    )

    # Doors
    web_host: str = _setting("127.0.0.1", "Address the web server binds to.")
    web_port: int = _setting(8_700, "Port of the web server; 0: any free one.", unit="port", low=0, high=65_535)
    web_port_shared: bool = _setting(
        False, "Whether a second web server may listen on a port that is taken, as in a rolling restart."
    )
    web_threads: int = _setting(
        16, "Threads of the web server; at most half serve waits and streams.", unit="threads", low=2, high=256
    )
    public_url: str = _setting("", "Address under which providers reach us; http://web_host:web_port when empty.")
    idempotency_required: bool = _setting(False, "Whether POST /v1/runs needs an Idempotency-Key.")
    idempotency_hours: int = _setting(72, "Time an idempotency key is kept.", unit="h", low=24, high=8_760)
    wait_max_s: float = _setting(60.0, "Longest Prefer: wait.", unit="s", low=0, high=600)
    deadline_max_s: float = _setting(604_800.0, "Longest deadline of a run.", unit="s", low=1, high=31_536_000)
    signals_max: int = _setting(
        1_000,
        "Most signals kept for a run that it has not taken; one that a call waits for is taken at any rate.",
        unit="signals",
        low=1,
        high=100_000,
    )
    page_max: int = _setting(200, "Largest page of a list.", unit="items", low=1, high=1_000)
    operation_batch: int = _setting(
        200, "Runs that one transaction of a bulk operation looks at.", unit="runs", low=1, high=1_000
    )
    preview_max_s: float = _setting(
        5.0, "Longest look of a dry run; what it found by then is a lower bound.", unit="s", low=0.1, high=60
    )
    batch_items_max: int = _setting(1_000, "Most items of one batch.", unit="items", low=1, high=10_000)
    metrics_host: str = _setting("127.0.0.1", "Address at which a worker or a gateway answers /metrics.")
    metrics_port: int = _setting(
        0,
        "Port of /metrics in a worker or a gateway that has no web server beside it; 0: none.",
        unit="port",
        low=0,
        high=65_535,
    )

    # Gateway
    gateway_up: bool = _setting(True, "Whether `heddle up` runs a gateway.")
    gateway_host: str = _setting("127.0.0.1", "Address the gateway binds to.")
    gateway_port: int = _setting(8_710, "Port of the gateway; 0: any free one.", unit="port", low=0, high=65_535)
    gateway_url: str = _setting(
        "", "Address under which customers reach the gateway; http://gateway_host:gateway_port when empty."
    )
    gateway_prefixes: str = _setting(
        "", "Comma-separated prefixes taken off a model's name, such as openai for openai/gpt-5."
    )
    gateway_requests_max: int = _setting(
        1_000, "Most requests one gateway holds open; more are answered 503.", unit="requests", low=1, high=20_000
    )
    gateway_wait_s: float = _setting(
        600.0, "Longest time a request is held open; its run goes on after it.", unit="s", low=1, high=3_600
    )
    gateway_on_leave: str = _choice(
        "finish", "What becomes of the run of a caller who goes away before the answer.", "finish", "cancel"
    )
    gateway_inline_bytes_max: int = _setting(
        1_048_576, "Largest JSON value of a call at the gateway.", unit="bytes", low=1_024, high=16 * 1024**2
    )
    gateway_request_bytes_max: int = _setting(
        32 * 1024**2, "Largest body at the gateway, data URLs included.", unit="bytes", low=1_024, high=256 * 1024**2
    )
    gateway_link_s: float = _setting(3_600.0, "Time a link to a result's file works.", unit="s", low=1, high=604_800)

    # Backpressure
    wait_interactive_s: float = _setting(
        30.0, "Predicted wait beyond which interactive runs are refused.", unit="s", low=0.1, high=604_800
    )
    wait_standard_s: float = _setting(
        600.0, "Predicted wait beyond which standard runs are refused.", unit="s", low=0.1, high=604_800
    )
    wait_batch_s: float = _setting(
        21_600.0, "Predicted wait beyond which batch runs are refused.", unit="s", low=0.1, high=604_800
    )
    queued_max: int = _setting(
        2_000_000, "Steps in line, of everybody, beyond which runs are refused.", unit="steps", low=1, high=100_000_000
    )

    # Webhooks
    webhook_private_allowed: bool = _setting(
        False, "Whether webhooks may go to any address and port, this machine included; for development and tests."
    )
    webhook_timeout_s: float = _setting(
        15.0, "Longest time one try to deliver a webhook may take.", unit="s", low=1, high=30
    )
    webhook_in_flight_max: int = _setting(
        200,
        "Most webhooks one worker sends at once; at most half to receivers that fail.",
        unit="events",
        low=2,
        high=5_000,
    )
    webhook_receiver_max: int = _setting(
        4, "Most webhooks one worker sends at once to one receiver.", unit="events", low=1, high=100
    )
    webhook_output_bytes_max: int = _setting(
        8_192, "Largest output that a webhook carries; a larger one is linked.", unit="bytes", low=0, high=65_536
    )
    webhook_look_s: float = _setting(
        1.0, "Longest time between two looks of a worker for webhooks that are due.", unit="s", low=0.05, high=60
    )
    webhook_rotation_s: float = _setting(
        86_400.0,
        "Time after a rotation in which webhooks are signed with the secret before it, too.",
        unit="s",
        low=0,
        high=2_592_000,
    )
    webhook_keep_days: int = _setting(
        14, "Time delivered and given up webhooks are kept to be shown and redelivered.", unit="days", low=1, high=365
    )

    # Telemetry
    log_level: str = _choice("info", "Least level that is logged.", "debug", "info", "warning", "error")
    log_format: str = _choice(
        "auto", "Form of the logs; auto: readable in a terminal, else JSON.", "auto", "json", "console"
    )


def load(*, environ: Mapping[str, str], django: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings. Raises SettingRefused naming the setting, its value and what it may be."""
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    types = typing.get_type_hints(Settings)
    values: dict[str, Any] = {}
    for name, value in (django or {}).items():
        if name not in fields:
            raise SettingRefused(
                f"HEDDLE[{name!r}] is not a setting; the settings are listed in docs/reference/settings.md"
            )
        values[name] = _parse(name, value, types[name])
    if environ.get("DATABASE_URL"):
        values["database_url"] = environ["DATABASE_URL"]
    for variable, text in environ.items():
        name = variable.removeprefix("HEDDLE_").lower()
        if not variable.startswith("HEDDLE_") or name in _NOT_SETTINGS:
            continue
        if name not in fields:
            raise SettingRefused(f"{variable} is not a setting; the settings are listed in docs/reference/settings.md")
        values[name] = _parse(name, text, types[name])
    for name, value in values.items():
        _check(name, value, fields[name].metadata)
    settings = Settings(**values)
    if settings.heartbeat_s * 2 > settings.lease_s:
        raise SettingRefused(
            "HEDDLE_HEARTBEAT_S must be at most half of HEDDLE_LEASE_S, or one late beat loses the leases"
        )
    if settings.partition_weeks_ahead + -(-settings.retention_runs_days // 7) + 1 > PARTITIONS_MAX:
        raise SettingRefused(
            f"HEDDLE_PARTITION_WEEKS_AHEAD and HEDDLE_RETENTION_RUNS_DAYS need more than {PARTITIONS_MAX} weekly "
            "partitions together; lower one of them"
        )
    return settings


# Variables of the same prefix that are not settings of the product: they steer its tests and its own child processes.
_NOT_SETTINGS = frozenset({"test_install", "test_database_url", "seeds", "seed", "api_key", "api_url"})


def _parse(name: str, value: Any, kind: type) -> Any:
    try:
        if kind is bool:
            if isinstance(value, bool):
                return value
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[str(value).lower()]
        # A text is read, since the environment gives nothing else; any other value must be of the setting's type.
        if not isinstance(value, str):
            kinds = (int, float) if kind is float else (kind,)
            if isinstance(value, bool) or not isinstance(value, kinds):
                raise TypeError("of another type")
        return kind(value)
    except (ValueError, TypeError, KeyError) as error:
        raise SettingRefused(f"HEDDLE_{name.upper()} is {value!r}; it must be of type {kind.__name__}") from error


def _check(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
    choices = metadata.get("choices")
    if choices and value not in choices:
        raise SettingRefused(f"HEDDLE_{name.upper()} is {value!r}; it must be one of {', '.join(choices)}")
    low, high = metadata.get("low"), metadata.get("high")
    if low is not None and not low <= value <= high:  # not-a-number is outside of every range
        unit = f" {metadata['unit']}" if metadata["unit"] else ""
        raise SettingRefused(f"HEDDLE_{name.upper()} is {value!r}; it must be from {low:g} to {high:g}{unit}")
