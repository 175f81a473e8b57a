"""Word what became of one call at one endpoint: faults, losses, refusals, media that could not be kept.

The words are the same for every adapter, the judging is not: which fault an answer stands for comes from the adapter's
own table, and what nobody can know from ``statuses``. Quotes are cut short and hold no secret. Before it in the walk:
an adapter with an answer or a loss in hand. After it: ``core.settle``.
"""

import dataclasses
import time
from collections.abc import Mapping

from heddle.core import faults, settle
from heddle.core.policy import told
from heddle.ports import blobs, provider
from heddle.providers import excerpts, limits, statuses, transport


class Outcomes:
    """Make the outcomes of one endpoint.

    is_guarded: a call must not be made again blindly, since it costs money or moves a state; then what proves no
    refusal is unknown, and else a passing failure. secrets: what no message may hold besides the endpoint's own.
    """

    def __init__(
        self, config: provider.EndpointConfig, *, is_guarded: bool, secrets: tuple[str | None, ...] = ()
    ) -> None:
        self.where = f"endpoint {config.name}"
        self._secrets = (config.secret, config.callback_secret, *secrets)
        self._is_guarded = is_guarded

    def excerpt(self, body: bytes) -> str:
        """Quote a body in short, without our secrets."""
        return excerpts.excerpt(body, secrets=self._secrets)

    def quoted(self, text: str) -> str:
        """Quote foreign words in short, without our secrets."""
        return self.excerpt(text.encode("utf-8", errors="replace"))

    def fault(
        self, fault: faults.Fault, message: str, *, billed: int | None = 0, heard: told.Told = told.NOTHING
    ) -> settle.Faulted:
        """Give a classified failure. ``billed``: what it costs all the same, in nano-dollars; None where it costs
        something and nobody tells how much.
        """
        step_fault = faults.StepFault(fault=fault, message=message, where=self.where)
        return settle.Faulted(fault=step_fault, billed_nano_usd=billed, told=heard)

    def unsent(self, error: Exception) -> settle.Faulted:
        """Give the failure of a request that could not even be written."""
        faulted = self.fault(faults.Fault.REJECTED_PERMANENT, f"nothing was sent: {error}")
        return dataclasses.replace(faulted, is_of_this_send=True)

    def loss(self, lost: transport.Lost) -> settle.Outcome:
        """Judge an exchange without a whole answer."""
        return statuses.outcome_of_loss(lost, where=self.where, is_paid=self._is_guarded)

    def judged(
        self,
        fault: faults.Fault,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        heard: told.Told | None = None,
        is_of_this_send: bool = False,
    ) -> settle.Outcome:
        """Judge an answer that is no success. ``retry_after_s``: the body's own wish, where it states one. ``heard``:
        what the answer tells of limits and use, where that is more than its headers say. ``is_of_this_send``: as in
        ``settle.Faulted``.
        """
        now_s = time.time()
        heard = limits.read(headers or {}, now_s=now_s) if heard is None else heard
        if retry_after_s is None:
            retry_after_s = statuses.retry_after_s(headers or {}, now_s=now_s)
        else:
            heard = dataclasses.replace(heard, retry_after_s=retry_after_s)
        return statuses.outcome_of(
            fault,
            message=message,
            where=self.where,
            is_paid=self._is_guarded,
            retry_after_s=retry_after_s,
            heard=heard,
            is_of_this_send=is_of_this_send,
        )

    def refused(
        self,
        reply: transport.Reply,
        fault: faults.Fault,
        *,
        note: str = "",
        retry_after_s: float | None = None,
        heard: told.Told | None = None,
    ) -> settle.Outcome:
        """Judge a whole answer that is no success by the fault its table names. ``note``: a code or a hint to quote."""
        message = f"answered {reply.status}{f' ({note})' if note else ''}: {self.excerpt(reply.body)}"
        return self.judged(
            fault,
            message,
            headers=reply.headers,
            retry_after_s=retry_after_s,
            heard=heard,
            is_of_this_send=reply.status not in statuses.OF_THE_REQUEST,
        )

    def bad(self, message: str, body: bytes) -> settle.Faulted:
        """Give the failure of a result that cannot be used: it was delivered, so it is paid for as reserved."""
        return self.fault(faults.Fault.BAD_OUTPUT, f"{message}: {self.excerpt(body)}", billed=None)

    def partial(self, message: str) -> settle.Outcome:
        """Judge an answer that began and did not end: nobody knows what it would have been."""
        if self._is_guarded:
            return settle.Unknown(message=message)
        return self.fault(faults.Fault.PARTIAL, message)

    def blob_refused(self, error: blobs.BlobRefused, *, billed: int | None = None) -> settle.Faulted:
        """Give the failure of a result that is no medium we take. ``billed``: what it costs all the same, None where
        nobody tells.
        """
        fault = faults.Fault.TOO_LARGE if error.code == "too_large" else faults.Fault.BAD_OUTPUT
        return self.fault(fault, f"the result was not stored ({error.code}): {error}", billed=billed)

    def not_stored(self, error: OSError) -> settle.Outcome:
        """Judge a result that came and that our own storage could not keep."""
        message = f"the result came, and the artifact storage could not keep it: {error}"
        return self.judged(faults.Fault.SENT_UNKNOWN, message)
