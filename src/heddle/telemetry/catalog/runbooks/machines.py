"""Say what to do when a machine under Heddle is in trouble: database, disk, workers, loop, compute pool.

Data only. Before it: ``alerts``. After: the documentation, one page for each alert.
"""

from typing import Final

from heddle.telemetry.catalog import metrics
from heddle.telemetry.catalog.records import Runbook
from heddle.telemetry.catalog.runbooks import commands
from heddle.telemetry.catalog.runbooks.commands import do

DATABASE_OWNER: Final = (
    "Whoever runs PostgreSQL, after 10 minutes; the owner of the service at once if data may be lost."
)
SERVICE_OWNER: Final = "The owner of the service, after 30 minutes without a cause."

ALL: Final = (
    Runbook(
        alert="HeddleDatabaseDown",
        user_feels="Submitting answers 503 with Retry-After; runs stand still. Nothing accepted is lost.",
        see_it="`heddle_database_up` is 0, `/readyz` names the database, logs say database.lost.",
        stop_it="Nothing to stop: workers hold what they have, send nothing new, and reconnect by themselves.",
        mend_it="Bring PostgreSQL or the way to it back. Leases are not taken back for one lease after it.",
        meaning="At least one process has had no working connection for 15 seconds.",
        impact="Admission, claims and results wait. Calls at providers run on; their results are booked afterwards.",
        diagnosis=(
            do("See whether one process or all are cut off.", commands.READY, commands.read(metrics.DATABASE_UP)),
            do("See what the database says of itself: down, refusing, full, or out of connections.", commands.DOCTOR),
        ),
        mitigation=(
            do("Start PostgreSQL, fail over, or free its disk. The embedded server is restarted by its supervisor."),
            do("Out of connections: end what does not belong, oldest first.", commands.SESSIONS),
        ),
        verification=(do("Ready again, and work moves.", commands.READY, commands.read(metrics.READY_OLDEST_AGE)),),
        escalation=DATABASE_OWNER,
    ),
    Runbook(
        alert="HeddleTransactionHeld",
        user_feels="Nothing at first; after hours, slower starts.",
        see_it="`heddle_database_oldest_transaction_age_seconds` grows.",
        stop_it="End the holder's transaction.",
        mend_it="Find why it was left open: a forgotten shell, a long report, an abandoned replication slot.",
        meaning="A transaction or snapshot older than 40 s keeps dead rows from being removed.",
        impact="Hot tables grow and every claim reads more pages.",
        diagnosis=(do("Find who holds it.", commands.SESSIONS),),
        mitigation=(
            do("Ask its owner to end it; else end it with pg_terminate_backend(pid). Never end Heddle's own sessions."),
        ),
        verification=(do("The age falls at once.", commands.read(metrics.OLDEST_TRANSACTION_AGE)),),
        escalation=DATABASE_OWNER,
    ),
    Runbook(
        alert="HeddleDeadlocks",
        user_feels="Nothing; a batch takes a little longer.",
        see_it="`heddle_deadlocks_total` rises; logs say deadlock.retried with the stage.",
        stop_it="Nothing to stop: the batch is made again.",
        mend_it="Find the statement that takes locks in another order and change it.",
        meaning="PostgreSQL ended a transaction of one stage to break a circle of waits.",
        impact="None for results. Often, it costs throughput; 57 instead of 10,000 steps a second was measured.",
        diagnosis=(
            do("See which stage, and since which release.", commands.read(metrics.DEADLOCKS)),
            do(
                "Read both statements in PostgreSQL's log at the time of the event, and look for foreign sessions.",
                commands.SESSIONS,
            ),
        ),
        mitigation=(do("If another program writes Heddle's tables, stop it. Else go back to the release before."),),
        verification=(do("The counter stands still for ten minutes.", commands.read(metrics.DEADLOCKS)),),
        escalation=SERVICE_OWNER,
    ),
    Runbook(
        alert="HeddleDiskFilling",
        user_feels="Nothing yet. When it is full, uploads and submits answer 503.",
        see_it="`heddle_disk_free_ratio` is below 0.1; `heddle doctor` names the disk.",
        stop_it="Free or add space now; do not delete files inside the database's directory.",
        mend_it="Shorten HEDDLE_RETENTION_RUNS_DAYS, or give the disk more room; files of artifacts are never removed.",
        meaning="Less than a tenth of a disk is free.",
        impact="A full database disk stops every write. Nothing acknowledged is lost.",
        diagnosis=(do("See which disk, and how fast it fills.", commands.DOCTOR, commands.read(metrics.DISK_FREE)),),
        mitigation=(
            do("Remove what is not Heddle's from the disk, then enlarge it."),
            do("An abandoned replication slot keeps the write-ahead log: drop it.", commands.REPLICATION_SLOTS),
        ),
        verification=(do("Free space is back and the service is ready.", commands.READY),),
        escalation=DATABASE_OWNER,
    ),
    Runbook(
        alert="HeddlePartitionsEnding",
        user_feels="Nothing yet. At the end of the last partition, submits fail.",
        see_it="`heddle_partitions_ahead_seconds` is under a week; `/readyz` names it.",
        stop_it="Make partitions now.",
        mend_it="Have a worker run: the leading one makes weeks every five minutes. Its log says why it could not.",
        meaning="Rows with ids of next week have no table to go to.",
        impact="New runs are refused from then on. Existing runs are not touched.",
        diagnosis=(do("See how far ahead.", commands.DOCTOR, commands.read(metrics.PARTITIONS_AHEAD)),),
        mitigation=(do("Make them by hand; a second call does nothing.", commands.MIGRATE),),
        verification=(do("Four weeks are ahead again.", commands.read(metrics.PARTITIONS_AHEAD)),),
        escalation=DATABASE_OWNER,
    ),
    Runbook(
        alert="HeddleMetricsAbsent",
        user_feels="Perhaps nothing, perhaps everything is down.",
        see_it="Prometheus has no `heddle_build_info`.",
        stop_it="Look at the service itself first.",
        mend_it="Start the service, or repair the scrape.",
        meaning="No process of Heddle has been scraped for two minutes.",
        impact="Every other alert is blind.",
        diagnosis=(do("Is it up?", commands.READY), do("Does it serve metrics?", commands.read(metrics.BUILD_INFO))),
        mitigation=(do("If it is down, start it. If it is up, repair Prometheus' target, network or credentials."),),
        verification=(do("The metric is there.", commands.read(metrics.BUILD_INFO)),),
        escalation=SERVICE_OWNER,
    ),
    Runbook(
        alert="HeddleMonitoringAlive",
        user_feels="Nothing.",
        see_it="This alert fires all the time. Trouble is when it stops.",
        stop_it="Do not silence it: route it to a watchdog outside.",
        mend_it="When the watchdog calls, bring Prometheus and Alertmanager back.",
        meaning="Rules are evaluated and alerts are delivered.",
        impact="None while it fires; when it does not, nobody would hear of anything.",
        diagnosis=(do("Look at the service itself while monitoring is blind.", commands.READY, commands.DOCTOR),),
        mitigation=(do("Restart Prometheus and Alertmanager; check that the rule file loads."),),
        verification=(do("The watchdog hears it again."),),
        escalation="Whoever runs monitoring, at once.",
    ),
    Runbook(
        alert="HeddleNoWorkers",
        user_feels="Runs are accepted and stay queued.",
        see_it="`heddle_workers_alive` is 0 or missing: living workers write it.",
        stop_it="Start one worker, with the environment that the others had.",
        mend_it="Read why the workers ended and mend that.",
        meaning="No worker has sent a heartbeat in time.",
        impact="Nothing starts. Calls already at providers are picked up by the next worker.",
        diagnosis=(do("Did they end, or can they not reach the database?", commands.READY, commands.DOCTOR),),
        mitigation=(do("Start a worker.", commands.WORKER),),
        verification=(
            do(
                "It is counted, and the oldest age falls.",
                commands.read(metrics.WORKERS_ALIVE),
                commands.read(metrics.READY_OLDEST_AGE),
            ),
        ),
        escalation=SERVICE_OWNER,
    ),
    Runbook(
        alert="HeddleWorkersDying",
        user_feels="Some runs take some seconds longer, at most a lease (15 s).",
        see_it="`heddle_workers_died_total` rises; logs say worker.died; what started the worker says its exit code.",
        stop_it="If a release began it, go back to the one before.",
        mend_it="Find what ends them: memory, a blocked loop, a signal, the node.",
        meaning="More than three workers within ten minutes stopped beating without a drain.",
        impact="Their steps start again elsewhere; what became of paid calls that were being sent is found out.",
        diagnosis=(
            do("Read exit codes in the log: -9 is a kill, usually for memory.", commands.read(metrics.WORKERS_DIED)),
            do("Was the loop late before?", commands.read(metrics.LOOP_LAG)),
        ),
        mitigation=(do("Give workers more memory or fewer places; remove the workflow that blocks."),),
        verification=(do("The counter stands still.", commands.read(metrics.WORKERS_DIED)),),
        escalation=SERVICE_OWNER,
    ),
    Runbook(
        alert="HeddleLeasesExpiring",
        user_feels="Some runs take some seconds longer, at most a lease (15 s).",
        see_it="`heddle_leases_expired_total` rises.",
        stop_it="If workers are dying, see HeddleWorkersDying; if the database is slow, lower the load on it.",
        mend_it="Remove what keeps heartbeats from arriving.",
        meaning="Steps are taken back from workers that did not beat in time.",
        impact="Work is done again up to the last stored result. Late writers are fenced.",
        diagnosis=(
            do(
                "Dead workers, or living ones that were late?",
                commands.read(metrics.WORKERS_DIED),
                commands.read(metrics.WRITES_FENCED),
            ),
            do("Is the database slow?", commands.SESSIONS),
        ),
        mitigation=(do("Stop what loads the database or the machine beside Heddle."),),
        verification=(do("The counter stands still.", commands.read(metrics.LEASES_EXPIRED)),),
        escalation=SERVICE_OWNER,
    ),
    Runbook(
        alert="HeddleLoopLagging",
        user_feels="Slow answers; calls that time out though the provider was quick.",
        see_it="`heddle_loop_lag_seconds` is over 1; logs say loop.lagged.",
        stop_it="Restart the worker that lags; it drains first.",
        mend_it="Find what blocks: an `async def` step that computes belongs in the pool (plain `def`).",
        meaning="An event loop runs what is due more than a second late.",
        impact="All steps in that worker; its lease is safe, since heartbeats have a thread of their own.",
        diagnosis=(do("Which process, and is its processor full?", commands.read(metrics.LOOP_LAG)),),
        mitigation=(do("Drain and restart that worker; start another beside it.", commands.WORKER),),
        verification=(do("The lag is under 0.1 s.", commands.read(metrics.LOOP_LAG)),),
        escalation=SERVICE_OWNER,
    ),
    Runbook(
        alert="HeddleComputeCrashing",
        user_feels="Runs with that step are slower or fail with code_crashed.",
        see_it="`heddle_compute_calls_total` with crashed or timed_out; logs say compute.crashed with the step's name.",
        stop_it="Cancel the runs that bring the poisonous input.",
        mend_it="Mend the step, or give it more memory or time.",
        meaning="Processes of the pool died or were ended under a step more than five times within ten minutes.",
        impact="That step only; each crash costs one process start.",
        diagnosis=(do("Which step and which input?", commands.RUNS_FAILED, commands.RUN_SHOW),),
        mitigation=(do("Cancel what cannot succeed.", commands.RUN_CANCEL),),
        verification=(do("The counter stands still.", commands.read(metrics.COMPUTE_CALLS)),),
        escalation="The owner of the step.",
    ),
)
"""Runbooks of this subject."""
