"""Look at everything the service needs and tell how it is: what it means, what is wrong, what to do.

Each finding is one line with a value; a problem comes with its remedy. The first findings say what an acknowledged run
survives, as the database is set up now. It changes nothing and costs no provider money. Before it: `heddle doctor`.
After it: an operator.
"""

import asyncio
import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import django
from django.db import Error, connection
from django.db.migrations import executor

from heddle import wiring
from heddle.config import deployment, settings
from heddle.providers import registry as adapters
from heddle.providers import transport
from heddle.service import open_files
from heddle.store import partitions, standing

ENDPOINT_TIMEOUT_S = 10.0
DISK_FREE_MIN_BYTES = 2 * 1024**3
POSTGRES_OLDEST = 150_000
_GIB = 1024**3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `problem` is None when it is well; `remedy` says what to do otherwise.

    `warning`: what is hardly meant, with what to write; it makes nothing unwell.
    """

    name: str
    value: str
    problem: str | None = None
    remedy: str = ""
    warning: str | None = None


def examine(limits: settings.Settings) -> list[Finding]:
    """Look at everything, one after the other. Never raises for what it finds."""
    try:
        wanted, deployed = wiring.read_deployment(limits), None
    except deployment.DeploymentRefused as error:
        wanted, deployed = deployment.EMPTY, str(error)
    findings = [_configuration(limits, deployed, wanted)]
    findings += [Finding(name="prices", value="are estimates", warning=each) for each in adapters.warnings(wanted)]
    looks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("database", _server),
        ("route", lambda: [_route(limits)]),
        ("history", _lineage),
        ("durability", _survival),
        ("migrations", _migrations),
        ("partitions", _partitions),
        ("workers", lambda: _workers(limits)),
        ("leader", lambda: [_leader(limits)]),
    ]
    if _database_answers(findings):
        findings += [finding for name, look in looks for finding in _looked(name, look)]
    findings += _disks(limits)
    findings.append(_open_files(limits))
    findings.append(_artifacts())
    findings += asyncio.run(_endpoints(wanted))
    return findings


def _configuration(limits: settings.Settings, refused: str | None, wanted: deployment.Deployment) -> Finding:
    problems = [refused] if refused else wiring.config_problems(wanted, os.environ)
    value = (
        f"{limits.environment}, {limits.config_file}: {len(wanted.endpoints)} endpoints, {len(wanted.routes)} routes"
    )
    if problems:
        return Finding(
            name="configuration",
            value=value,
            problem=problems[0],
            remedy=f"mend it in {limits.config_file} or the environment",
        )
    return Finding(name="configuration", value=value)


def _database_answers(findings: list[Finding]) -> bool:
    try:
        connection.ensure_connection()
    except Error as error:
        problem = " ".join(str(error).split())
        findings.append(
            Finding(name="database", value="away", problem=problem, remedy="check DATABASE_URL and that it runs")
        )
        return False
    return True


def _looked(name: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """Run one look; what the database refuses is itself a finding."""
    try:
        return look()
    except Error as error:
        problem = " ".join(str(error).split())[:300]
        return [Finding(name=name, value="unknown", problem=problem, remedy="run `heddle migrate`; then look again")]


def _rows(query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())


def _server() -> list[Finding]:
    version, number, is_standby = _rows(
        "select current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery()"
    )[0]
    value = f"PostgreSQL {version}, Django {django.get_version()}"
    if is_standby:
        remedy = "point DATABASE_URL at the primary"
        return [Finding(name="database", value=value, problem="it is a standby: nothing can be written", remedy=remedy)]
    if number < POSTGRES_OLDEST:
        problem = f"it is older than PostgreSQL {POSTGRES_OLDEST // 10_000}"
        return [Finding(name="database", value=value, problem=problem, remedy="upgrade the server")]
    return [Finding(name="database", value=value)]


def _route(limits: settings.Settings) -> Finding:
    """Tell whether a pooler stands between, and what then cannot be had."""
    connection.ensure_connection()
    told = getattr(connection.connection, "info", None)
    (backend,) = _rows("select pg_backend_pid()")[0]
    if told is None or told.backend_pid == backend:
        return Finding(name="route", value="direct: workers listen for doorbells")
    if limits.database_direct_url:
        return Finding(name="route", value="through a pooler; workers listen at HEDDLE_DATABASE_DIRECT_URL")
    problem = "workers poll for work, and old history is not removed"
    remedy = "set HEDDLE_DATABASE_DIRECT_URL to the server's own address"
    return Finding(name="route", value="through a pooler", problem=problem, remedy=remedy)


def _lineage() -> list[Finding]:
    """Tell which history of the database this is, and whether a restore holds sending back."""
    known = _rows("select timeline, restored_at, sending_paused_at is not null from heddle_lineage")
    if not known:
        return [
            Finding(name="history", value="not noted yet: no worker of this release has started, or it cannot be told")
        ]
    timeline, restored_at, is_paused = known[0]
    value = f"timeline {timeline}" + (
        "" if restored_at is None else f", restored or failed over {restored_at:%Y-%m-%d %H:%M}"
    )
    if not is_paused:
        return [Finding(name="history", value=value)]
    problem = "all sending is paused until what was sent before the restore is known"
    remedy = "wait, look at unknown outcomes, or run `heddle resume sending`"
    return [Finding(name="history", value=value, problem=problem, remedy=remedy)]


def _survival() -> list[Finding]:
    """Say what an acknowledged run survives: crash of the server, of the machine, loss of the disk."""
    names = ("fsync", "synchronous_commit", "full_page_writes", "synchronous_standby_names")
    chosen = dict(_rows("select name, setting from pg_settings where name = any(%s) order by name", (list(names),)))
    standbys = _rows("select application_name, sync_state, state from pg_stat_replication order by pid limit 100")
    synchronous = [name for name, how, state in standbys if how in ("sync", "quorum") and state == "streaming"]
    shown = ", ".join(f"{name} {chosen[name] or 'none'}" for name in names[:3])
    findings = [
        Finding(name="durability", value=f"{shown}; an acknowledged run survives a crash of the server or machine")
    ]
    if chosen["fsync"] != "on" or chosen["full_page_writes"] != "on":
        problem = "an acknowledged run can be lost when the machine stops"
        findings = [
            Finding(name="durability", value=shown, problem=problem, remedy="set fsync and full_page_writes to on")
        ]
    elif chosen["synchronous_commit"] in ("off", "local") and (chosen["synchronous_commit"] == "off" or synchronous):
        problem = f"synchronous_commit is {chosen['synchronous_commit']}: the last acknowledged runs can be lost"
        findings = [Finding(name="durability", value=shown, problem=problem, remedy="set synchronous_commit to on")]
    if synchronous:
        meaning = "an acknowledged run survives the loss of this server"
    elif standbys:
        meaning = "after a failover the last acknowledged runs can be missing, and paid calls be made again"
    else:
        meaning = "the loss of this disk loses everything since the last backup"
    value = f"{len(standbys)} standbys, {len(synchronous)} synchronous; {meaning}"
    return [*findings, Finding(name="replication", value=value)]


def _migrations() -> list[Finding]:
    plan = executor.MigrationExecutor(connection)
    missing = plan.migration_plan(plan.loader.graph.leaf_nodes())
    if missing:
        problem = f"{len(missing)} migrations are not applied"
        return [Finding(name="migrations", value="behind", problem=problem, remedy="run `heddle migrate`")]
    return [Finding(name="migrations", value="applied")]


def _partitions() -> list[Finding]:
    with connection.cursor() as cursor:
        weeks = partitions.weeks_left(cursor)
    value = f"ready for {max(0.0, weeks):.1f} weeks from now"
    if weeks < standing.PARTITION_WEEKS_MIN:
        problem = "new runs are refused when the last one is full"
        return [Finding(name="partitions", value=value, problem=problem, remedy="run `heddle migrate`")]
    return [Finding(name="partitions", value=value)]


def _workers(limits: settings.Settings) -> list[Finding]:
    alive = _rows(
        "select name, extract(epoch from clock_timestamp() - seen_at)::float8 from heddle_worker "
        "where state in ('alive', 'draining') and seen_at > clock_timestamp() - make_interval(secs => %s) "
        "order by id limit 1000",
        (limits.lease_s,),
    )
    if not alive:
        problem = "no worker has been seen; runs are accepted and wait"
        return [Finding(name="workers", value="none", problem=problem, remedy="start `heddle up` or `heddle worker`")]
    names = ", ".join(f"{name} ({max(0.0, age_s):.1f} s ago)" for name, age_s in alive[:8])
    return [Finding(name="workers", value=f"{len(alive)} alive: {names}")]


def _leader(limits: settings.Settings) -> Finding:
    found = _rows(
        "select w.name from heddle_leader l join heddle_worker w on w.id = l.holder "
        "where l.role = 'sweep' and l.until > clock_timestamp() order by w.id limit 1"
    )
    if found:
        return Finding(name="leader", value=f"{found[0][0]} sweeps")
    problem = f"nobody has swept for its lease; timers and dead workers' steps wait (lease {limits.lease_s:g} s)"
    return Finding(name="leader", value="none", problem=problem, remedy="start a worker; one becomes the leader")


def _disks(limits: settings.Settings) -> list[Finding]:
    state = pathlib.Path(limits.state_dir).resolve()
    folder = next(path for path in (state, *state.parents) if path.exists())
    usage = shutil.disk_usage(folder)
    value = f"{usage.free / _GIB:.1f} GiB free of {usage.total / _GIB:.1f} at {folder}"
    if usage.free < DISK_FREE_MIN_BYTES:
        problem = f"less than {DISK_FREE_MIN_BYTES / _GIB:.0f} GiB are free; a full disk stops the database"
        return [Finding(name="disk", value=value, problem=problem, remedy="free space, or move HEDDLE_STATE_DIR")]
    return [Finding(name="disk", value=value)]


def _open_files(limits: settings.Settings) -> Finding:
    """Compare what a worker may come to hold open with what it may raise its own limit to."""
    count, allowed = open_files.needed(limits), open_files.allowed()
    if allowed is None:
        return Finding(name="open files", value="no limit")
    value = f"a worker needs up to {count:,}, a process started from here may open {allowed:,}"
    if allowed >= count:
        return Finding(name="open files", value=value)
    problem = f"a worker with all its calls in flight lacks {count - allowed:,} files"
    remedy = "raise the hard limit (ulimit -Hn, LimitNOFILE=), or lower HEDDLE_WORKER_IN_FLIGHT_MAX"
    return Finding(name="open files", value=value, problem=problem, remedy=remedy)


def _artifacts() -> Finding:
    problem = wiring.blobs().check_sync()
    value = "can be written" if problem is None else "cannot be used"
    remedy = "" if problem is None else "check HEDDLE_ARTIFACT_DIR, its owner and its disk"
    return Finding(name="artifacts", value=value, problem=problem, remedy=remedy)


async def _endpoints(wanted: deployment.Deployment) -> list[Finding]:
    """Ask every endpoint's adapter, all at once, each for at most 10 s."""
    connections = transport.Transport()
    try:
        return list(await asyncio.gather(*(_endpoint(each, connections) for each in wanted.endpoints.values())))
    finally:
        await connections.close()


async def _endpoint(endpoint: deployment.Endpoint, connections: transport.Transport) -> Finding:
    name, value = f"endpoint {endpoint.name}", f"{endpoint.adapter} at {endpoint.url}"
    try:
        made = adapters.build(endpoint, os.environ, connections)
    except adapters.EndpointRefused as error:
        return Finding(name=name, value=value, problem=str(error), remedy="mend it in heddle.toml or the environment")
    try:
        async with asyncio.timeout(ENDPOINT_TIMEOUT_S):
            problem = await made.check()
    except TimeoutError:
        problem = f"it did not answer within {ENDPOINT_TIMEOUT_S:.0f} s"
    finally:
        await made.close()
    remedy = "" if problem is None else "its models' calls wait or fall back meanwhile; check its address and secret"
    return Finding(name=name, value=value, problem=problem, remedy=remedy)
