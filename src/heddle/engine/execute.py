"""Act on leased steps: run local ones in the loop or the compute pool, send model calls to the endpoint they were
claimed for.

No transaction is open meanwhile. Every ending becomes one outcome, every outcome one verdict of ``core.settle``. A
paid call's intent is made durable (``sending``) before its socket opens, and nothing is sent after ``send_by``.
Before this in the walk: claim. After: settle.
"""

import asyncio
import dataclasses
import json
import pickle
from typing import Any

from heddle.core import attempt, faults, identity, ids, plan, run, settle
from heddle.engine import intent, media, observe, quality, results, scores, told, within
from heddle.engine import parts as parts_module
from heddle.engine import settle as settle_stage
from heddle.ports import blobs as blobs_port
from heddle.ports import compute as compute_port
from heddle.ports import provider as provider_port
from heddle.ports import store
from heddle.program import artifacts, registry, trampoline
from heddle.program.errors import FaultRaised, NotRegistered
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics

CRASHES_MAX = 5
UNKNOWN_HELD_S = 2.0


def resolved(claimed: store.Claimed) -> dict[str, Any]:
    """Give a step's arguments with the outputs it takes values from. Raises FaultRaised when a projected part is
    missing.
    """
    if not claimed.outputs:
        return dict(claimed.input)
    outputs = claimed.outputs
    try:
        value = plan.resolve(claimed.input, lambda ordinal: outputs[str(ordinal)])
    except plan.ProjectionMissing as error:
        raise FaultRaised(
            faults.StepFault(fault=faults.Fault.BAD_OUTPUT, message=str(error), where=f"{claimed.kind} {claimed.name}")
        ) from error
    return dict(value)


def fitted(claimed: store.Claimed) -> dict[str, Any]:
    """Give a model call's arguments as its declaration takes them, with defaults. Raises FaultRaised."""
    definition, arguments = results.model(claimed.name or ""), resolved(claimed)
    return arguments if definition is None else dict(definition.validate_arguments(arguments))


def facts(
    claimed: store.Claimed, endpoint: parts_module.Endpoint | None, parts: parts_module.Parts
) -> settle.AttemptFacts:
    """Give what the law needs to know of an attempt."""
    capabilities = None if endpoint is None else endpoint.provider.capabilities
    policies = {} if endpoint is None else endpoint.row.unknown_policies
    gates = None if endpoint is None else endpoint.row.gates.get(claimed.name or "")
    return settle.AttemptFacts(
        number=max(1, claimed.number - claimed.attempts_before),
        retry=settle_stage.retry_of(claimed),
        idempotency=attempt.IdempotencyClass.C if capabilities is None else capabilities.idempotency,
        unknown_policy=attempt.UnknownPolicy(policies.get(claimed.name or "", attempt.UnknownPolicy.AT_MOST_ONCE)),
        lookup_bound_s=0.0 if capabilities is None else capabilities.lookup_bound_s,
        unknown_for_s=claimed.unknown_for_s or 0.0,
        unknown_at_most_s=parts.settings.unknown_at_most_s,
        running_for_s=claimed.sent_for_s or 0.0,
        running_at_most_s=parts.settings.job_at_most_s,
        deadline_in_s=claimed.deadline_in_s,
        is_local=capabilities is None,
        quality_tries_max=1 if gates is None else gates.tries_max,
    )


def failed(fault: faults.Fault, message: str, where: str, code: str = "") -> settle.Faulted:
    """Give the outcome of a classified failure of our own."""
    return settle.Faulted(fault=faults.StepFault(fault=fault, message=message[:2_000], where=where, code=code))


class Executor:
    """Run steps and send model calls of one worker."""

    def __init__(self, parts: parts_module.Parts) -> None:
        self._parts = parts
        self.intents = intent.Intents(parts)
        self.freezes = told.Freezes()

    def conclude(
        self,
        claimed: store.Claimed,
        outcome: settle.Outcome,
        endpoint: parts_module.Endpoint | None = None,
        *,
        is_sent: bool = True,
        latency_s: float | None = None,
        answered: scores.Answered | None = None,
    ) -> None:
        """Let the law decide on an outcome and hand the verdict in. ``is_sent``: False when nothing reached the
        endpoint. ``latency_s``: how long the call took, where it was one. ``answered``: what a poll tells besides.
        """
        verdict: settle.Verdict
        if isinstance(outcome, settle.Completed):
            verdict = settle.Complete(output=outcome.output, cost_nano_usd=outcome.cost_nano_usd)
        else:
            known = facts(claimed, endpoint, self._parts)
            verdict = settle.decide(outcome, known, rng=self._parts.clock.rng)
        is_absent = isinstance(outcome, settle.Absent)
        written = settle_stage.settlement(claimed, verdict, is_sent=is_sent and not is_absent)
        if is_absent:
            # The endpoint answered the look-up; that nothing had been sent is our own death, and no failure of its.
            written.breaker = 0
        if endpoint is not None:
            told.write(written, outcome, endpoint=endpoint.row.name, latency_s=latency_s)
            if written.frozen_s is not None:
                self.freezes.note(endpoint.row.id, until_s=self._parts.clock.monotonic_s() + written.frozen_s)
            if is_sent and not is_absent:
                told_of = answered or scores.Answered(latency_s=latency_s)
                price = endpoint.row.price_nano_usd if claimed.price_nano_usd is None else claimed.price_nano_usd
                self._parts.scores.note(claimed, written, outcome, told_of, price_nano_usd=price)
        self._parts.settling.put(written)

    # Local steps

    async def run_step(self, claimed: store.Claimed) -> None:
        """Run one local step to its settlement; nothing is settled when it is cancelled (run stopped, lease lost)."""
        where = f"step {claimed.name}"
        if within.is_too_late(claimed, elapsed_s=self._elapsed_s(claimed)):
            await self.give_back(claimed, "its run's deadline has passed")
            return
        if claimed.crashes >= CRASHES_MAX:
            message = f"the step took its worker down {claimed.crashes} times; it is not tried again"
            self.conclude(claimed, failed(faults.Fault.WORKFLOW_BLOCKED, message, where))
            return
        with observe.bound(claimed):
            try:
                outcome = await self._run_step(claimed, where)
            except compute_port.ComputeUnavailable as error:
                await self.give_back(claimed, str(error))
                return
            except FaultRaised as error:
                outcome = settle.Faulted(fault=error.fault)
            except NotRegistered as error:
                outcome = failed(faults.Fault.WORKFLOW_CHANGED, str(error), where)
            self.conclude(claimed, outcome)

    async def _run_step(self, claimed: store.Claimed, where: str) -> settle.Outcome:
        assert claimed.name is not None, "a local step has a name"
        definition = registry.step(claimed.name)
        options = plan.CallOptions.from_json(claimed.options)
        timeout_s = options.timeout_s or definition.timeout_s or self._parts.settings.step_timeout_s
        tenant = await self._parts.tenant_name(claimed.tenant_id)
        arguments = resolved(claimed)
        timeout_s = self._allowed_s(claimed, timeout_s)
        if definition.is_async:
            return await self._run_async(
                claimed, definition, arguments, tenant=tenant, timeout_s=timeout_s, where=where
            )
        return await self._run_sync(
            claimed, definition, options, arguments, tenant=tenant, timeout_s=timeout_s, where=where
        )

    async def _run_async(
        self,
        claimed: store.Claimed,
        definition: Any,
        arguments: dict[str, Any],
        *,
        tenant: str,
        timeout_s: float,
        where: str,
    ) -> settle.Outcome:
        with artifacts.working_for(tenant) as written:
            keywords = definition.decode_arguments(arguments)
            try:
                value = await within.seconds(definition.function(**keywords), timeout_s)
            except TimeoutError as error:
                message = str(error) or f"the step did not end within {timeout_s:g} s"
                return failed(faults.Fault.CODE_RAISED, f"TimeoutError: {message}", where)
            except Exception as error:  # noqa: BLE001 - the border to the author's code: whatever it raises is the step's fault
                recorder.event(
                    events.STEP_FAILED, fault="code_raised", reason=f"{type(error).__name__}: {error}", endpoint="local"
                )
                return failed(faults.Fault.CODE_RAISED, f"{type(error).__name__}: {error}", where)
            output = definition.encode_output(value)
        for reference in written:
            await media.record(self._parts, claimed.tenant_id, reference)
        return settle.Completed(output=output)

    async def _run_sync(
        self,
        claimed: store.Claimed,
        definition: Any,
        options: plan.CallOptions,
        arguments: dict[str, Any],
        *,
        tenant: str,
        timeout_s: float,
        where: str,
    ) -> settle.Outcome:
        call = compute_port.ComputeCall(
            function=trampoline.REFERENCE,
            arguments=pickle.dumps(
                {
                    "tenant": tenant,
                    "step_name": definition.name,
                    "arguments_json": json.dumps(arguments, ensure_ascii=False),
                }
            ),
            timeout_s=timeout_s,
            memory_bytes=options.memory_bytes or definition.memory_bytes or self._parts.settings.compute_memory_bytes,
            label=f"{where} {claimed.run_id}/{claimed.ordinal}",
        )
        outcome = await self._parts.compute.run(call)
        observe.show_pool(self._parts)
        if not isinstance(outcome, compute_port.ComputeTooLarge):
            recorder.observe(metrics.COMPUTE_DURATION, outcome.elapsed_s)
        match outcome:
            case compute_port.ComputeDone():
                recorder.count(metrics.COMPUTE_CALLS, outcome="done")
                answer = trampoline.read_answer(pickle.loads(outcome.value))  # noqa: S301 - made by our own child process
                for reference in answer.artifacts:
                    await media.record(self._parts, claimed.tenant_id, reference)
                if answer.fault is not None:
                    return settle.Faulted(fault=answer.fault)
                return settle.Completed(output=answer.output)
            case compute_port.ComputeRaised():
                recorder.count(metrics.COMPUTE_CALLS, outcome="raised")
                place = outcome.traceback_text.strip().splitlines()[-2:-1]
                message = f"{outcome.error_type}: {outcome.message}"
                return failed(faults.Fault.CODE_RAISED, message, f"{where} {' '.join(place).strip()}".strip())
            case compute_port.ComputeTimedOut():
                recorder.count(metrics.COMPUTE_CALLS, outcome="timed_out")
                recorder.event(events.COMPUTE_TIMED_OUT, name=where, duration_s=round(outcome.elapsed_s, 3))
                return failed(faults.Fault.CODE_RAISED, f"the step did not end within {timeout_s:g} s", where)
            case compute_port.ComputeCrashed():
                recorder.count(metrics.COMPUTE_CALLS, outcome="crashed")
                recorder.event(events.COMPUTE_CRASHED, name=where, reason=outcome.detail)
                return failed(faults.Fault.CODE_CRASHED, outcome.detail, where)
            case compute_port.ComputeTooLarge():
                recorder.count(metrics.COMPUTE_CALLS, outcome="too_large")
                message = (
                    f"the {outcome.what} of {outcome.size_bytes} bytes passes {outcome.limit_bytes}; pass an artifact"
                )
                return failed(faults.Fault.TOO_LARGE, message, where)

    async def give_back(self, claimed: store.Claimed, reason: str) -> None:
        """Return a lease unused."""
        recorder.event(events.STEP_RELEASED, reason=reason)
        ref = store.LeaseRef(run_id=claimed.run_id, ordinal=claimed.ordinal, fence=claimed.fence)
        await self._parts.store.give_back(leases=[ref])
        self._parts.hold.drop((claimed.run_id, claimed.ordinal), claimed.fence)

    async def give_back_unknown(self, claimed: store.Claimed) -> None:
        """Return the lease of a call to an endpoint that this worker has not heard of, or cannot serve, after a while:
        it would take it again at once, and each time is an attempt.
        """
        await self._parts.clock.sleep(UNKNOWN_HELD_S)
        await self.give_back(claimed, "this worker does not know the endpoint yet")

    # Model calls

    async def send(self, claimed: store.Claimed, *, claimed_at_s: float) -> None:
        """Send one model call to its endpoint. ``claimed_at_s``: monotonic, from before the claim; nothing is sent
        after its window.
        """
        assert claimed.endpoint_id is not None, "a model call is claimed for an endpoint"
        endpoint = self._parts.endpoints.get(claimed.endpoint_id)
        if endpoint is None:
            await self.give_back_unknown(claimed)
            return
        with observe.bound(claimed):
            try:
                request = await self.request(claimed, endpoint, fitted(claimed))
            except FaultRaised as error:
                self.conclude(claimed, settle.Faulted(fault=error.fault), endpoint, is_sent=False)
                return
            if self.freezes.is_frozen(endpoint.row.id, now_s=self._parts.clock.monotonic_s()):
                self._parts.settling.put(settle_stage.unsent(claimed, "its endpoint asked to come back later"))
                return
            match await self._may_send(claimed, endpoint, request, claimed_at_s):
                case intent.Permission.GRANTED:
                    sent_s = self._parts.clock.monotonic_s()
                    timely = dataclasses.replace(request, timeout_s=self._allowed_s(claimed, request.timeout_s))
                    outcome = await self.answer(claimed, endpoint, timely)
                    latency_s = self._parts.clock.monotonic_s() - sent_s
                    outcome = await quality.judged(self._parts, claimed, endpoint, timely, outcome)
                    self.conclude(claimed, outcome, endpoint, latency_s=latency_s)
                case intent.Permission.TOO_LATE:
                    reason = "its time to be sent was over"
                    recorder.event(events.STEP_RELEASED, reason=reason)
                    self._parts.settling.put(settle_stage.unsent(claimed, reason))
                case intent.OverCap() as refused:
                    recorder.count(metrics.MONEY_REFUSED, cap=refused.cap.value)
                    message = f"{refused.cap.sentence} leaves no room for this call; nothing was sent"
                    outcome = failed(faults.Fault.BUDGET, message, f"endpoint {endpoint.row.name}")
                    self.conclude(claimed, outcome, endpoint, is_sent=False)

    async def _may_send(
        self,
        claimed: store.Claimed,
        endpoint: parts_module.Endpoint,
        request: provider_port.ProviderRequest,
        claimed_at_s: float,
    ) -> intent.Permission | intent.OverCap:
        if not self._parts.is_alive.is_set():
            return intent.Permission.TOO_LATE
        permission: intent.Permission | intent.OverCap = intent.Permission.GRANTED
        if endpoint.is_paid and claimed.attempt_state != attempt.AttemptState.SENDING.value:
            permission = await self.intents.record(claimed, identity.fingerprint(request.input))
        elapsed_s = self._parts.clock.monotonic_s() - claimed_at_s
        if elapsed_s >= self._parts.settings.send_window_s or within.is_too_late(claimed, elapsed_s=elapsed_s):
            return intent.Permission.TOO_LATE
        return permission

    def _allowed_s(self, claimed: store.Claimed, timeout_s: float) -> float:
        cleanup_s = self._parts.settings.cleanup_s
        return within.allowed_s(claimed, timeout_s, cleanup_s=cleanup_s, elapsed_s=self._elapsed_s(claimed))

    def _elapsed_s(self, claimed: store.Claimed) -> float:
        """Tell how long ago a call was claimed, as far as this worker still holds it."""
        held = self._parts.hold.get((claimed.run_id, claimed.ordinal))
        return 0.0 if held is None else self._parts.clock.monotonic_s() - held.taken_at_s

    async def request(
        self, claimed: store.Claimed, endpoint: parts_module.Endpoint, arguments: dict[str, Any]
    ) -> provider_port.ProviderRequest:
        """Build what the adapter gets: the same for every send of one attempt."""
        assert claimed.name is not None, "a model call has a name"
        tenant = await self._parts.tenant_name(claimed.tenant_id)
        timeout_s = (claimed.options or {}).get("timeout_s") or endpoint.row.timeout_s
        attempt_id = str(ids.AttemptId(run_id=claimed.run_id, ordinal=claimed.ordinal, number=claimed.number))
        calls_back = endpoint.provider.capabilities.has_callback
        return provider_port.ProviderRequest(
            attempt_id=attempt_id,
            # A transport retry re-sends the same attempt under the same number; a new number follows only a known
            # refusal.
            idempotency_key=ids.idempotency_key(run=claimed.run_id, ordinal=claimed.ordinal, epoch=claimed.number),
            model=claimed.name,
            # The stored form keeps user keys from being read as marks; the endpoint is sent what the user wrote.
            input={plan.unescape(key): plan.sendable(value) for key, value in arguments.items()},
            timeout_s=self._allowed_s(claimed, timeout_s),
            deadline_s=within.remaining_s(claimed, elapsed_s=self._elapsed_s(claimed)),
            artifacts=media.TenantArtifacts(self._parts, tenant_id=claimed.tenant_id, tenant=tenant),
            callback_url=self._parts.callback_url(endpoint.row.name, attempt_id) if calls_back else None,
            priority=run.Priority(claimed.priority),
            on_delta=self._parts.listening.on_piece(claimed),
        )

    async def answer(
        self, claimed: store.Claimed, endpoint: parts_module.Endpoint, request: provider_port.ProviderRequest
    ) -> settle.Outcome:
        """Make one attempt and give its outcome; an adapter that raises is unclassified, and unknown when it may have
        been billed. Where it raises because an input cannot be read, nothing was sent.
        """
        started_s = self._parts.clock.monotonic_s()
        if endpoint.is_paid:
            self._parts.hold.note_buying((claimed.run_id, claimed.ordinal), claimed.fence)
        try:
            outcome = await endpoint.provider.send(request)
        except asyncio.CancelledError:
            self._note_cut(claimed, endpoint)
            raise
        except blobs_port.BlobUnread as error:  # all inputs are read before anything is ordered (ports.provider)
            where, message = f"endpoint {endpoint.row.name}", f"nothing was sent: {error}"
            outcome = failed(faults.Fault.NOT_SENT, message, where, faults.INPUT_UNREAD)
        except Exception as error:  # noqa: BLE001 - the border to an adapter: logged whole, and never taken for a refusal
            recorder.event(events.REPLY_UNCLASSIFIED, error=error, endpoint=endpoint.row.name)
            outcome = self.unclassified(endpoint, error)
        elapsed_s = self._parts.clock.monotonic_s() - started_s
        recorder.observe(metrics.ENDPOINT_DURATION, elapsed_s, endpoint=endpoint.row.name)
        return await results.kept(claimed, outcome, request.artifacts)

    def _note_cut(self, claimed: store.Claimed, endpoint: parts_module.Endpoint) -> None:
        """Write that a paid call was cut off in flight: its facts always, its step only if the lease still is ours."""
        if endpoint.is_paid:
            self._parts.settling.put(settle_stage.cut_off(claimed, delay_s=self._parts.settings.send_margin_s))

    def unclassified(self, endpoint: parts_module.Endpoint, error: Exception) -> settle.Outcome:
        """Give the outcome of an adapter or of storage that raised; a result that was refused there was delivered."""
        message = f"{type(error).__name__}: {error}"
        if isinstance(error, blobs_port.BlobRefused):
            fault = (
                faults.Fault.TOO_LARGE if error.code in ("too_large", "too_many_pixels") else faults.Fault.BAD_OUTPUT
            )
            return dataclasses.replace(failed(fault, message, f"endpoint {endpoint.row.name}"), billed_nano_usd=None)
        if endpoint.is_paid:
            return settle.Unknown(message=message[:2_000])
        return failed(faults.Fault.UNCLASSIFIED, message, f"endpoint {endpoint.row.name}")
