"""A twin of a vendor that is not there, to try the kit with: one paid answer, one paid job, one question."""

import asyncio
import json
import pathlib
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import aiohttp
from aiohttp import web

from heddle.twins.kit import answers, callbacks, calls, faults, jobs, options, server

AUTHORISED = {"Authorization": f"Bearer {options.DEFAULT_API_KEY}"}
PRICE_NANO_USD = 10_000_000


class InventedTwin(server.CallbackTwin):
    name: ClassVar[str] = "invented"
    is_failure_refunded = True

    def routes(self) -> Sequence[server.Route]:
        return [
            server.paid("/answers", self._answer),
            server.paid("/jobs", self._job),
            server.question("GET", "/jobs/{id}", self._ask),
            server.Route(method="POST", path="/jobs/{id}/cancel", handler=self._cancel),
        ]

    def error(self, refused: calls.Refused) -> answers.Answer:
        body = {"code": refused.code, "message": str(refused)}
        return answers.json_answer(refused.status, body, headers=refused.headers)

    def sign(self, job: jobs.Job, now_s: float) -> callbacks.Letter:
        body = json.dumps({"id": job.id, "status": job.status}).encode()
        return callbacks.Letter(headers={"X-Length": str(len(body))}, body=body)

    async def watch(self, job: jobs.Job) -> None:
        await self.callbacks.tell(job)

    async def _answer(self, call: calls.Call) -> answers.Answer:
        await self.jobs.pay(self._order(call, is_job=False))
        return answers.json_answer(200, {"said": call.json()["say"]})

    async def _job(self, call: calls.Call) -> answers.Answer:
        return _shown(await self.jobs.pay(self._order(call, is_job=True)))

    async def _ask(self, call: calls.Call) -> answers.Answer:
        return _shown(self.jobs.find(call.parameters["id"]))

    async def _cancel(self, call: calls.Call) -> answers.Answer:
        return _shown(await self.jobs.cancel(call.parameters["id"]))

    def _order(self, call: calls.Call, *, is_job: bool) -> jobs.Order:
        return jobs.Order(
            operation=call.path,
            model="m",
            digest=call.digest,
            amount_nano_usd=PRICE_NANO_USD,
            id_prefix="job_",
            client_reference=call.json().get("reference"),
            callback_url=call.json().get("callback"),
            is_job=is_job,
            data=call.json(),
        )


def _shown(job: jobs.Job | None) -> answers.Answer:
    if job is None:
        raise calls.Refused(404, "not_found", "There is no such job.")
    return answers.json_answer(200, {"id": job.id, "status": job.status})


def given(folder: pathlib.Path, **plan: Any) -> options.Options:
    """Options of a twin: ``plan`` has parts of a plan, rates by their own names among them."""
    rates = {name: plan.pop(name) for name in options.RATE_NAMES if name in plan}
    usual = {"seed": 7, "latency_s": 0.1, "late_s": 0.1, "rates": faults.Rates(**rates)}
    return options.Options(ledger=folder / "paid.jsonl", plan=faults.Plan(**{**usual, **plan}))


async def post(url: str, body: Any, *, timeout_s: float = 5.0) -> tuple[int, bytes]:
    """Send once, on a connection of its own."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=AUTHORISED) as session,
        session.post(url, json=body) as answer,
    ):
        return answer.status, await answer.read()


async def get(url: str) -> tuple[int, bytes]:
    async with aiohttp.ClientSession(headers=AUTHORISED) as session, session.get(url) as answer:
        return answer.status, await answer.read()


class Receiver:
    """A door for callbacks that keeps what it was told, and answers as it is told to."""

    def __init__(self, *statuses: int) -> None:
        self.letters: list[tuple[dict[str, str], bytes]] = []
        self.url = ""
        self._statuses = list(statuses)
        self._told = asyncio.Condition()

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(10), self._told:
            await self._told.wait_for(lambda: len(self.letters) >= count)

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/callback", self._take)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/callback"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self._told:
            self.letters.append(({name.lower(): value for name, value in request.headers.items()}, body))
            self._told.notify_all()
        return web.Response(status=self._statuses.pop(0) if self._statuses else 200)
