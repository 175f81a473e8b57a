"""Step a workflow function by hand over its journal, once, and tell what it decided.

Pure over the journal: the same journal gives the same plan. The function runs in the calling thread, with a stub in
place of the running loop, until it returns, raises, or awaits a call that has not ended; then it is closed in silence.
Nothing here waits, stores or retries. Before it in the walk: the engine loads the journal. After: the engine writes
the plan, in one transaction.
"""

import asyncio
import collections.abc
import contextvars
import dataclasses
import sys
from typing import Any

import pydantic

from heddle.core import faults, identity, plan
from heddle.program import activation, blame, encoding, loop, marks, places, registry, returning, types
from heddle.program.definitions import WorkflowDefinition
from heddle.program.errors import ActivationOver, CallNotAwaited, FaultRaised, OutputRefused, StepFailed

MESSAGE_CHARACTERS_MAX = 2_000
_WRONG = frozenset({faults.Fault.WORKFLOW_CHANGED, faults.Fault.WORKFLOW_MISUSE})


def activate(definition: WorkflowDefinition, journal: plan.Journal) -> plan.Plan:
    """Run one activation. Never raises for what an author's code does, which may block: give it a thread of its own."""
    if journal.stopping is None:
        return _plan(journal, _pass(definition, journal))
    stop_at = marks.stopped_at(journal)
    is_new = stop_at is None
    if stop_at is None:
        rehearsal = _pass(definition, journal, is_rehearsal=True)
        if _is_conclusive(rehearsal.ending):
            return _plan(journal, rehearsal)
        if rehearsal.is_leaving:
            return _untold(journal)
        stop_at = rehearsal.awaits
    if stop_at == 0:
        # Nothing was awaited before the request: there is no place to raise it at, and nothing to clean up.
        return _untold(journal)
    stopping = _pass(definition, journal, stop_at=stop_at)
    if is_new:
        stopping.marks.append(marks.stop(journal, stop_at))
    return _plan(journal, stopping)


def _untold(journal: plan.Journal) -> plan.Plan:
    """End a function that has no place left where it could be told to stop."""
    return plan.Plan(run_id=journal.run_id, calls=(), ending=plan.Raised(fault=_stopped(journal, "")))


def _is_conclusive(ending: plan.Ending | activation.Rehearsed | None) -> bool:
    """Tell whether a rehearsal found that the function cannot be replayed at all, or not yet."""
    match ending:
        case plan.NeedOutputs():
            return True
        case plan.Raised(fault=fault):
            return fault.fault in _WRONG
        case _:
            return False


def _pass(
    definition: WorkflowDefinition, journal: plan.Journal, *, stop_at: int | None = None, is_rehearsal: bool = False
) -> activation.Activation:
    """Run the function once and leave its ending in the activation."""
    running = activation.Activation(journal, newest_version=registry.newest_version)
    running.stop_at = stop_at
    running.is_rehearsal = is_rehearsal
    try:
        arguments = definition.decode_input(journal.input)
    except pydantic.ValidationError as error:
        difference = "its input does not fit any more: " + "; ".join(types.sentences(error))
        running.ending = plan.Raised(fault=blame.changed(journal, difference))
        return running
    before = activation.enter(running)
    assert before is None, "an activation does not run inside of another"
    previous_loop = asyncio._get_running_loop()  # noqa: SLF001 - asyncio offers no other way to stand in for its loop
    hooks = sys.get_asyncgen_hooks()
    asyncio._set_running_loop(loop.StubLoop(running))  # type: ignore[arg-type]  # noqa: SLF001
    sys.set_asyncgen_hooks(None, None)
    try:
        contextvars.copy_context().run(_step, definition, running, arguments)
    finally:
        sys.set_asyncgen_hooks(*hooks)
        asyncio._set_running_loop(previous_loop)  # noqa: SLF001
        activation.enter(before)
    return running


def _step(definition: WorkflowDefinition, running: activation.Activation, arguments: dict[str, Any]) -> None:
    coroutine = definition.function(**arguments)
    ending: plan.Ending | None = None
    try:
        yielded = coroutine.send(None)
    except StopIteration as stop:
        ending = _returned(definition, running, stop.value)
    except ActivationOver:
        pass
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the border of author code: what it raises is the run's fault
        ending = plan.Raised(fault=_fault_of(error))
        places.close_strays(error)
    else:
        if yielded is not running:
            place, foreign = places.of_suspended(coroutine)
            ending = plan.Raised(fault=loop.misuse(foreign, place))
    if running.ending is None or _is_same_placed(running.ending, ending):
        running.ending = ending
    if not _is_closed(coroutine):
        name = f"workflow {definition.name}"
        message = f"{name} catches BaseException around an await and goes on; catch Exception or heddle.RunStopping"
        fault = faults.StepFault(fault=faults.Fault.WORKFLOW_MISUSE, message=message, where=name)
        running.ending = plan.Raised(fault=fault)


def _is_same_placed(before: object, after: plan.Ending | None) -> bool:
    """Tell whether a fault recorded when it happened was also raised, so that its line is known."""
    return (
        isinstance(before, plan.Raised)
        and isinstance(after, plan.Raised)
        and before.fault == dataclasses.replace(after.fault, where=before.fault.where)
    )


def _is_closed(coroutine: collections.abc.Coroutine[Any, Any, Any]) -> bool:
    """Unwind a suspended function and tell whether it let itself be.

    What it does meanwhile is refused, and what it raises concerns nobody.
    """
    try:
        coroutine.close()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001, S110 - the ending is decided; this was refused on the way out
        pass
    return getattr(coroutine, "cr_frame", None) is None


def _returned(definition: WorkflowDefinition, running: activation.Activation, value: object) -> plan.Ending:
    edges: set[int] = set()
    where = f"workflow {definition.name}"
    try:
        shape = encoding.encode(value, path="output", edges=edges, owner=running)
        if not edges:
            shape = definition.encode_output(value)
    except OutputRefused as error:
        return plan.Raised(fault=error.fault)
    except identity.NotJson as error:
        return plan.Raised(fault=faults.StepFault(fault=faults.Fault.BAD_OUTPUT, message=str(error), where=where))
    too_large = encoding.oversize(shape, place="output")
    if too_large is not None:
        return plan.Raised(fault=faults.StepFault(fault=faults.Fault.TOO_LARGE, message=too_large, where=where))
    changed = running.unreached()
    if changed is not None:
        return plan.Raised(fault=changed)
    if not edges:
        return plan.Returned(shape=shape, refs=())
    return returning.ending(definition, running, value, shape=shape, refs=tuple(sorted(edges)))


def _fault_of(error: BaseException) -> faults.StepFault:
    """Classify what an author's function raised, and name the author's line."""
    misused = loop.fault_of(error)
    if misused is not None:
        return misused
    where = places.of_error(error)
    match error:
        case StepFailed():
            return faults.StepFault(fault=error.fault.fault, message=_cut(str(error)), where=where)
        case FaultRaised():
            return dataclasses.replace(error.fault, where=where)
        case CallNotAwaited():
            return faults.StepFault(fault=faults.Fault.WORKFLOW_MISUSE, message=_cut(str(error)), where=where)
        case _:
            message = _cut(f"{type(error).__qualname__}: {_text(error)}")
            return faults.StepFault(fault=faults.Fault.CODE_RAISED, message=message, where=where)


def _stopped(journal: plan.Journal, where: str) -> faults.StepFault:
    if journal.stopping is plan.StopReason.EXPIRED:
        return faults.StepFault(fault=faults.Fault.DEADLINE, message="the run's time was over", where=where)
    return faults.StepFault(fault=faults.Fault.CANCELLED, message="the run was asked to stop", where=where)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - an author's __str__ may raise anything; the run still needs its fault
        return f"(its text cannot be made: {type(second).__qualname__})"


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS_MAX else text[: MESSAGE_CHARACTERS_MAX - 1] + "…"


def _plan(journal: plan.Journal, running: activation.Activation) -> plan.Plan:
    """Write down what a pass decided. Calls of a function that raised are dropped, except those it made to clean up."""
    ending = running.ending
    assert ending is not None
    assert not isinstance(ending, activation.Rehearsed), "a rehearsal is never written"
    if isinstance(ending, plan.NeedOutputs):
        return plan.Plan(run_id=journal.run_id, calls=(), ending=ending)
    has_stopped = running.stop_at is not None and running.awaits >= running.stop_at
    if has_stopped:
        ending = _ending_of_stopped(journal, ending)
    calls = () if isinstance(ending, plan.Raised) and not has_stopped else tuple(running.planned)
    made = running.journal.entries.keys() | {call.ordinal for call in calls}
    patches = [name for name, taken in running.patches.items() if taken and name not in journal.patches]
    written = [mark for mark in running.marks if mark not in journal.patches]
    return plan.Plan(
        run_id=journal.run_id,
        calls=calls,
        ending=ending,
        handled=tuple(sorted(running.handled & made)),
        awaited=tuple(
            ordinal
            for ordinal in sorted(running.awaited & made)
            if ordinal not in journal.entries or not journal.entries[ordinal].has_output
        ),
        patches=(*patches, *written),
        cancels=tuple(sorted(running.cancels & made)),
    )


def _ending_of_stopped(journal: plan.Journal, ending: plan.Ending) -> plan.Ending:
    """Give a function that was told to stop the fault of that, however it ended, unless it is wrong itself."""
    match ending:
        case plan.Returned() | plan.Continued():
            return plan.Raised(fault=_stopped(journal, ""))
        case plan.Raised(fault=fault) if fault.fault not in _WRONG:
            return plan.Raised(fault=_stopped(journal, fault.where))
        case _:
            return ending
