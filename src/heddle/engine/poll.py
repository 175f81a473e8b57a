"""Ask providers after jobs: those they accepted, those of which it is not known whether they did, those of runs that
were stopped.

A callback only makes a poll due; this is the one place that learns an asynchronous result. An unknown outcome is
never sent again blindly: class A repeats itself under its key, B looks up, C does what the model's owner chose.
Before this in the walk: claim (purpose ``poll``). After: settle.
"""

from typing import assert_never

from heddle.core import attempt, faults, settle
from heddle.engine import execute
from heddle.engine import parts as parts_module
from heddle.ports import provider as provider_port
from heddle.ports import store
from heddle.program.errors import FaultRaised
from heddle.telemetry import context, recorder
from heddle.telemetry.catalog import events, metrics

_POLL_MIN_S = 0.2
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
            await self._executor.give_back(claimed, "this worker does not know the endpoint yet")
            return
        with context.bind(run_id=claimed.run_id, step=claimed.ordinal, attempt=claimed.number):
            try:
                request = await self._executor.request(claimed, endpoint)
            except FaultRaised as error:
                self._executor.conclude(claimed, settle.Faulted(fault=error.fault), endpoint)
                return
            if claimed.state == "cancelled":
                await self._cancel(claimed, endpoint, request)
                return
            outcome = await self._outcome(claimed, endpoint, request)
            self._executor.conclude(claimed, self._bounded(outcome), endpoint)

    async def _outcome(
        self, claimed: store.Claimed, endpoint: parts_module.Endpoint, request: provider_port.ProviderRequest
    ) -> settle.Outcome:
        if claimed.attempt_state == attempt.AttemptState.DONE.value and claimed.result is not None:
            recorder.event(events.ATTEMPT_RESOLVED, endpoint=endpoint.row.name, state="done")
            return settle.Completed(output=claimed.result)
        if claimed.handle is not None:
            return await self._poll(claimed, claimed.handle, endpoint, request)
        return await self._reconcile(claimed, endpoint, request)

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
        return self._executor.checked(claimed, outcome)

    async def _reconcile(
        self, claimed: store.Claimed, endpoint: parts_module.Endpoint, request: provider_port.ProviderRequest
    ) -> settle.Outcome:
        provider = endpoint.provider
        outcome: settle.Outcome
        match provider.capabilities.idempotency:
            case attempt.IdempotencyClass.A:
                outcome = await self._executor.answer(claimed, endpoint, request)
                if isinstance(outcome, settle.Faulted) and outcome.fault.fault in _TELLS_NOTHING:
                    outcome = settle.Unknown(message=outcome.fault.message)
            case attempt.IdempotencyClass.B:
                try:
                    outcome = self._executor.checked(claimed, await provider.lookup(request))
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
                return settle.StillRunning(poll_after_s=wait_s, note=outcome.note)
            case settle.Accepted():
                wait_s = min(settings.poll_after_max_s, max(_POLL_MIN_S, outcome.poll_after_s))
                return settle.Accepted(handle=outcome.handle, poll_after_s=wait_s)
            case _:
                return outcome

    async def _cancel(
        self, claimed: store.Claimed, endpoint: parts_module.Endpoint, request: provider_port.ProviderRequest
    ) -> None:
        """Ask the provider to stop a job of a stopped run, see what it came to, and let go of its slots."""
        provider, handle = endpoint.provider, claimed.handle
        outcome: settle.Outcome = settle.Absent()
        if handle is not None:
            try:
                if provider.capabilities.has_cancel:
                    await provider.cancel(handle, request)
                outcome = await provider.poll(handle, request)
            except Exception as error:  # noqa: BLE001 - the border to an adapter: the run is over, its slots must be let go all the same
                recorder.event(events.REPLY_UNCLASSIFIED, error=error, endpoint=endpoint.row.name)
        is_done = isinstance(outcome, settle.Completed)
        cost = endpoint.row.price_nano_usd if is_done else None
        ref = store.LeaseRef(run_id=claimed.run_id, ordinal=claimed.ordinal, fence=claimed.fence)
        state = attempt.AttemptState.DONE if is_done else attempt.AttemptState.REJECTED
        if cost:
            recorder.count(metrics.MONEY_CHARGED, cost / 1e9, endpoint=endpoint.row.name)
        await self._parts.store.close_cancelled(closings=[(ref, state.value, cost)])
        self._parts.hold.drop((claimed.run_id, claimed.ordinal), claimed.fence)
