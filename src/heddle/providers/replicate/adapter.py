"""Order predictions from Replicate, ask after them, and copy their files before they are deleted.

``send`` creates a prediction once; ``poll`` asks after it at the address the answer gave. A prediction that has
succeeded is never given up: when one of its files cannot be fetched now, it is polled again. Before it in the walk:
execute and poll. After it: settle.
"""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from heddle.core import attempt, faults, settle
from heddle.core.policy import told
from heddle.ports import provider
from heddle.providers import endpoints, fetching, json_wire, limits, outcomes, signing, statuses, transport
from heddle.providers.replicate import endpoint, inputs, pricing, wire
from heddle.providers.replicate import faults as replicate_faults

WAIT_MARGIN_S: Final = 2.0  # between the end of the wait that is asked for and our own patience
POLL_WISH_MAX_S: Final = 60.0  # a paid prediction is not left alone for longer, whatever a poll is answered with


class ReplicateProvider(endpoints.Endpoint):
    """Speak to one model, version or deployment of one account at Replicate."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        self._options = endpoint.read_options(config)
        super().__init__(config, connections, is_guarded=True)
        self._headers = {"Authorization": f"Bearer {config.secret}"}
        # Only a callback that is believed can name the prediction of a send whose answer was lost.
        self.capabilities = provider.Capabilities(
            idempotency=attempt.IdempotencyClass.C,
            is_paid=True,
            has_poll=True,
            has_cancel=True,
            has_callback=True,
            lookup_bound_s=self._options.lookup_bound_s if config.callback_secret is not None else 0.0,
        )
        self._sender = inputs.Sender(
            connections=self._transport,
            base_url=self._base_url,
            headers=self._headers,
            is_uploading=self._options.is_uploading,
            words=outcomes.Outcomes(config, is_guarded=False),
        )
        self._collector = fetching.Collector(
            connections=self._transport,
            source=fetching.Source(home=self._base_url, headers=self._headers),
            hosts=self._options.output_hosts,
        )

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Create a prediction; with ``wait_s`` a quick one is answered at once."""
        left_s = _countdown(self._timeout_s(request))
        try:
            body = wire.submission(
                given=await self._sender.send(request, left_s=left_s),
                version=self._options.version or None,
                webhook=request.callback_url,
            )
        except inputs.NotOrdered as error:
            return error.outcome
        except ValueError as error:
            return self._outcomes.unsent(error)
        reply = await self._transport.exchange(
            transport.Call(
                method="POST",
                url=self._base_url + self._create_path(),
                headers={**self._headers, **self._create_headers(request, left_s=left_s())},
                body=body,
                timeout_s=left_s(),
                is_repeatable=False,
            )
        )
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        if not 200 <= reply.status < 300:
            return self._refused(reply)
        try:
            prediction = wire.read_prediction(reply.body, home=self._base_url)
        except json_wire.AnswerRefused as error:
            return settle.Unknown(message=f"answered {reply.status} but {error}: {self._outcomes.excerpt(reply.body)}")
        outcome = await self._judged(prediction, request, left_s=left_s)
        if isinstance(outcome, settle.StillRunning):
            handle = wire.write_handle(prediction.handle)
            return settle.Accepted(handle=handle, poll_after_s=outcome.poll_after_s, told=self._told(reply))
        return outcome

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Ask after a prediction, and copy its files when it has succeeded."""
        left_s = _countdown(self._timeout_s(request))
        try:
            named = self._read_handle(handle)
        except json_wire.AnswerRefused as error:
            return settle.Unknown(message=f"the prediction cannot be asked after: {error}")
        reply = await self._transport.exchange(self._call("GET", named.get_url, timeout_s=left_s()))
        if not isinstance(reply, transport.Reply):
            return self._again(reply.message)
        if reply.status == 404:
            return settle.Unknown(message=f"Replicate no longer knows the prediction {named.id} it had accepted")
        if reply.status != 200:
            return self._again(f"asked after {named.id}: answered {reply.status}", reply)
        try:
            prediction = wire.read_prediction(reply.body, home=self._base_url)
        except json_wire.AnswerRefused as error:
            return self._again(f"asked after {named.id}: {error}")
        if prediction.handle.id != named.id:
            return self._again(f"asked after {named.id}: was told of {prediction.handle.id}")
        return await self._judged(prediction, request, left_s=left_s)

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Ask for a prediction to be stopped; no when it could not be asked or is over already."""
        try:
            named = self._read_handle(handle)
        except json_wire.AnswerRefused:
            return False
        call = self._call("POST", named.cancel_url, timeout_s=self._timeout_s(request))
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply) or not 200 <= reply.status < 300:
            return False
        try:
            status = wire.read_prediction(reply.body, home=self._base_url).status
        except json_wire.AnswerRefused:
            return False
        return status in (wire.Status.CANCELED, wire.Status.ABORTED)

    def verify_callback(self, *, headers: Mapping[str, str], body: bytes, now_s: float) -> provider.CallbackEvent:
        """Verify by Standard Webhooks; without a ``callback_secret`` a callback is taken, unverified, as a hint."""
        if self._config.callback_secret is None:
            return provider.CallbackEvent(event_id=hashlib.sha256(body).hexdigest(), is_verified=False)
        try:
            event_id = signing.verify(secret=self._config.callback_secret, headers=headers, body=body, now_s=now_s)
        except signing.SignatureRefused as error:
            raise provider.CallbackRefused(f"{self._outcomes.where} ({error.code}): {error}") from None
        handle = wire.told_handle(body, home=self._base_url)
        return provider.CallbackEvent(event_id=event_id, is_verified=True, handle=handle)

    async def check(self) -> str | None:
        """Ask whose account the token is of."""
        call = self._call("GET", f"{self._base_url}/v1/account", timeout_s=endpoints.CHECK_TIMEOUT_S)
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply):
            return reply.message
        if reply.status != 200:
            return f"the secret is not taken: /v1/account answered {reply.status}: {self._outcomes.excerpt(reply.body)}"
        return None

    async def _judged(
        self, prediction: wire.Prediction, request: provider.ProviderRequest, *, left_s: Callable[[], float]
    ) -> settle.Completed | settle.Faulted | settle.StillRunning:
        """Say what a prediction's state means; one whose files are not here yet is still running."""
        if prediction.status in wire.OPEN:
            is_queued = prediction.status is wire.Status.STARTING
            return dataclasses.replace(self._again(prediction.status.value), is_queued=is_queued)
        about = f"the result of {prediction.handle.id}"
        if prediction.status is not wire.Status.SUCCEEDED:
            said = self._outcomes.excerpt(prediction.error.encode()) if prediction.error else "without an error's text"
            message = f"the prediction {prediction.handle.id} ended {prediction.status.value}: {said}"
            return self._ended(replicate_faults.ended_fault_of(prediction), message, prediction)
        if prediction.is_removed and prediction.output is None:
            message = f"{about} was deleted at Replicate before it was copied"
            return self._ended(faults.Fault.BAD_OUTPUT, message, prediction, is_delivered=True)
        if prediction.output is None and prediction.error:
            message = (
                f"{about} is said to be there, beside an error: {self._outcomes.excerpt(prediction.error.encode())}"
            )
            return self._ended(faults.Fault.BAD_OUTPUT, message, prediction)
        found = await self._collector.collect(
            prediction.output, artifacts=request.artifacts, left_s=left_s, about=about
        )
        if isinstance(found, fetching.Collected):
            return settle.Completed(
                output=found.output,
                cost_nano_usd=self._cost(prediction, images=found.images),
                told=told.Told(images=found.images or None),
            )
        if found.is_passing:
            return self._again(found.message)
        return self._ended(found.fault, found.message, prediction, is_delivered=True)

    def _ended(
        self, fault: faults.Fault, message: str, prediction: wire.Prediction, *, is_delivered: bool = False
    ) -> settle.Faulted:
        # What was delivered is paid for, also where it is gone or no use; of how many pictures nobody can tell.
        cost = self._cost(prediction, images=0) or (None if is_delivered else 0)
        return self._outcomes.fault(fault, message, billed=cost)

    def _cost(self, prediction: wire.Prediction, *, images: int) -> int | None:
        return pricing.cost_nano_usd(prediction, model_name=self._options.model_name, images=images)

    def _refused(self, reply: transport.Reply) -> settle.Outcome:
        fault = replicate_faults.fault_of(reply.status)
        return self._outcomes.refused(reply, fault, retry_after_s=self._resets_s(reply), heard=self._told(reply))

    def _create_path(self) -> str:
        if self._options.model_name:
            return f"/v1/models/{self._options.model_name}/predictions"
        if self._options.deployment:
            return f"/v1/deployments/{self._options.deployment}/predictions"
        return "/v1/predictions"

    def _create_headers(self, request: provider.ProviderRequest, *, left_s: float) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        # Held for longer than we listen, the answer that names the prediction would be lost, and paid for all the same.
        wait_s = min(self._options.wait_s, math.floor(left_s - WAIT_MARGIN_S))
        if wait_s >= 1:
            headers["Prefer"] = f"wait={wait_s}"
        if request.deadline_s is not None:
            # A prediction that nobody can wait for any more is not paid for to its end.
            headers["Cancel-After"] = f"{max(wire.CANCEL_AFTER_MIN_S, math.ceil(request.deadline_s))}s"
        return headers

    def _read_handle(self, handle: str) -> wire.Handle:
        return wire.read_handle(handle, home=self._base_url)

    def _again(self, note: str, reply: transport.Reply | None = None) -> settle.StillRunning:
        wished_s = self._resets_s(reply) if reply is not None else None
        later_s = min(wished_s or 0.0, POLL_WISH_MAX_S)
        return settle.StillRunning(poll_after_s=max(self._options.poll_after_s, later_s), note=note)

    def _resets_s(self, reply: transport.Reply) -> float | None:
        """Give when to come back: the header's word, or that of a 429's body."""
        header_s = statuses.retry_after_s(reply.headers, now_s=time.time())
        return wire.resets_in_s(reply.body) if header_s is None and reply.status == 429 else header_s

    def _told(self, reply: transport.Reply) -> told.Told:
        return dataclasses.replace(limits.read(reply.headers, now_s=time.time()), retry_after_s=self._resets_s(reply))

    def _call(self, method: str, url: str, *, timeout_s: float) -> transport.Call:
        return transport.Call(method=method, url=url, headers=self._headers, timeout_s=timeout_s, is_repeatable=True)


def _countdown(allowed_s: float) -> Callable[[], float]:
    """Give what is left of a time that begins now."""
    ends_s = time.monotonic() + allowed_s
    return lambda: ends_s - time.monotonic()
