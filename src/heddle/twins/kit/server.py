"""Put a twin on loopback: routes, authorisation, request faults, and the form of refusals.

A vendor's twin is a subclass of ``Twin``, or of ``CallbackTwin`` where the vendor posts callbacks: it lists its routes
and words its errors, and signs what it posts. A paid route goes through the plan first: refused before acceptance, or
carried out, paid and then answered in a spoiled way. ``Running`` listens for as long as its block lasts; ``serve`` does
so until SIGTERM or SIGINT. Before it: ``heddle twin`` or a test. After it: ``calls`` on the way in, ``answers`` on the
way out.
"""

import abc
import asyncio
import collections
import contextlib
import dataclasses
import hmac
import logging
import pathlib
import signal
import time
import typing
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from heddle.twins.kit import answers, callbacks, calls, faults, jobs, ledger, options

HOST = "127.0.0.1"
SHUTDOWN_TIMEOUT_S = 1.0

logger = logging.getLogger(__name__)

Handler = Callable[[calls.Call], Awaitable[answers.Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route. ``is_paid``: request faults apply; ``is_question``: ``ask_failed`` does; ``is_open``: no key asked."""

    method: str
    path: str
    handler: Handler
    is_paid: bool = False
    is_question: bool = False
    is_open: bool = False


class Twin(abc.ABC):
    """One vendor's twin. ``jobs`` are there once it runs; ``url`` is where."""

    name: typing.ClassVar[str]
    body_bytes_max: typing.ClassVar[int] = 64 * 1024**2
    is_failure_refunded: typing.ClassVar[bool] = False
    is_cancel_refunded: typing.ClassVar[bool] = False

    def __init__(self, given: options.Options, *, now_s: Callable[[], float] = time.time) -> None:
        self.options = given
        self.plan = given.plan
        self.now_s = now_s
        self.url = ""
        self.jobs: jobs.Jobs
        self.requests: collections.Counter[tuple[str, str]] = collections.Counter()
        self._tries: collections.OrderedDict[str, int] = collections.OrderedDict()
        self._count = 0

    @abc.abstractmethod
    def routes(self) -> Sequence[Route]:
        """List the routes, the more specific ones first."""

    @abc.abstractmethod
    def error(self, refused: calls.Refused) -> answers.Answer:
        """Word a refusal in the vendor's form."""

    async def watch(self, job: jobs.Job) -> None:
        """Take note that a job began to run or ended."""
        logger.debug("job %s is %s", job.id, job.status)

    def is_authorised(self, call: calls.Call) -> bool:
        """Tell whether a request carries the key: by default as a bearer token."""
        return is_equal(call.headers.get("authorization", ""), f"Bearer {self.options.api_key}")

    def throttled(self, call: calls.Call, *, wait_s: float) -> calls.Refused:
        """Word a 429: by default with Retry-After in whole seconds."""
        headers = {"Retry-After": str(int(wait_s))}
        return calls.Refused(429, "rate_limit_exceeded", "Too many requests; come back later.", headers=headers)

    def broken(self, call: calls.Call) -> calls.Refused:
        """Word a 5xx before acceptance."""
        return calls.Refused(500, "server_error", "The server had an error; nothing was accepted.")

    def lie(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Tell the vendor's own lie instead of an answer: by default an error under status 200."""
        return dataclasses.replace(self.error(self.broken(call)), status=200)

    def finish(self, call: calls.Call, answer: answers.Answer) -> answers.Answer:
        """Add what every answer of the vendor carries, such as a request id; nothing by default."""
        return answer

    def fault_key(self, call: calls.Call) -> str:
        """Name what a request's chances are drawn for: its idempotency key, else what was asked for."""
        return call.headers.get("idempotency-key") or call.digest

    def application(self) -> web.Application:
        """Build the aiohttp application."""
        application = web.Application(client_max_size=self.body_bytes_max, middlewares=[self._refusals])
        for route in self.routes():
            application.router.add_route(route.method, route.path, self._carried(route))
        return application

    def _carried(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def carry(request: web.Request) -> web.StreamResponse:
            call = await self._call(request)
            self.requests[route.method, route.path] += 1
            if not route.is_open and not self.is_authorised(call):
                return await self._write(call, self.error(self.unauthorised(call)))
            if route.is_paid:
                call = dataclasses.replace(call, fault=self._fault(call))
            if route.is_question and self._is_ask_failed(call):
                refused = calls.Refused(503, "service_unavailable", "The service is not available; ask again.")
                return await self._write(call, self.error(refused))
            return await self._write(call, await self._answered(route, call))

        return carry

    def unauthorised(self, call: calls.Call) -> calls.Refused:
        """Word a 401."""
        return calls.Refused(401, "invalid_api_key", "Incorrect API key provided.")

    async def _answered(self, route: Route, call: calls.Call) -> answers.Answer:
        """Refuse before acceptance, or carry the route out."""
        try:
            if call.fault is faults.RequestFault.THROTTLED:
                raise self.throttled(call, wait_s=faults.storm_left_s(plan=self.plan, now_s=call.at_s))
            if call.fault is faults.RequestFault.SERVER_ERROR:
                raise self.broken(call)
            answer = await route.handler(call)
        except calls.Refused as refused:
            return self.error(refused)
        except (ledger.LedgerFull, OSError) as error:
            logger.exception("%s %s not accepted", call.method, call.path)
            return self.error(calls.Refused(503, "ledger_unavailable", f"Nothing was accepted: {error}"))
        if call.fault is faults.RequestFault.LIE and 200 <= answer.status < 300:
            return self.lie(call, answer)
        return answer

    async def _write(self, call: calls.Call, answer: answers.Answer) -> web.StreamResponse:
        # What was refused is not spoiled too: such faults belong to requests that were accepted and paid.
        fault = call.fault if 200 <= answer.status < 300 else None
        return await answers.write(call.request, self.finish(call, answer), fault=fault, plan=self.plan)

    async def _call(self, request: web.Request) -> calls.Call:
        self._count += 1
        return calls.Call(
            request=request,
            method=request.method,
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items()},
            query=dict(request.query),
            parameters=dict(request.match_info),
            body=await request.read(),
            at_s=self.now_s(),
            request_id=f"req_{self._count:08d}",
        )

    def _fault(self, call: calls.Call) -> faults.RequestFault | None:
        key = self.fault_key(call)
        return faults.request_fault(
            plan=self.plan, key=key, count=jobs.next_count(self._tries, key), now_s=self.now_s()
        )

    def _is_ask_failed(self, call: calls.Call) -> bool:
        key = f"{call.method} {call.path}"
        return faults.is_ask_failed(plan=self.plan, key=key, count=jobs.next_count(self._tries, key))

    @web.middleware
    async def _refusals(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Give the server's own refusals the vendor's form."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            refused = calls.Refused(error.status, "invalid_request", f"{request.method} {request.path}: {error.reason}")
            return await answers.write(request, self.error(refused), fault=None, plan=self.plan)


class CallbackTwin(Twin):
    """The twin of a vendor that posts callbacks. ``callbacks`` are there once it runs."""

    def __init__(self, given: options.Options, *, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(given, now_s=now_s)
        self.callbacks: callbacks.Callbacks

    @abc.abstractmethod
    def sign(self, job: jobs.Job, now_s: float) -> callbacks.Letter:
        """Write and sign the callback that tells of a job's state; called only for jobs with a callback URL."""

    async def letter(self, job: jobs.Job, now_s: float) -> callbacks.Letter:
        """Write and sign the callback when what it holds has been made: by default there is nothing to wait for."""
        return self.sign(job, now_s)

    async def watch(self, job: jobs.Job) -> None:
        """Take note that a job began to run or ended: by default its callback URL is told of the end."""
        if job.status.is_over:
            await self.callbacks.tell(job)


class Running:
    """A twin that listens; ``async with Running(twin) as running`` until the block ends. ``url`` is its address."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.url = ""
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> typing.Self:
        """Restore the jobs of the ledger and listen. Raises OSError or ledger.LedgerDamaged."""
        twin, given = self.twin, self.twin.options
        async with contextlib.AsyncExitStack() as stack:
            book = ledger.Ledger(path=given.ledger)
            stack.push_async_callback(book.close)
            book.start()
            if isinstance(twin, CallbackTwin):
                twin.callbacks = callbacks.Callbacks(plan=given.plan, signer=twin.letter, now_s=twin.now_s)
                await twin.callbacks.start()
                stack.push_async_callback(twin.callbacks.close)
            twin.jobs = jobs.Jobs(
                plan=given.plan,
                book=book,
                now_s=twin.now_s,
                watcher=twin.watch,
                is_failure_refunded=twin.is_failure_refunded,
                is_cancel_refunded=twin.is_cancel_refunded,
            )
            stack.push_async_callback(twin.jobs.close)
            runner = web.AppRunner(twin.application(), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, HOST, given.port).start()
            port = runner.addresses[0][1]
            self.url = twin.url = f"http://{HOST}:{port}"
            twin.jobs.restore(ledger.read(given.ledger))
            if given.port_file is not None:
                _write_port(given.port_file, port)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening and close the ledger."""
        await self._stack.aclose()


async def serve(twin: Twin, *, tell: Callable[[str], object]) -> None:
    """Run a twin until it is told to stop; ``tell`` hears its address."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with Running(twin) as running:
        tell(running.url)
        await stopping.wait()


def is_equal(given: str, expected: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def question(method: str, path: str, handler: Handler) -> Route:
    """Make a route that asks after a job."""
    return Route(method=method, path=path, handler=handler, is_question=True)


def paid(path: str, handler: Handler) -> Route:
    """Make a route of ``POST`` that costs money."""
    return Route(method="POST", path=path, handler=handler, is_paid=True)


def _write_port(path: pathlib.Path, port: int) -> None:
    """Write the port so that a reader sees all of it or nothing."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(f"{port}\n")
    draft.replace(path)
