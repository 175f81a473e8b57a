"""Name everything the programming model can refuse or raise.

``StepFailed`` and ``RunStopping`` are raised inside of workflows and are part of the model; the others tell an author,
or the caller of a door, what is wrong and what to do. Nothing here decides. Neighbours: every module of this room
raises these; the engine turns those that carry a fault into the run's or the step's end.
"""

from heddle.core import faults, plan


class ProgramError(Exception):
    """Stand above what this room refuses."""


class RegistrationRefused(ProgramError):
    """Say why a workflow, step or model cannot be registered: every problem, not only the first."""

    def __init__(self, what: str, problems: list[str]) -> None:
        super().__init__(f"{what} cannot be registered: " + "; ".join(problems))
        self.problems = tuple(problems)


class NotRegistered(ProgramError, LookupError):
    """Say that nothing of this name is loaded here, and what is."""


class OutsideWorkflow(ProgramError):
    """Say that this form has a meaning only while a workflow runs, and what to use instead."""


class InputRefused(ProgramError):
    """Say which fields of an input do not fit; ``errors`` are pairs of field path and message."""

    def __init__(self, what: str, errors: list[tuple[str, str]]) -> None:
        super().__init__(f"{what}: " + "; ".join(f"{field}: {message}" for field, message in errors))
        self.errors = tuple(errors)


class FaultRaised(ProgramError):
    """Carry a classified fault to the border where it is journalled."""

    def __init__(self, fault: faults.StepFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class OutputRefused(FaultRaised):
    """Say that an output is not of the declared type, cannot be stored, or is too large."""


class ArgumentsRefused(FaultRaised):
    """Say that the resolved arguments of a step or model do not fit its parameters."""


class ValueRefused(FaultRaised, ValueError):
    """Say, at the author's line, that a value handed to a call cannot be stored inline."""


class WorkflowMisused(FaultRaised, RuntimeError):
    """Say that a workflow did what a workflow may not do, and the form to use."""


class CallNotAwaited(ProgramError, TypeError):
    """Say that the value of a call was needed before the call was awaited."""


class StepFailed(ProgramError):
    """Tell a workflow that a call it awaited did not succeed.

    ``fault`` is what happened, ``step`` the name that was called, ``ordinal`` the call's number in the run. Equal on
    every replay.
    """

    def __init__(self, *, fault: faults.StepFault, step: str, ordinal: int) -> None:
        super().__init__(f"{step} (call {ordinal}) failed, {fault.fault}: {fault.message}")
        self.fault = fault
        self.step = step
        self.ordinal = ordinal


class RunStopping(BaseException):
    """Tell a workflow, once, at the await it waits in, that the run is to stop.

    Not an ``Exception``, for the reason ``asyncio.CancelledError`` is none: ``except Exception`` around a call means
    "this call may fail", and would turn a person's request to stop into one more failure to work around. Catch it by
    name, or use ``finally``, to clean up; calls made after it run as cleanup.
    """

    def __init__(self, reason: plan.StopReason) -> None:
        super().__init__(f"the run is to stop: {reason}")
        self.reason = reason


class ActivationOver(GeneratorExit):
    """Unwind a workflow function whose activation has ended; nothing it still does is journalled.

    A ``GeneratorExit``, because that is what closing a suspended coroutine raises, and Python lets it pass in silence.
    """


class WorkflowWarning(UserWarning):
    """Point at a line of a workflow that reads the clock, draws chance or reaches the outside."""
