"""Give authors ``schedule``: a workflow started at the times of a cron expression, declared beside it.

Declaring starts nothing: ``heddle migrate`` (and ``heddle up``) writes the schedules of all loaded code and of
``heddle.toml`` to the database, and workers start the runs. Neighbours: ``config.schedules`` checks, ``registry``
keeps.
"""

import decimal
from collections.abc import Mapping

from heddle.config import schedules
from heddle.core import plan
from heddle.core.policy import schedule as policy
from heddle.program import registry
from heddle.program.definitions import WorkflowDefinition
from heddle.program.errors import InputRefused, RegistrationRefused


def schedule(
    name: str,
    *,
    workflow: WorkflowDefinition,
    cron: str,
    time_zone: str = "UTC",
    input: Mapping[str, object] | None = None,  # noqa: A002 - the word of the API
    catch_up: str = "last",
    catch_up_max: int = 100,
    tenant: str = "default",
    priority: str = "standard",
    deadline_s: float | None = None,
    max_cost_usd: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> policy.ScheduleOptions:
    """Start a workflow at the times of ``cron``, five fields as in crontab(5), read in ``time_zone``.

    ``input``: the same for every run. ``catch_up``: what becomes of times when no worker was there: ``skip`` lets them
    go, ``last`` starts one run for the newest, ``all`` one for each, at most ``catch_up_max`` (1 to 1,000).
    ``deadline_s`` counts from each start, ``max_cost_usd`` (a decimal string) is for each run. Declaring a name again
    replaces it. Raises RegistrationRefused with what is wrong.
    """
    values: dict[str, object] = {
        "workflow": workflow.name,
        "cron": cron,
        "time_zone": time_zone,
        "tenant": tenant,
        "catch_up": catch_up,
        "catch_up_max": catch_up_max,
        "priority": priority,
        "labels": dict(labels or {}),
    }
    try:
        values["input"] = plan.public(workflow.validate_input(input or {}))
        if deadline_s is not None:
            values["deadline_s"] = deadline_s
        if max_cost_usd is not None:
            values["max_cost_nano_usd"] = int(decimal.Decimal(max_cost_usd) * 1_000_000_000)
        options = schedules.read(name, values)
    except decimal.InvalidOperation as error:
        raise RegistrationRefused(f"schedule {name!r}", [f'max_cost_usd is {max_cost_usd!r}; write "1.50"']) from error
    except (InputRefused, schedules.ScheduleRefused) as error:
        raise RegistrationRefused(f"schedule {name!r}", [str(error)]) from error
    registry.add_schedule(options)
    return options


def problems(options: policy.ScheduleOptions) -> list[str]:
    """Tell what would keep a schedule of a file from starting runs, as far as the code loaded here knows."""
    known = {definition.name for definition in registry.workflows()}
    if options.workflow not in known:
        return [f"the schedule {options.name!r} starts the workflow {options.workflow!r}, which is not loaded here"]
    try:
        registry.workflow(options.workflow).validate_input(options.input)
    except InputRefused as error:
        return [f"the schedule {options.name!r} has an input that does not fit: {error}"]
    return []
