"""Let a run go on as a new one of the same workflow: for work without end, whose journal would grow for ever.

The new run begins with an empty journal and new input. The store makes it in the transaction that ends the old one, so
there is one, whatever dies. Neighbours: the activation it ends, ``store/sql/continue_runs.sql``.
"""

from typing import NoReturn

from heddle.core import faults, plan
from heddle.program import activation, registry
from heddle.program.errors import InputRefused, ValueRefused


def continue_as_new(**input: object) -> NoReturn:  # noqa: A002 - the word of the API
    """End the function here and go on as a new run of this workflow, of the newest version loaded, with new input.

    Everything called so far is waited for first; a call that failed and was not awaited fails the run as if it had
    returned. The run ends as ``succeeded`` and names the new one, which keeps its priority, labels, deadline and
    webhook, what is left of ``max_cost_usd``, its place under the run above it, and signals that nobody has taken.
    Waiting for the first run of a chain waits for its last. At most 10,000 runs go on from one another; the next one
    fails instead. Raises ValueRefused for input that does not fit. Code after it, and ``finally``, can call nothing.
    """
    here = activation.required("heddle.continue_as_new", "submit the workflow")
    definition = registry.workflow(here.journal.workflow)
    try:
        encoded = definition.validate_input(input)
    except InputRefused as error:
        fault = faults.StepFault(fault=faults.Fault.WORKFLOW_MISUSE, message=f"heddle.continue_as_new: {error}")
        raise ValueRefused(fault) from error
    here.leave(plan.Continued(workflow=definition.name, input=encoded, version=definition.version))
