"""Stand where a running event loop would be found, and refuse.

While a workflow function runs, ``asyncio`` must find a loop, or it would fail with words that help nobody, and must
not find a real one, or ``to_thread`` would really start a thread. This one refuses everything by naming the line and
the Heddle form. Neighbours: the driver installs it.
"""

import collections.abc
import dataclasses
import sys
import types
from typing import NoReturn

from heddle.core import faults
from heddle.program import activation, places
from heddle.program.errors import WorkflowMisused

FORMS: dict[str, str] = {
    "sleep": "await heddle.sleep(seconds)",
    "gather": "make the calls first, then await heddle.all_of(calls)",
    "wait": "make the calls first, then await heddle.all_of(calls)",
    "as_completed": "make the calls first, then await heddle.all_of(calls)",
    "TaskGroup": "make the calls without awaiting them; they run side by side by themselves",
    "create_task": "make the call without awaiting it; it runs by itself",
    "ensure_future": "make the call without awaiting it; it runs by itself",
    "timeout": "call.options(timeout_s=…)",
    "timeout_at": "call.options(timeout_s=…)",
    "wait_for": "call.options(timeout_s=…)",
    "to_thread": "a function decorated with @heddle.step",
    "sync_to_async": "a function decorated with @heddle.step",
    "run_in_executor": "a function decorated with @heddle.step",
    "run": "await the coroutine itself, or put it in a step decorated with @heddle.step",
}
OTHERWISE = "a function decorated with @heddle.step for work, heddle.sleep to wait"
_CLASSES = {"taskgroups": "TaskGroup", "timeouts": "timeout", "runners": "run", "sync": "sync_to_async"}


def misuse(name: str, where: str) -> faults.StepFault:
    """Make the fault of a workflow that used ``name`` of an event loop."""
    form = FORMS.get(name.rpartition(".")[2], OTHERWISE)
    return faults.StepFault(
        fault=faults.Fault.WORKFLOW_MISUSE,
        message=f"{where or 'the workflow'} used {name}, which would not survive a restart; in a workflow use {form}",
        where=where,
    )


def used_name(frame: types.FrameType) -> str:
    """Give the public name of what an author used, from the frame through which the loop's library was entered."""
    module = str(frame.f_globals.get("__name__", ""))
    name = _CLASSES.get(module.rpartition(".")[2], frame.f_code.co_name)
    return f"{module.partition('.')[0]}.{name}"


class StubLoop:
    """Refuse, and end the activation, when anything of an event loop is used."""

    def __init__(self, owner: activation.Activation) -> None:
        self._owner = owner

    def __getattr__(self, name: str) -> collections.abc.Callable[..., NoReturn]:
        def refuse(*_: object, **__: object) -> NoReturn:
            entered, place = places.of_caller(sys._getframe(1))  # noqa: SLF001 - no other way to the caller's line
            self._owner.end_misused(misuse(used_name(entered) if entered else f"loop.{name}", place))

        return refuse


def fault_of(error: BaseException) -> faults.StepFault | None:
    """Give the fault of an error that came of using an event loop's library; None for any other."""
    if isinstance(error, WorkflowMisused):
        return dataclasses.replace(error.fault, where=error.fault.where or places.of_error(error))
    entry = places.loop_entry(error)
    if entry is not None:
        return misuse(used_name(entry), places.of_error(error))
    if type(error).__name__ == "SynchronousOnlyOperation" and type(error).__module__.startswith("django."):
        return misuse("the database", places.of_error(error))
    return None
