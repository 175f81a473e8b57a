"""Run a workflow in this process, on a journal in memory: for authors' tests.

The same driver, no store, no providers, no waiting: sleeps end at once and move the clock. Models need an
implementation, steps run as the functions they are unless one is given, child workflows run as runs of their own. A
run is not durable here and is never retried. Neighbours: the driver plans; the engine does in earnest what
``LocalRun`` does in play.
"""

import asyncio
import collections.abc
import dataclasses
import inspect
import uuid
from typing import Any

from heddle.core import faults, identity, plan, step
from heddle.program import driver, encoding, mapping, registry
from heddle.program.definitions import WorkflowDefinition
from heddle.program.errors import ArgumentsRefused, InputRefused, NotRegistered, OutputRefused, ProgramError

Implementations = collections.abc.Mapping[str, collections.abc.Callable[..., Any]]
ACTIVATIONS_MAX = 10_000
FIRST_RUN = uuid.UUID(int=1)
START_S = 1_750_000_000.0
# What one call ends later than the one before it, so that the order of ends is told from the journal.
_TICK_S = 1e-6


class LocalRunFailed(ProgramError):
    """Say how a local run failed; ``fault`` is what a real run would have journalled."""

    def __init__(self, workflow: str, fault: faults.StepFault) -> None:
        super().__init__(
            f"{workflow} failed, {fault.fault}: {fault.message}" + (f" ({fault.where})" if fault.where else "")
        )
        self.fault = fault


class LocalRun:
    """Hold one run and move it by hand: ``activate``, then ``finish`` a due call, in any order, until it ``is_over``.

    ``history`` keeps every planned call; two runs of the same workflow and outcomes must have equal ones.
    """

    def __init__(
        self,
        workflow: WorkflowDefinition,
        input: collections.abc.Mapping[str, object],  # noqa: A002 - the word of the API
        implementations: Implementations,
        *,
        signals: collections.abc.Mapping[str, object] | None = None,
        run_id: uuid.UUID = FIRST_RUN,
        now_s: float = START_S,
    ) -> None:
        self.workflow = workflow
        self.input = workflow.validate_input(input)
        self._prepare(implementations, signals or {}, run_id=run_id, now_s=now_s)

    def _prepare(
        self,
        implementations: Implementations,
        signals: collections.abc.Mapping[str, object],
        *,
        run_id: uuid.UUID,
        now_s: float,
    ) -> None:
        self.implementations = implementations
        self.signals = dict(signals)
        self.history: list[plan.PlannedCall] = []
        self.entries: dict[int, plan.JournalEntry] = {}
        self.patches: frozenset[str] = frozenset()
        self.handled: set[int] = set()
        self.ending: plan.Ending | None = None
        self.stopping: plan.StopReason | None = None
        self.now_s = now_s
        self.run_id = run_id
        self._stop_ordinal = 0
        self._ended = 0

    def journal(self) -> plan.Journal:
        """Give what the next activation would see."""
        return plan.Journal(
            run_id=self.run_id,
            workflow=self.workflow.name,
            version=self.workflow.version,
            input=self.input,
            entries=dict(self.entries),
            patches=self.patches,
            now_s=self.now_s,
            stopping=self.stopping,
            stop_ordinal=self._stop_ordinal,
            planned=len(self.history),
        )

    def _decide(self) -> plan.Plan:
        return driver.activate(self.workflow, self.journal())

    def _checked(self, resolved: identity.JsonValue) -> identity.JsonValue:
        return self.workflow.validate_output(resolved)

    def activate(self) -> plan.Plan:
        """Run one activation and write its plan into the journal."""
        planned = self._decide()
        for call in planned.calls:
            self.history.append(call)
            is_over = call.kind is step.StepKind.NOW
            self.entries[call.ordinal] = plan.JournalEntry(
                ordinal=call.ordinal,
                kind=call.kind,
                name=call.name,
                digest=call.digest,
                state=step.StepState.SUCCEEDED if is_over else step.StepState.BLOCKED,
                has_output=is_over,
                output=call.output,
                ended_at_s=self.now_s if is_over else None,
            )
        for ordinal in planned.cancels:
            if self.entries[ordinal].state not in step.TERMINAL:
                self._end(ordinal, step.StepState.CANCELLED, fault=plan.lost())
        self.patches |= set(planned.patches)
        self.handled |= set(planned.handled)
        self.ending = planned.ending
        self._skip()
        return planned

    def needs_activation(self) -> bool:
        """Tell whether what the function waits for has come."""
        if self.ending is None:
            return True
        if not isinstance(self.ending, plan.Suspended):
            return False
        need = self.ending.need
        states = [self.entries[ordinal].state for ordinal in need.ordinals]
        failed = sum(state in step.TERMINAL and state is not step.StepState.SUCCEEDED for state in states)
        is_too_many = need.max_failed is not None and failed > need.max_failed
        return is_too_many or sum(state in step.TERMINAL for state in states) >= need.count

    def due(self) -> list[int]:
        """List the calls that could end now, by ordinal."""
        return [
            call.ordinal
            for call in self.history
            if self.entries[call.ordinal].state not in step.TERMINAL
            and all(self.entries[parent].state is step.StepState.SUCCEEDED for parent in call.parents)
        ]

    def finish(self, ordinal: int) -> None:
        """Execute one due call and journal what came of it. Calls that came to depend on a failure are skipped."""
        call = self.history[ordinal - 1]
        try:
            arguments = plan.resolve(call.arguments, lambda parent: self.entries[parent].output)
            output = self._execute(call, arguments)
        except (OutputRefused, ArgumentsRefused, LocalRunFailed) as error:
            self._end(ordinal, step.StepState.FAILED, fault=error.fault)
        except plan.ProjectionMissing as error:
            fault = faults.StepFault(fault=faults.Fault.REJECTED_PERMANENT, message=str(error))
            self._end(ordinal, step.StepState.FAILED, fault=fault)
        except InputRefused as error:
            fault = faults.StepFault(fault=faults.Fault.REJECTED_PERMANENT, message=str(error))
            self._end(ordinal, step.StepState.FAILED, fault=fault)
        except NotRegistered:
            raise
        except Exception as error:  # noqa: BLE001 - the border of author code: what a step raises is its fault
            fault = faults.StepFault(fault=faults.Fault.CODE_RAISED, message=f"{type(error).__qualname__}: {error}")
            self._end(ordinal, step.StepState.FAILED, fault=fault)
        else:
            self._end(ordinal, step.StepState.SUCCEEDED, output=output)
        self._skip()

    def stop(self, reason: plan.StopReason = plan.StopReason.CANCELLED) -> None:
        """Ask the run to stop: open calls are cancelled and the next activation is told."""
        self.stopping = reason
        self._stop_ordinal = len(self.history)
        for call in self.history:
            if self.entries[call.ordinal].state not in step.TERMINAL:
                self._end(call.ordinal, step.StepState.CANCELLED)
        if isinstance(self.ending, plan.Suspended):
            self.ending = None

    def result(self) -> identity.JsonValue:
        """Give the stored form of the result of a run that is over. Raises LocalRunFailed."""
        match self.ending:
            case plan.Raised(fault=fault):
                raise LocalRunFailed(self.workflow.name, fault)
            case plan.Returned(shape=shape):
                self._raise_unhandled()
                try:
                    resolved = plan.resolve(shape, lambda ordinal: self.entries[ordinal].output)
                    return self._checked(resolved)
                except OutputRefused as error:
                    raise LocalRunFailed(self.workflow.name, error.fault) from error
            case _:
                raise RuntimeError(f"{self.workflow.name} is not over; it waits for {self.ending}")

    def following(self) -> "LocalRun | None":
        """Give the run that this one goes on as; None when it does not. Raises LocalRunFailed as ``result`` does."""
        if not isinstance(self.ending, plan.Continued):
            return None
        self._raise_unhandled()
        return LocalRun(
            registry.workflow(self.ending.workflow),
            encoding.decode(self.ending.input),
            self.implementations,
            signals=self.signals,
            run_id=uuid.uuid5(self.run_id, "continued"),
            now_s=self.now_s,
        )

    def _raise_unhandled(self) -> None:
        for call in self.history:
            entry = self.entries[call.ordinal]
            if entry.state is step.StepState.FAILED and not call.options.detach and call.ordinal not in self.handled:
                assert entry.fault is not None
                raise LocalRunFailed(self.workflow.name, entry.fault)

    def _execute(self, call: plan.PlannedCall, arguments: dict[str, identity.JsonValue]) -> identity.JsonValue:
        match call.kind:
            case step.StepKind.STEP:
                definition = registry.step(call.name)
                function = self.implementations.get(call.name, definition.function)
                return definition.encode_output(_called(function, definition.decode_arguments(arguments)))
            case step.StepKind.MODEL:
                model = registry.model(call.name)
                if call.name not in self.implementations:
                    raise NotRegistered(
                        f"model {call.name!r} has no implementation; give implementations={{{call.name!r}: …}}"
                    )
                given = encoding.decode(model.validate_arguments(arguments))
                return model.encode_output(_called(self.implementations[call.name], given))
            case step.StepKind.WORKFLOW if call.name == mapping.NAME:
                return finish(_MapRun(self, call, arguments))
            case step.StepKind.WORKFLOW:
                child = LocalRun(
                    registry.workflow(call.name, call.version),
                    encoding.decode(arguments),
                    self.implementations,
                    signals=self.signals,
                    run_id=uuid.uuid5(self.run_id, str(call.ordinal)),
                    now_s=self.now_s,
                )
                return finish(child)
            case step.StepKind.SLEEP:
                self.now_s += call.options.delay_s or 0.0
                return None
            case step.StepKind.SIGNAL:
                return self._signal(call)
            case step.StepKind.NOW | step.StepKind.ACTIVATION:
                raise AssertionError(f"a call of kind {call.kind} is never due")

    def _signal(self, call: plan.PlannedCall) -> identity.JsonValue:
        if call.name in self.signals:
            return encoding.encode(self.signals[call.name])
        if call.options.delay_s is None:
            raise NotRegistered(
                f"the workflow waits for signal {call.name!r} for ever; give signals={{{call.name!r}: …}}"
            )
        self.now_s += call.options.delay_s
        message = f"no signal {call.name!r} came within {call.options.delay_s:g} s"
        raise OutputRefused(faults.StepFault(fault=faults.Fault.DEADLINE, message=message))

    def _end(
        self,
        ordinal: int,
        state: step.StepState,
        *,
        output: identity.JsonValue = None,
        fault: faults.StepFault | None = None,
    ) -> None:
        self.entries[ordinal] = dataclasses.replace(
            self.entries[ordinal],
            state=state,
            output=output,
            has_output=state is step.StepState.SUCCEEDED,
            fault=fault,
            ended_at_s=self.now_s + self._ended * _TICK_S,
        )
        self._ended += 1

    def _skip(self) -> None:
        # Parents have lower ordinals, so one pass in order reaches every consequence.
        for call in self.history:
            if self.entries[call.ordinal].state not in step.TERMINAL and any(
                self.entries[parent].state in step.TERMINAL
                and self.entries[parent].state is not step.StepState.SUCCEEDED
                for parent in call.parents
            ):
                self._end(call.ordinal, step.StepState.SKIPPED)


class _MapRun(LocalRun):
    """Hold the run behind a call of ``heddle.map``: decided by ``mapping``, its value a list of any results."""

    def __init__(self, parent: LocalRun, call: plan.PlannedCall, arguments: dict[str, identity.JsonValue]) -> None:
        self.workflow = parent.workflow
        self.input = arguments
        run_id = uuid.uuid5(parent.run_id, str(call.ordinal))
        self._prepare(parent.implementations, parent.signals, run_id=run_id, now_s=parent.now_s)

    def _decide(self) -> plan.Plan:
        return mapping.activate(self.journal(), newest_version=registry.newest_version)

    def _checked(self, resolved: identity.JsonValue) -> identity.JsonValue:
        return resolved


def finish(run: LocalRun, choose: collections.abc.Callable[[list[int]], int] = min) -> identity.JsonValue:
    """Carry a run to its end, ``choose`` naming the due call that ends next; give its result, or that of the run it
    goes on as. Raises LocalRunFailed.
    """
    for _ in range(ACTIVATIONS_MAX * 2):
        if run.needs_activation():
            run.activate()
            continue
        following = run.following()
        if following is not None:
            run = following
            continue
        due = run.due()
        if not due or isinstance(run.ending, plan.Raised):
            return run.result()
        run.finish(choose(due))
    raise RuntimeError(f"{run.workflow.name} did not end within {ACTIVATIONS_MAX * 2:,} moves")


def run_locally(
    workflow: WorkflowDefinition,
    input: collections.abc.Mapping[str, object],  # noqa: A002 - the word of the API
    implementations: Implementations | None = None,
    *,
    signals: collections.abc.Mapping[str, object] | None = None,
) -> Any:
    """Run a workflow to its end in this process and give its result as the annotated type.

    ``implementations``: functions by name, one for each model and for steps to be replaced. ``signals``: payloads by
    name. Raises LocalRunFailed with the fault a real run would have, InputRefused for an input that does not fit.
    """
    return workflow.output.decode(finish(LocalRun(workflow, input, implementations or {}, signals=signals)))


def _called(function: collections.abc.Callable[..., Any], keywords: dict[str, Any]) -> object:
    value = function(**keywords)
    if not inspect.iscoroutine(value):
        return value
    if asyncio._get_running_loop() is not None:  # noqa: SLF001 - asking politely raises
        value.close()
        raise RuntimeError(
            "run_locally runs async steps in a loop of its own: call it from a plain test, not from an async one"
        )
    return asyncio.run(value)
