"""Word the faults that an activation finds: a changed workflow, a misused form, a call that did not succeed.

Pure. Neighbours: the activation and the driver ask.
"""

from heddle.core import faults, plan, step


def changed(journal: plan.Journal, difference: str) -> faults.StepFault:
    """Make the fault of a workflow whose code no longer fits its journal."""
    return faults.StepFault(
        fault=faults.Fault.WORKFLOW_CHANGED,
        message=f"{journal.workflow} version {journal.version} changed since the run planned its calls: {difference}; "
        "put the change behind heddle.patched, or register it as a new version",
    )


def misuse(message: str) -> faults.StepFault:
    """Make the fault of a workflow that did what a workflow may not do."""
    return faults.StepFault(fault=faults.Fault.WORKFLOW_MISUSE, message=message)


def fault_of(entry: plan.JournalEntry, name: str) -> faults.StepFault:
    """Give the fault of a journalled call that did not succeed, also when none is written."""
    if entry.fault is not None:
        return entry.fault
    if entry.state is step.StepState.SKIPPED:
        message = f"{name} was skipped: a call it takes a value from did not succeed"
    else:
        message = f"{name} was cancelled"
    return faults.StepFault(fault=faults.Fault.CANCELLED, message=message)


def took_signal(entry: plan.JournalEntry | None) -> bool:
    """Tell whether a journalled call is one that a signal has ended."""
    return entry is not None and entry.kind is step.StepKind.SIGNAL and entry.state is step.StepState.SUCCEEDED
