"""Hold one pass of a workflow function: what it called, what it awaited, and how the pass ended.

An activation numbers calls, recognises journalled ones by their digest, answers awaits out of the journal, and refuses
everything once it is over. It never runs the function (``driver`` does) and never waits. Decisions that depend on
*when* calls ended, and so could come out differently on replay, are written down (``marks``).
"""

import collections.abc
import dataclasses
import random
import threading
from typing import Any, NoReturn

import pydantic

from heddle.core import faults, identity, ids, plan, step
from heddle.program import blame, call, encoding, marks, types
from heddle.program.errors import (
    ActivationOver,
    OutsideWorkflow,
    RunStopping,
    StepFailed,
    ValueRefused,
    WorkflowMisused,
)

CALLS_MAX = 10_000
AWAITS_MAX = 1_000
REFUSALS_MAX = 1_000
_NOT_SUCCEEDED = step.TERMINAL - {step.StepState.SUCCEEDED}

Waiting = collections.abc.Generator[object, None, list[Any]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """End a rehearsal: the function went past what it had called when the request to stop came."""


class _Here(threading.local):
    activation: "Activation | None" = None


_here = _Here()


def current() -> "Activation | None":
    """Give the activation this thread is in, None outside of workflows."""
    return _here.activation


def required(form: str, instead: str) -> "Activation":
    """Give the activation this thread is in. Raises OutsideWorkflow saying what to use instead."""
    activation = _here.activation
    if activation is None:
        raise OutsideWorkflow(f"{form} has a meaning only inside of a running workflow; {instead}")
    return activation


def enter(activation: "Activation | None") -> "Activation | None":
    """Make an activation this thread's own and give the one before it, to be put back."""
    before = _here.activation
    _here.activation = activation
    return before


class Activation:
    """Record one pass over a journal. Belongs to one thread."""

    def __init__(self, journal: plan.Journal, *, newest_version: collections.abc.Callable[[str], int]) -> None:
        self.journal = journal
        self.ending: plan.Ending | Rehearsed | None = None
        self.planned: list[plan.PlannedCall] = []
        self.awaited: set[int] = set()
        self.handled: set[int] = set()
        self.patches: dict[str, bool] = {}
        self.marks: list[str] = []
        self.cancels: set[int] = set()
        self.awaits = 0
        self.stop_at: int | None = None
        self.is_leaving = False
        self.is_rehearsal = False
        self._made = 0
        self._outputs: dict[int, identity.JsonValue] = {}
        self._chances = 0
        self._refusals = 0
        self._entries = journal.entries
        self._journalled_to = max(journal.entries, default=0)
        self._newest_version = newest_version
        self._chosen = marks.failures(journal.patches) if journal.patches else {}
        self._winners = marks.winners(journal.patches) if journal.patches else {}
        self._lost: set[int] = set()

    def make(
        self,
        *,
        kind: step.StepKind,
        name: str,
        version: int | None,
        arguments: collections.abc.Mapping[str, object],
        options: plan.CallOptions,
        decode: call.Decode,
        output: identity.JsonValue = None,
        bytes_max: int = encoding.INLINE_BYTES_MAX,
    ) -> call.Call[Any]:
        """Number a call; plan it unless it is journalled. ``version`` None: the newest loaded. Raises ValueRefused."""
        if self.ending is not None:
            self._refuse(unless_stubborn=True)
            return call.Call(owner=self, ordinal=0, name=name, decode=decode)
        edges: set[int] = set()
        encoded = self._encode(name, arguments, edges, bytes_max)
        digest = identity.digest(kind=kind, name=name, arguments=encoded)
        ordinal = self._made + 1
        entry = self._entries.get(ordinal)
        if entry is not None:
            if entry.digest != digest:
                self._changed(ordinal, entry, kind, name)
        elif self.is_rehearsal and ordinal > self.journal.stop_ordinal:
            self.end(Rehearsed())
        elif ordinal > CALLS_MAX:
            self.end_misused(
                blame.misuse(
                    f"the run made more than {CALLS_MAX:,} calls; split it over child workflows, each a run of its own"
                )
            )
        else:
            if version is None:
                version = self._newest_version(name)
            self.planned.append(
                plan.PlannedCall(
                    ordinal=ordinal,
                    kind=kind,
                    name=name,
                    version=version,
                    digest=digest,
                    arguments=encoded,
                    parents=tuple(sorted(edges)),
                    options=options,
                    output=output,
                )
            )
            if kind is step.StepKind.NOW:
                self._outputs[ordinal] = output
        self._made = ordinal
        return call.Call(owner=self, ordinal=ordinal, name=name, decode=decode)

    def _encode(
        self, name: str, arguments: collections.abc.Mapping[str, object], edges: set[int], bytes_max: int
    ) -> dict[str, identity.JsonValue]:
        try:
            encoded = {
                key: encoding.encode(value, path=key, edges=edges, owner=self, depth=1)
                for key, value in arguments.items()
            }
        except identity.NotJson as error:
            raise ValueRefused(blame.misuse(f"{name}(…): {error}")) from error
        if encoding.size_bytes(encoded) > bytes_max:
            for key, value in encoded.items():
                too_large = encoding.oversize(value, place=key, bytes_max=bytes_max)
                if too_large is not None:
                    raise ValueRefused(
                        faults.StepFault(fault=faults.Fault.TOO_LARGE, message=f"{name}(…): {too_large}")
                    )
        return encoded

    def wait(self, calls: collections.abc.Sequence[call.Call[Any]], max_failed: int) -> Waiting:
        """Give the results of calls, None for each tolerated failure; yield once to suspend, never to come back.

        Raises StepFailed when more than ``max_failed`` did not succeed, RunStopping at the one await where the run is
        told to stop.
        """
        if self.ending is not None:
            self._refuse(unless_stubborn=True)
            yield self
        self._begin_await(calls)
        ending = self._unless_ready(calls, max_failed)
        if ending is not None:
            self.ending = ending
            yield self
            raise ActivationOver
        return [self._result(one) for one in calls]

    def race(self, calls: collections.abc.Sequence[call.Call[Any]], max_failed: int, *, cancel_losers: bool) -> Waiting:
        """Give the place and the result of the call that succeeded first; yield once to suspend, never to come back.

        Raises StepFailed once more than ``max_failed`` have failed before one succeeded.
        """
        if self.ending is not None:
            self._refuse(unless_stubborn=True)
            yield self
        self._begin_await(calls)
        ordinals = list(dict.fromkeys(call.ordinal_of(one) for one in calls))
        winner, is_new = self._winner(calls, ordinals, max_failed)
        if winner is None:
            self.awaited.update(ordinals)
            open_calls = tuple(ordinal for ordinal in ordinals if not self._has_ended(ordinal))
            self.ending = plan.Suspended(need=plan.Need(ordinals=open_calls, count=1))
        elif isinstance(unloaded := self.outputs_of((winner,)), plan.NeedOutputs):
            self.ending = unloaded
        if self.ending is not None:
            yield self
            raise ActivationOver
        assert winner is not None, "a race that is not over suspends"
        self._part_with(ordinals, winner, is_new=is_new, cancel_losers=cancel_losers)
        place = next(place for place, one in enumerate(calls) if call.ordinal_of(one) == winner)
        return [place, self._result(calls[place])]

    def _begin_await(self, calls: collections.abc.Sequence[call.Call[Any]]) -> None:
        for one in calls:
            if call.owner_of(one) is not self:
                self.end_misused(blame.misuse(f"{one!r} belongs to another run and cannot be awaited here"))
        self.awaits += 1
        if self.awaits > AWAITS_MAX:
            instead = "await several calls at once with heddle.all_of, or use child workflows"
            self.end_misused(blame.misuse(f"the run awaited more than {AWAITS_MAX:,} times; {instead}"))
        if self.awaits == self.stop_at:
            assert self.journal.stopping is not None
            raise RunStopping(self.journal.stopping)

    def _has_ended(self, ordinal: int) -> bool:
        entry = self._entries.get(ordinal)
        if entry is None:
            return ordinal in self._outputs
        return entry.state in step.TERMINAL and not self._was_open_at_stop(entry)

    def _winner(
        self, calls: collections.abc.Sequence[call.Call[Any]], ordinals: list[int], max_failed: int
    ) -> tuple[int | None, bool]:
        """Give the call that won, as written down or else as the journal has it now, and whether that is new."""
        recorded = self._winners.get(self.awaits)
        if recorded in ordinals:
            return recorded, False
        chosen = self._chosen.get(self.awaits)
        if chosen in ordinals and chosen in self._entries and self._entries[chosen].state in _NOT_SUCCEEDED:
            self.handled.update(ordinals)
            self._raise_failed(calls, [chosen], is_early=False)
        ended = [ordinal for ordinal in ordinals if self._has_ended(ordinal)]
        entries = {ordinal: self._entries.get(ordinal) for ordinal in ended}
        order = {o: 0.0 if entry is None else entry.ended_at_s or 0.0 for o, entry in entries.items()}
        failed: list[int] = []
        for ordinal in sorted(ended, key=lambda ordinal: (order[ordinal], ordinal)):
            entry = entries[ordinal]
            if entry is None or entry.state is step.StepState.SUCCEEDED:
                return ordinal, True
            failed.append(ordinal)
            if len(failed) > max_failed:
                self.handled.update(ordinals)
                self._raise_failed(calls, failed[-1:], is_early=True)
        return None, False

    def _part_with(self, ordinals: list[int], winner: int, *, is_new: bool, cancel_losers: bool) -> None:
        losers = [ordinal for ordinal in ordinals if ordinal != winner]
        # What becomes of a loser is nobody's business any more: its failure does not fail the run.
        self.handled.update(losers)
        self._lost.update(losers)
        if is_new and losers:
            self.marks.append(marks.first(self.awaits, winner))
            if cancel_losers:
                # A signal that came after the winner is put back, so that it is not lost with its call.
                ended = {ordinal: self._entries.get(ordinal) for ordinal in losers if self._has_ended(ordinal)}
                self.cancels.update(o for o in losers if o not in ended or blame.took_signal(ended[o]))

    def _unless_ready(
        self, calls: collections.abc.Sequence[call.Call[Any]], max_failed: int
    ) -> plan.Suspended | plan.NeedOutputs | None:
        unfinished: list[int] = []
        failed: list[int] = []
        unloaded: list[int] = []
        ordinals = dict.fromkeys(call.ordinal_of(one) for one in calls)
        for ordinal in ordinals:
            entry = self._entries.get(ordinal)
            if entry is None:
                if ordinal not in self._outputs:
                    unfinished.append(ordinal)
            elif entry.state is step.StepState.SUCCEEDED:
                if not entry.has_output:
                    unloaded.append(ordinal)
            elif entry.state not in step.TERMINAL or self._was_open_at_stop(entry):
                unfinished.append(ordinal)
            else:
                failed.append(ordinal)
        self.awaited.update(ordinals)
        self.handled.update(failed)
        if len(failed) > max_failed:
            self.handled.update(ordinals)
            self._raise_failed(calls, failed, is_early=bool(unfinished))
        if unfinished:
            return plan.Suspended(
                need=plan.Need(ordinals=tuple(unfinished), count=len(unfinished), max_failed=max_failed - len(failed))
            )
        return plan.NeedOutputs(ordinals=tuple(unloaded)) if unloaded else None

    def _was_open_at_stop(self, entry: plan.JournalEntry) -> bool:
        # The request to stop cancels what was open, mostly before the function hears of it; to the function it is open.
        is_stopped = entry.state in (step.StepState.CANCELLED, step.StepState.SKIPPED)
        is_here = self.is_rehearsal and self._made >= self.journal.stop_ordinal
        return is_stopped and is_here and entry.ordinal not in self._lost

    def _raise_failed(
        self, calls: collections.abc.Sequence[call.Call[Any]], failed: list[int], *, is_early: bool
    ) -> NoReturn:
        # Others may fail later, ahead of this one in the list; the replay must still raise this one.
        ordinal = self._chosen.get(self.awaits, failed[0])
        if ordinal not in failed:
            ordinal = failed[0]
        if is_early:
            self.marks.append(marks.failed(self.awaits, ordinal))
        name = next(call.name_of(one) for one in calls if call.ordinal_of(one) == ordinal)
        raise StepFailed(fault=blame.fault_of(self._entries[ordinal], name), step=name, ordinal=ordinal)

    def _result(self, one: call.Call[Any]) -> object:
        entry = self._entries.get(call.ordinal_of(one))
        if entry is None:
            return encoding.take(one, self._outputs[call.ordinal_of(one)])
        if entry.state is not step.StepState.SUCCEEDED:
            return None
        try:
            return encoding.take(one, entry.output)
        except pydantic.ValidationError as error:
            fits_not = "; ".join(types.sentences(error, root="output"))
            self.end(
                plan.Raised(
                    fault=blame.changed(self.journal, f"the journalled result of {one!r} does not fit: {fits_not}")
                )
            )

    def is_patched(self, name: str) -> bool:
        """Tell whether this run takes the new way; remembers, so that one run never takes both."""
        if self.ending is not None:
            self._refuse()
        known = self.patches.get(name)
        if known is None:
            known = name in self.journal.patches or self._made >= self._journalled_to
            self.patches[name] = known
        return known

    def chance(self) -> random.Random:
        """Give chance that is the same on every replay, and different at every asking."""
        self._chances += 1
        # Negative: the engine seeds its own chance with the ordinals of steps.
        return random.Random(ids.seed(run=self.journal.run_id, ordinal=-self._chances))  # noqa: S311 - reproducible on purpose

    def end(self, ending: plan.Ending | Rehearsed) -> NoReturn:
        """End the activation from inside of the function and unwind it."""
        self.ending = ending
        raise ActivationOver

    def outputs_of(
        self, ordinals: tuple[int, ...]
    ) -> dict[int, identity.JsonValue] | plan.Suspended | plan.NeedOutputs | None:
        """Give the outputs of calls that are returned, or the ending that waits for them; None when one failed."""
        entries = {ordinal: self._entries.get(ordinal) for ordinal in ordinals}
        if any(entry is not None and entry.state in _NOT_SUCCEEDED for entry in entries.values()):
            return None
        self.awaited.update(ordinals)
        if open_calls := tuple(ordinal for ordinal in ordinals if not self._has_ended(ordinal)):
            return plan.Suspended(need=plan.Need(ordinals=open_calls, count=len(open_calls), max_failed=0))
        if unloaded := tuple(o for o, entry in entries.items() if entry is not None and not entry.has_output):
            return plan.NeedOutputs(ordinals=unloaded)
        return {o: self._outputs[o] if entry is None else entry.output for o, entry in entries.items()}

    def leave(self, ending: plan.Ending) -> NoReturn:
        """End once every call made has ended; until then the function waits here, where nothing can be raised."""
        if self.ending is not None:
            self._refuse()
        self.is_leaving = True
        open_calls = tuple(ordinal for ordinal in range(1, self._made + 1) if not self._has_ended(ordinal))
        if open_calls:
            self.end(plan.Suspended(need=plan.Need(ordinals=open_calls, count=len(open_calls))))
        changed_fault = self.unreached()
        self.end(ending if changed_fault is None else plan.Raised(fault=changed_fault))

    def end_misused(self, fault: faults.StepFault) -> NoReturn:
        """End the activation because the function did what a workflow may not do, whatever it does about the error."""
        self.ending = plan.Raised(fault=fault)
        raise WorkflowMisused(fault)

    def _changed(self, ordinal: int, entry: plan.JournalEntry, kind: step.StepKind, name: str) -> NoReturn:
        if (entry.kind, entry.name) == (kind, name):
            difference = f"the code calls {name} with other arguments than journalled"
        else:
            difference = f"the journal has {entry.kind} {entry.name}, the code calls {kind} {name}"
        self.end(plan.Raised(fault=blame.changed(self.journal, f"at call {ordinal} {difference}")))

    def unreached(self) -> faults.StepFault | None:
        """Give the fault of a function that returned before it made every journalled call."""
        if self._made >= self._journalled_to:
            return None
        missing = self._entries[min(ordinal for ordinal in self._entries if ordinal > self._made)]
        return blame.changed(
            self.journal,
            f"the journal has call {missing.ordinal}, {missing.kind} {missing.name}; the code returns without it",
        )

    def _refuse(self, *, unless_stubborn: bool = False) -> None:
        # A function that swallows every refusal would spin for ever: in the end it gets a call that suspends for good.
        self._refusals += 1
        if not unless_stubborn or self._refusals <= REFUSALS_MAX:
            raise ActivationOver
