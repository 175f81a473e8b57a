"""Ask providers after jobs: those they accepted, those of which it is not known whether they did, those of runs that
were stopped.

A callback only makes a poll due; this is the one place that learns an asynchronous result. An unknown outcome is
never sent again blindly: class A repeats itself under its key, B looks up, C does what the model's owner chose.
Before this in the walk: claim (purpose ``poll``). After: settle.
"""

import dataclasses
from typing import Any, assert_never

from heddle.core import attempt, faults, settle
from heddle.engine import execute, observe, quality, results, scores
from heddle.engine import parts as parts_module
from heddle.ports import provider as provider_port
from heddle.ports import stopping, store
from heddle.program.errors import FaultRaised
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events

_POLL_MIN_S = 0.2
# Attempts of which the provider may have a job.
_OPEN = frozenset(
    state.value for state in (attempt.AttemptState.SENDING, attempt.AttemptState.ACCEPTED, attempt.AttemptState.UNKNOWN)
)
# Attempts that were closed before anybody knew what became of them.
_GIVEN_UP = frozenset((attempt.AttemptState.REJECTED.value, attempt.AttemptState.ABANDONED.value))
# Attempts of which the answer came when nobody waited for it: in doubt, or cancelled and begun again since.
_ANSWERED = frozenset({attempt.AttemptState.DONE.value, attempt.AttemptState.LATE.value})
# Answers to a re-send that say nothing of the first send: the job may exist all the same.
_TELLS_NOTHING = frozenset(
    {
        faults.Fault.NOT_SENT,
        faults.Fault.THROTTLED,
        faults.Fault.REJECTED_TRANSIENT,
        faults.Fault.SENT_UNKNOWN,
        faults.Fault.PARTIAL,
        faults.Fault.UNCLASSIFIED,
    }
)


class Poller:
    """Poll, reconcile and cancel jobs of one worker."""

    def __init__(self, parts: parts_module.Parts, executor: execute.Executor) -> None:
        self._parts = parts
        self._executor = executor

    async def act(self, claimed: store.Claimed) -> None:
        """Do what a step in the poll lane needs, to its settlement."""
        endpoint = self._parts.endpoints.get(claimed.endpoint_id or 0)
        if endpoint is None:
            await self._executor.give_back_unknown(claimed)
            return
        with observe.bound(claimed):
            try:
                request = await self._executor.request(claimed, endpoint, _sent_arguments(claimed))
            except FaultRaised as error:
                self._executor.conclude(claimed, settle.Faulted(fault=error.fault), endpoint)
                return
            if claimed.state == "cancelled":
                await self._cancel(claimed, endpoint, request)
                return
            outcome = await self._outcome(claimed, endpoint, request)
            answered = self._answered(claimed, request, outcome)
            outcome = await quality.judged(self._parts, claimed, endpoint, request, self._decided(claimed, outcome))
            self._executor.conclude(claimed, self._bounded(outcome), endpoint, answered=answered)

    def _answered(
        self, claimed: store.Claimed, request: provider_port.ProviderRequest, outcome: settle.Outcome
    ) -> scores.Answered:
        """Tell what a poll shows besides its outcome; a job is timed from its send to the poll that found its end."""
        held = self._parts.hold.get((claimed.run_id, claimed.ordinal))
        since_s = 0.0 if held is None else self._parts.clock.monotonic_s() - held.taken_at_s
        age_s = None if claimed.sent_for_s is None else claimed.sent_for_s + since_s
        queue_s = None
        if settle.was_queued(claimed.note):
            is_queued = isinstance(outcome, settle.StillRunning) and outcome.is_queued is not False
            queue_s = None if is_queued else age_s
        elif isinstance(outcome, settle.StillRunning) and outcome.is_queued is False and not claimed.note:
            queue_s = 0.0
        return scores.Answered(
            latency_s=age_s if isinstance(outcome, settle.Completed) else None,
            is_promised=request.callback_url is not None,
            queue_s=queue_s,
        )

    async def _outcome(
        self, claimed: store.Claimed, endpoint: parts_module.Endpoint, request: provider_port.ProviderRequest
    ) -> settle.Outcome:
        if claimed.attempt_state in _ANSWERED and claimed.result is not None:
            recorder.event(events.ATTEMPT_RESOLVED, endpoint=endpoint.row.name, state="done")
            return settle.Completed(output=claimed.result)
        if claimed.handle is not None:
            return await self._poll(claimed, claimed.handle, endpoint, request)
        if claimed.attempt_state == attempt.AttemptState.REJECTED.value:
            # Whoever was thought dead has said since that it was refused, or never sent: there is no job, and a closed
            # attempt would take none, so that what is sent under its key would be asked after for ever. Nor is it
            # counted for how long its outcome has not been known.
            return settle.Absent(is_certain=True)
        return await self._reconcile(claimed, endpoint, request)

    def _decided(self, claimed: store.Claimed, outcome: settle.Outcome) -> settle.Outcome:
        """Let a call be made again, as was decided once, where a job that was heard of late cannot be asked after."""
        is_overdue = (claimed.sent_for_s or 0.0) > self._parts.settings.job_at_most_s
        is_open = isinstance(outcome, settle.StillRunning) and is_overdue
        if claimed.attempt_state in _GIVEN_UP and (is_open or isinstance(outcome, settle.Unknown)):
            return settle.Absent(is_certain=True)
        return outcome

    async def _poll(
        self,
        claimed: store.Claimed,
        handle: str,
        endpoint: parts_module.Endpoint,
        request: provider_port.ProviderRequest,
    ) -> settle.Outcome:
        try:
            outcome = await endpoint.provider.poll(handle, request)
        except Exception as error:  # noqa: BLE001 - the border to an adapter: a poll that raises tells nothing about the job
            recorder.event(events.REPLY_UNCLASSIFIED, error=error, endpoint=endpoint.row.name)
            return settle.StillRunning(poll_after_s=self._parts.settings.poll_after_s, note="the last poll failed")
        return await results.kept(claimed, outcome, request.artifacts)

    async def _reconcile(
        self, claimed: store.Claimed, endpoint: parts_module.Endpoint, request: provider_port.ProviderRequest
    ) -> settle.Outcome:
        provider = endpoint.provider
        outcome: settle.Outcome
        match provider.capabilities.idempotency:
            case attempt.IdempotencyClass.A:
                outcome = await self._executor.answer(claimed, endpoint, request)
                if isinstance(outcome, settle.Faulted) and _tells_nothing(outcome, endpoint):
                    outcome = settle.Unknown(message=outcome.fault.message)
            case attempt.IdempotencyClass.B:
                try:
                    outcome = await results.kept(claimed, await provider.lookup(request), request.artifacts)
                except Exception as error:  # noqa: BLE001 - the border to an adapter: a look-up that raises tells nothing
                    recorder.event(events.REPLY_UNCLASSIFIED, error=error, endpoint=endpoint.row.name)
                    outcome = settle.Unknown(message=f"{type(error).__name__}: {error}"[:2_000])
            case attempt.IdempotencyClass.C:
                outcome = settle.Unknown(message="the provider can be asked neither to repeat nor to look it up")
            case _:
                assert_never(provider.capabilities.idempotency)
        if isinstance(outcome, settle.Unknown):
            return outcome
        recorder.event(events.ATTEMPT_RESOLVED, endpoint=endpoint.row.name, state=type(outcome).__name__.lower())
        return outcome

    def _bounded(self, outcome: settle.Outcome) -> settle.Outcome:
        """Keep the adapter's wish for the next poll within bounds."""
        settings = self._parts.settings
        match outcome:
            case settle.StillRunning():
                wait_s = min(settings.poll_after_max_s, max(_POLL_MIN_S, outcome.poll_after_s))
                return dataclasses.replace(outcome, poll_after_s=wait_s)
            case settle.Accepted():
                wait_s = min(settings.poll_after_max_s, max(_POLL_MIN_S, outcome.poll_after_s))
                return settle.Accepted(handle=outcome.handle, poll_after_s=wait_s)
            case _:
                return outcome

    # Jobs of calls that were cancelled

    async def _cancel(
        self, claimed: store.Claimed, endpoint: parts_module.Endpoint, request: provider_port.ProviderRequest
    ) -> None:
        """Ask the provider to stop a job of a stopped call; let go of its slot once the job is known to be over.

        A job that may have been accepted is looked up first. Nothing is sent for a call that is cancelled, so where
        there is no look-up the slot is held as long as a call may take, and the attempt stays ``unknown``.
        """
        if claimed.attempt_state not in _OPEN:
            await self._close(claimed, attempt.AttemptState(claimed.attempt_state or attempt.AttemptState.ABANDONED))
            return
        handle, outcome = claimed.handle, await self._found(claimed, endpoint, request)
        if isinstance(outcome, settle.Accepted):
            handle = outcome.handle
        if handle is not None and isinstance(outcome, settle.Accepted | settle.StillRunning):
            outcome = await self._asked_to_stop(handle, endpoint, request)
        match outcome:
            case settle.Completed():
                await self._close(claimed, attempt.AttemptState.DONE, cost=outcome.cost_nano_usd)
            case settle.Faulted() if outcome.billed_nano_usd is None:
                # It came to its end and is no use: paid for as reserved, like a result.
                await self._close(claimed, attempt.AttemptState.DONE)
            case settle.Faulted():
                await self._close(claimed, attempt.AttemptState.REJECTED, cost=outcome.billed_nano_usd or None)
            case settle.Absent() if self._is_proof(claimed, endpoint):
                await self._close(claimed, attempt.AttemptState.REJECTED)
            case settle.Absent() | settle.Unknown() | settle.Accepted() | settle.StillRunning():
                await self._look_again(claimed, endpoint, handle)
            case _:
                assert_never(outcome)

    async def _found(
        self, claimed: store.Claimed, endpoint: parts_module.Endpoint, request: provider_port.ProviderRequest
    ) -> settle.Outcome:
        """Tell what is known of the job before it is asked to stop."""
        if claimed.handle is not None:
            return settle.StillRunning(poll_after_s=self._parts.settings.poll_after_s)
        if endpoint.provider.capabilities.idempotency is not attempt.IdempotencyClass.B:
            return settle.Unknown(message="cut off while it was being sent; the provider cannot be asked for it")
        try:
            return await endpoint.provider.lookup(request)
        except Exception as error:  # noqa: BLE001 - the border to an adapter: a look-up that raises tells nothing
            recorder.event(events.REPLY_UNCLASSIFIED, error=error, endpoint=endpoint.row.name)
            return settle.Unknown(message=f"{type(error).__name__}: {error}"[:2_000])

    async def _asked_to_stop(
        self, handle: str, endpoint: parts_module.Endpoint, request: provider_port.ProviderRequest
    ) -> settle.Outcome:
        try:
            if endpoint.provider.capabilities.has_cancel:
                await endpoint.provider.cancel(handle, request)
            return await endpoint.provider.poll(handle, request)
        except Exception as error:  # noqa: BLE001 - the border to an adapter: an answer that raises tells nothing about the job
            recorder.event(events.REPLY_UNCLASSIFIED, error=error, endpoint=endpoint.row.name)
            return settle.Unknown(message=f"{type(error).__name__}: {error}"[:2_000])

    def _is_proof(self, claimed: store.Claimed, endpoint: parts_module.Endpoint) -> bool:
        """Tell whether an absent answer is proof: the provider knew the job, or has had its time to learn of it."""
        is_known = claimed.handle is not None
        return is_known or (claimed.unknown_for_s or 0.0) >= endpoint.provider.capabilities.lookup_bound_s

    async def _look_again(self, claimed: store.Claimed, endpoint: parts_module.Endpoint, handle: str | None) -> None:
        settings, stopped_for_s = self._parts.settings, claimed.unknown_for_s or 0.0
        is_asked = handle is not None or endpoint.provider.capabilities.idempotency is attempt.IdempotencyClass.B
        bound_s = settings.unknown_at_most_s if is_asked else endpoint.row.timeout_s
        if stopped_for_s >= bound_s:
            known = attempt.AttemptState.UNKNOWN if handle is None else attempt.AttemptState.ACCEPTED
            await self._close(claimed, known)
            return
        wait_s = min(settings.poll_after_max_s, max(settings.poll_after_s, stopped_for_s / 4), bound_s - stopped_for_s)
        look = stopping.LookAgain(lease=_ref(claimed), delay_s=max(_POLL_MIN_S, wait_s), handle=handle)
        await self._parts.store.look_again(looks=[look])
        self._parts.hold.drop((claimed.run_id, claimed.ordinal), claimed.fence)

    async def _close(self, claimed: store.Claimed, state: attempt.AttemptState, *, cost: int | None = None) -> None:
        charges = await self._parts.store.close_cancelled(closings=[(_ref(claimed), state.value, cost)])
        observe.charged(charges, self._parts)
        self._parts.hold.drop((claimed.run_id, claimed.ordinal), claimed.fence)


def _tells_nothing(outcome: settle.Faulted, endpoint: parts_module.Endpoint) -> bool:
    """Tell whether the answer to a re-send leaves open what the first send came to. Where it cost nothing, a refusal
    ends it all the same: nobody is to be asked about a call that may simply fail.
    """
    return outcome.fault.fault in _TELLS_NOTHING or (outcome.is_of_this_send and endpoint.is_paid)


def _sent_arguments(claimed: store.Claimed) -> dict[str, Any]:
    """Give the arguments of a call that may have been sent, also where its model's declaration, which newer code may
    have made stricter, takes them no more: the job is paid for all the same. Raises FaultRaised.
    """
    try:
        return execute.fitted(claimed)
    except Exception:  # noqa: BLE001 - the border to the author's types: whatever they raise, the job goes on
        return execute.resolved(claimed)


def _ref(claimed: store.Claimed) -> store.LeaseRef:
    return store.LeaseRef(run_id=claimed.run_id, ordinal=claimed.ordinal, fence=claimed.fence)
