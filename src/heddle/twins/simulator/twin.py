"""Answer as the simulated provider does: jobs that are paid by the picture, in class A, B or C. README.md has the API.

It honours the idempotency class it was given and holds the limit of open jobs; payment, time and faults are the kit's.
Between two awaits nothing else runs, which is the only lock. Before it: ``kit.server``. After it: ``submission`` on the
way in; ``wire`` and ``kit.studio`` on the way out.
"""

import asyncio
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from heddle.core import attempt
from heddle.twins.kit import answers, callbacks, calls, jobs, options, server, studio
from heddle.twins.simulator import submission, terms, wire

KEY_CHARACTERS_MAX: Final = 200
ITEMS_MAX: Final = 100


class SimulatorTwin(server.CallbackTwin):
    """The simulated provider."""

    name: ClassVar[str] = "simulator"
    body_bytes_max: ClassVar[int] = 32_768
    is_failure_refunded = True

    def __init__(
        self,
        given: options.Options,
        *,
        offered: terms.Terms | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(given, now_s=now_s)
        self.terms = offered or terms.Terms()
        self._studio = studio.Studio()
        self._accepting: dict[str, asyncio.Event] = {}
        self._reserved = 0

    def routes(self) -> Sequence[server.Route]:
        """List the routes."""
        job = "/v1/jobs/{id}"
        return [
            server.Route(method="GET", path="/v1/health", handler=self._health, is_open=True),
            server.paid("/v1/jobs", self._submit),
            server.question("GET", "/v1/jobs", self._look_up),
            server.question("GET", job, self._get),
            server.Route(method="POST", path=f"{job}/cancel", handler=self._cancel),
            server.question("GET", f"{job}/result", self._result),
        ]

    def unauthorised(self, call: calls.Call) -> calls.Refused:
        """Word a 401."""
        return calls.Refused(401, "unauthorized", "Send Authorization: Bearer with the account's key.")

    def throttled(self, call: calls.Call, *, wait_s: float) -> calls.Refused:
        """Word a 429 before acceptance."""
        headers = {"Retry-After": str(math.ceil(wait_s))}
        return calls.Refused(429, "rate_limited", "Too many requests.", headers=headers)

    def broken(self, call: calls.Call) -> calls.Refused:
        """Word a 500 before acceptance."""
        return calls.Refused(500, "internal_error", "Nothing was accepted; try again.")

    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal."""
        code, message, headers = refused.code, str(refused), refused.headers
        if code == "invalid_request":  # the server's own
            code = "http_error"
            if refused.status == 413:
                code, message = "too_large", f"The body is larger than {self.body_bytes_max} bytes."
        if code == "ledger_unavailable":
            headers = {**headers, "Retry-After": "2"}
        return answers.json_answer(refused.status, {"error": {"code": code, "message": message}}, headers=headers)

    def sign(self, job: jobs.Job, now_s: float) -> callbacks.Letter:
        """Write and sign the callback of a job that is over."""
        return wire.letter(job, url=self.url, secret=self.options.webhook_secret, now_s=now_s)

    async def _health(self, _call: calls.Call) -> answers.Answer:
        offered = {"class": self.terms.idempotency.value, "concurrency": self.terms.concurrency}
        return answers.json_answer(200, {"status": "ok", "open_jobs": self.jobs.open_count, **offered})

    async def _submit(self, call: calls.Call) -> answers.Answer:
        key = call.headers.get("idempotency-key")
        if key is not None and not 1 <= len(key) <= KEY_CHARACTERS_MAX:
            message = f"Idempotency-Key must be 1 to {KEY_CHARACTERS_MAX} characters."
            raise calls.Refused(400, "bad_idempotency_key", message)
        order = dataclasses.replace(
            submission.parse(call.body), idempotency_key=key, amount_nano_usd=self.terms.price_nano_usd
        )
        if key is None or self.terms.idempotency is not attempt.IdempotencyClass.A:
            return self._accepted((await self._pay(order)).as_accepted())
        known = await self._known(key)
        if known is None:
            return self._accepted(await self._pay_once(order, key=key))
        if known.paid.digest != order.digest:
            message = f"This Idempotency-Key belongs to {known.id}, which was asked for with another body."
            raise calls.Refused(422, "idempotency_key_reused", message)
        return self._accepted(known, headers={"Idempotent-Replayed": "true"})

    async def _known(self, key: str) -> jobs.Job | None:
        """Find the job of a key that was seen, waiting once for one that is being accepted."""
        if key in self._accepting:
            await self._accepting[key].wait()
        known = self.jobs.find_by_key(key)
        if known is None and key in self._accepting:
            raise calls.Refused(409, "in_progress", "This key is being accepted.", headers={"Retry-After": "1"})
        return known

    async def _pay_once(self, order: jobs.Order, *, key: str) -> jobs.Job:
        """Accept a job while requests with the same key wait."""
        over = self._accepting[key] = asyncio.Event()
        try:
            return (await self._pay(order)).as_accepted()
        finally:
            del self._accepting[key]
            over.set()

    async def _pay(self, order: jobs.Order) -> jobs.Job:
        """Take payment for a job, unless the limit is reached."""
        if self.jobs.open_count + self._reserved >= self.terms.concurrency:
            wait_s = max(1, math.ceil((self.jobs.next_end_s() or 0.0) - self.now_s()))
            message = f"{self.terms.concurrency} jobs are open, which is this account's limit."
            raise calls.Refused(429, "concurrency_limit", message, headers={"Retry-After": str(wait_s)})
        if self.jobs.is_full:
            raise calls.Refused(503, "full", f"{jobs.JOBS_MAX} jobs are open.", headers={"Retry-After": "5"})
        self._reserved += 1
        try:
            return await self.jobs.pay(order)
        finally:
            self._reserved -= 1

    async def _look_up(self, call: calls.Call) -> answers.Answer:
        if self.terms.idempotency is not attempt.IdempotencyClass.B:
            raise calls.Refused(404, "lookup_not_offered", "This account's API has no look-up by client_job_id.")
        name = call.query.get("client_job_id", "")
        if not 1 <= len(name) <= submission.CLIENT_JOB_ID_CHARACTERS_MAX:
            raise calls.Refused(422, "invalid_input", "client_job_id is missing or too long.")
        found = self.jobs.find_by_reference(name)[:ITEMS_MAX]
        return answers.json_answer(200, {"items": [wire.shown(job, url=self.url) for job in found]})

    async def _get(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, wire.shown(_held(call, self.jobs.find(call.parameters["id"])), url=self.url))

    async def _cancel(self, call: calls.Call) -> answers.Answer:
        job = _held(call, await self.jobs.cancel(call.parameters["id"]))
        return answers.json_answer(200, wire.shown(job, url=self.url))

    async def _result(self, call: calls.Call) -> answers.Answer:
        job = _held(call, self.jobs.find(call.parameters["id"]))
        if job.status is not jobs.Status.SUCCEEDED:
            raise calls.Refused(409, "no_result", f"{job.id} is {job.status.value}: it has no result.")
        wanted = wire.picture_of(job)
        return answers.Answer(status=200, pieces=(await self._studio.draw(wanted),), media_type=wanted.media_type)

    def _accepted(self, job: jobs.Job, *, headers: dict[str, str] | None = None) -> answers.Answer:
        own = {"Location": f"/v1/jobs/{job.id}", **(headers or {})}
        return answers.json_answer(202, wire.shown(job, url=self.url), headers=own)


def _held(call: calls.Call, job: jobs.Job | None) -> jobs.Job:
    """Give a job that is there; refuse where there is none."""
    if job is None:
        raise calls.Refused(404, "not_found", f"There is no job {call.parameters['id'][:100]}.")
    return job
