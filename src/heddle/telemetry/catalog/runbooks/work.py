"""Say what to do when work, money or an endpoint is in trouble.

Data only. Before it: ``alerts``. After: the documentation, one page for each alert.
"""

from typing import Final

from heddle.telemetry.catalog import metrics
from heddle.telemetry.catalog.records import Runbook
from heddle.telemetry.catalog.runbooks import commands
from heddle.telemetry.catalog.runbooks.commands import do

SERVICE_OWNER: Final = "The owner of the service, after 30 minutes without a cause."
PROVIDER_CONTACT: Final = "The provider's support, with the time, the endpoint and three job ids from the attempts."
CANARY_OWNER: Final = "Whoever started the canary, by the audit trail; nobody is paged for it."
MONEY_OWNER: Final = "The owner of the budget, the same day; the owner of the adapter for the cause."

ALL: Final = (
    Runbook(
        alert="HeddleReadyTooOld",
        user_feels="Runs are accepted and start late.",
        see_it="`heddle_ready_oldest_age_seconds` by priority; a run's page says what it waits for.",
        stop_it="Add workers, or pause what floods.",
        mend_it="Give the class, the endpoint or the tenant the room it needs.",
        meaning="Steps that could start have waited longer than their class allows.",
        impact="Start freshness and time to result of that class.",
        diagnosis=(
            do("What does one of them wait for?", commands.RUNS_READY, commands.WHY),
            do("Is there room at the endpoints?", commands.ENDPOINTS, commands.read(metrics.ENDPOINT_IN_FLIGHT)),
            do("Do workers claim?", commands.read(metrics.WORKERS_ALIVE), commands.read(metrics.CLAIMS_EMPTY)),
        ),
        mitigation=(
            do("Start more workers.", commands.WORKER),
            do("Cancel a flood that is not wanted.", commands.RUN_CANCEL),
        ),
        verification=(do("The oldest age falls.", commands.read(metrics.READY_OLDEST_AGE)),),
        escalation=SERVICE_OWNER,
    ),
    Runbook(
        alert="HeddleEndpointSick",
        user_feels="Slower runs, dearer fallbacks; failures if there is no fallback.",
        see_it="Failed share of first tries for the endpoint; `heddle_endpoint_faults_total` says how they fail.",
        stop_it="Pause the endpoint; work goes to the next tier or waits.",
        mend_it="Wait for the provider, or mend address, credential or limits.",
        meaning="More than half of first tries fail, before any retry.",
        impact="Every model routed there.",
        diagnosis=(
            do(
                "Which faults: throttled is our limit, rejected is our request, the rest is theirs.",
                commands.read(metrics.ENDPOINT_FAULTS),
            ),
            do("Breaker and limits.", commands.ENDPOINTS),
        ),
        mitigation=(do("Pause it, from anywhere or on the machine.", commands.PAUSE, commands.PAUSE_HERE),),
        verification=(do("First tries succeed again.", commands.read(metrics.ENDPOINT_FIRST_TRIES)),),
        escalation=PROVIDER_CONTACT,
    ),
    Runbook(
        alert="HeddleBreakerOpen",
        user_feels="Slower runs, or none where no other endpoint serves the model.",
        see_it="`heddle_breaker_state` is 2; logs say step.retried and step.failed with the reasons.",
        stop_it="Nothing to stop: no calls go there but one probe at a time.",
        mend_it="Wait for the provider, or mend address, credential or network.",
        meaning="An endpoint has failed its probes for five minutes.",
        impact="Every model routed there.",
        diagnosis=(
            do(
                "Is it open still, and how do its calls fail?",
                commands.ENDPOINTS,
                commands.read(metrics.ENDPOINT_FAULTS),
            ),
        ),
        mitigation=(do("Add a route of a lower tier in heddle.toml and apply it, or wait."),),
        verification=(do("State 0 after a probe succeeds.", commands.read(metrics.BREAKER_STATE)),),
        escalation=PROVIDER_CONTACT,
    ),
    Runbook(
        alert="HeddleCanaryRolledBack",
        user_feels="Nothing any more; a share of the model's calls was failed, refused or lost until then.",
        see_it="The event canary.rolled_back names the model and the reason; so does the audit trail.",
        stop_it="Nothing to stop: the canary draws no call until it is reset.",
        mend_it="Mend the new place or version, then try it again from a small share.",
        meaning="Of a canary's calls plausibly more were bad than of the routes of its tier, by more than its margin.",
        impact="Its share of the model's calls, from its start until now; each was tried again or fell back.",
        diagnosis=(
            do("Why: how many calls of each, and how many were bad.", commands.AUDIT),
            do("How they were bad.", commands.read(metrics.ENDPOINT_FAULTS), commands.read(metrics.RESULTS_REFUSED)),
            do("Was it the place and not the version: breaker and limits.", commands.ENDPOINTS),
        ),
        mitigation=(
            do(
                "None is needed. When it is mended, `heddle canary start` with the model and the endpoint tries it "
                "anew; what was counted against it then counts no more."
            ),
        ),
        verification=(do("Its route has no weight; the others serve its share.", commands.ENDPOINTS),),
        escalation=CANARY_OWNER,
    ),
    Runbook(
        alert="HeddleOutcomeUnknown",
        user_feels="Those runs wait.",
        see_it="`heddle_attempts_unknown` is above 0; logs say attempt.unknown with run, step and reason.",
        stop_it="Nothing is sent again by itself where that could pay twice.",
        mend_it="Find out why answers get lost on the way back: a timeout that is too short, a proxy, the network.",
        meaning="A request was sent and its answer was lost, at a provider that cannot tell, or not yet.",
        impact="The run of each, and at most its stated price.",
        diagnosis=(do("Which runs, which endpoint, which reference.", commands.STEPS_UNKNOWN, commands.RUN_SHOW),),
        mitigation=(
            do(
                "Wait while it is looked up: an endpoint that can be asked is asked again for at most "
                "HEDDLE_UNKNOWN_AT_MOST_S, and at each callback of its. What is found settles the step by itself."
            ),
            do(
                "Past that, or at an endpoint that cannot be asked, it stays unknown until a person decides. Look the "
                "job up at the provider, then say what became of it: `done` with its output, `failed`, or `retry`, "
                "which is paid anew.",
                commands.SETTLE_RETRY,
            ),
            do("Or give the run up.", commands.RUN_CANCEL),
        ),
        verification=(do("The gauge is 0.", commands.read(metrics.ATTEMPTS_UNKNOWN)),),
        escalation=MONEY_OWNER,
    ),
    Runbook(
        alert="HeddleSpendUnusual",
        user_feels="Nothing, until a budget is spent; then runs are refused.",
        see_it="Money charged per hour by endpoint; usage by tenant and workflow.",
        stop_it="Pause the endpoint, or cancel the runs that spend.",
        mend_it="Set a budget for the tenant; mend the workflow that calls too often.",
        meaning="An endpoint has cost three times its daily average for a quarter of an hour.",
        impact="Money.",
        diagnosis=(
            do(
                "More calls, or dearer ones?",
                commands.read(metrics.MONEY_CHARGED),
                commands.read(metrics.ENDPOINT_ATTEMPTS),
            ),
            do("More retries?", commands.read(metrics.STEPS_RETRIED)),
        ),
        mitigation=(do("Pause it.", commands.PAUSE), do("Cancel what is not wanted.", commands.RUN_CANCEL)),
        verification=(do("The rate is back to normal.", commands.read(metrics.MONEY_CHARGED)),),
        escalation=MONEY_OWNER,
    ),
    Runbook(
        alert="HeddleSlotsDrifted",
        user_feels="Nothing; an endpoint was used a little less or more than allowed.",
        see_it="`heddle_slots_drifted_total` rose; logs say slot.drifted with the scope.",
        stop_it="Nothing to stop: the recount has corrected it.",
        mend_it="Find which settle or release did not account for its slots.",
        meaning="The count of slots of a scope and the leases that hold them differed.",
        impact="Concurrency at that scope until the recount.",
        diagnosis=(do("Which scope, and what happened before: a kill, an outage, a release?", commands.ENDPOINTS),),
        mitigation=(do("None needed unless the provider complains; then pause the endpoint.", commands.PAUSE),),
        verification=(do("The counter stands still.", commands.read(metrics.SLOTS_DRIFTED)),),
        escalation=SERVICE_OWNER,
    ),
    Runbook(
        alert="HeddleStageFailing",
        user_feels="Depends on the stage: admit refuses, claim and execute delay, deliver leaves customers untold.",
        see_it="`heddle_stage_errors_total` by stage; logs say stage.failed with a traceback.",
        stop_it="If a release began it, go back to the one before.",
        mend_it="Read the traceback; mend the cause.",
        meaning="A stage of the walk raises again and again.",
        impact="What that stage does waits; nothing is lost.",
        diagnosis=(
            do("Which stage, and is a dependency behind it?", commands.read(metrics.STAGE_ERRORS), commands.DOCTOR),
        ),
        mitigation=(do("Restore the dependency, or go back a release."),),
        verification=(do("The counter stands still.", commands.read(metrics.STAGE_ERRORS)),),
        escalation=SERVICE_OWNER,
    ),
    Runbook(
        alert="HeddleCallbacksRefused",
        user_feels="Results arrive by polling, so later.",
        see_it="`heddle_callbacks_total` with refused; logs say callback.refused with the reason.",
        stop_it="Nothing to stop: what is not believed is not stored.",
        mend_it="Renew the endpoint's secret, or set the clock right.",
        meaning="Callbacks for an endpoint do not pass verification.",
        impact="Latency, and more polls against the provider's limit.",
        diagnosis=(do("Signature, age or unknown attempt?", commands.read(metrics.CALLBACKS)),),
        mitigation=(
            do(
                "Compare the secret in heddle.toml's environment with the provider's; check the clock.", commands.DOCTOR
            ),
        ),
        verification=(do("Stored rises and refused stands still.", commands.read(metrics.CALLBACKS)),),
        escalation=PROVIDER_CONTACT,
    ),
)
"""Runbooks of this subject."""
