"""Say what to do when customers are not told how their runs ended.

Data only. Before it: ``alerts``. After: the documentation, one page for each alert.
"""

from typing import Final

from heddle.telemetry.catalog import metrics
from heddle.telemetry.catalog.records import Runbook
from heddle.telemetry.catalog.runbooks import commands
from heddle.telemetry.catalog.runbooks.commands import do
from heddle.telemetry.catalog.runbooks.work import SERVICE_OWNER

CUSTOMER_CONTACT: Final = "The customer whose receiver it is, with the ids of the events, the same day."

ALL: Final = (
    Runbook(
        alert="HeddleWebhooksGivenUp",
        user_feels="A customer was never told how a run ended; who polls sees it.",
        see_it="`heddle_webhooks_undelivered` with `dead`; logs say webhook.died with the id and the last answer.",
        stop_it="Nothing to stop: what was given up is kept, and nothing more is sent of it.",
        mend_it="Have the customer mend the receiver, then redeliver.",
        meaning="A receiver refused or did not answer ten tries over three days, or failed so long that none was made.",
        impact="That customer's automation waits for events that did not come.",
        diagnosis=(
            do("Whose, and what did the receiver say last?", commands.WEBHOOK_TENANTS, commands.WEBHOOKS_DEAD),
            do("One receiver or all of them?", commands.read(metrics.WEBHOOK_TRIES)),
        ),
        mitigation=(
            do("Tell the customer; redeliver when the receiver is well.", commands.WEBHOOK_REDELIVER),
            do("All of them: let the workers out to the internet again, then redeliver.", commands.DOCTOR),
        ),
        verification=(
            do(
                "Delivered rises, and nothing is listed as dead.",
                commands.read(metrics.WEBHOOK_TRIES),
                commands.WEBHOOKS_DEAD,
            ),
        ),
        escalation=CUSTOMER_CONTACT,
    ),
    Runbook(
        alert="HeddleWebhooksLate",
        user_feels="Customers hear late how their runs ended; who polls sees it at once.",
        see_it="`heddle_webhooks_overdue_age_seconds`; `heddle_stage_errors_total` with `deliver`.",
        stop_it="Start workers; if a release began it, go back to the one before.",
        mend_it="Read what the stage deliver logs and mend the cause, or give workers more places.",
        meaning="Events are due, their receivers are well, and no worker sends them.",
        impact="Customers' automation is late; nothing is lost.",
        diagnosis=(
            do("Are there workers, and does the stage raise?", commands.DOCTOR, commands.read(metrics.STAGE_ERRORS)),
            do("How many wait, and for whom?", commands.WEBHOOK_TENANTS, commands.WEBHOOKS_DUE),
            do("Do tries take long, so that all places are taken?", commands.read(metrics.WEBHOOK_DURATION)),
        ),
        mitigation=(do("Start a worker, or raise HEDDLE_WEBHOOK_IN_FLIGHT_MAX and restart them.", commands.WORKER),),
        verification=(do("The age falls to 0.", commands.read(metrics.WEBHOOKS_OVERDUE_AGE)),),
        escalation=SERVICE_OWNER,
    ),
)
"""Runbooks of this subject."""
