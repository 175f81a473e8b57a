"""Carry one call: check it, judge it, admit it as a run, wait for its end.

The order is that of ``POST /v1/runs``: what is wrong with a request is told before anything is written, a refusal keeps
nothing, and a repeat under its key is never refused. Whatever becomes of the connection, an admitted run goes on, or is
cancelled where ``gateway_on_leave`` says so. Before it: a shape's handler. After: ``engine.calls``.
"""

import asyncio
import contextlib
import dataclasses
import functools
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web

from heddle import client
from heddle.client import calls as client_calls
from heddle.client import outcomes, predictions
from heddle.core import plan, run
from heddle.engine import calls
from heddle.gateway import house as house_module
from heddle.gateway import refusals
from heddle.ports import calls as calls_port
from heddle.ports import records
from heddle.telemetry import recorder
from heddle.telemetry.catalog import metrics

CANCEL_WITHIN_S = 30.0
_LEAVING: set["asyncio.Task[None]"] = set()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Hold what one request asks for. ``input``: the model's, with artifacts as records. ``door``: the shape it came
    in, kept as a label of the run.
    """

    tenant: records.Tenant
    model: str
    door: str
    input: Mapping[str, Any]
    priority: run.Priority
    key: str | None
    traceparent: str | None = None
    deadline_s: float | None = None
    webhook_url: str | None = None
    has_artifacts: bool = False


@contextlib.asynccontextmanager
async def place(house: house_module.House) -> AsyncIterator[None]:
    """Hold one of the places for open requests. Raises Refusal when all are taken."""
    if house.held >= house.limits.gateway_requests_max:
        raise refusals.Refusal(
            status=503,
            code="busy",
            message="This gateway holds as many requests as it may.",
            retry_after_s=refusals.FULL_RETRY_AFTER_S,
            may_repeat=True,
        )
    house.count(1)
    try:
        yield
    finally:
        house.count(-1)


async def admit(house: house_module.House, asked: Asked, *, take_piece: calls.TakePiece | None = None) -> calls.Watch:
    """Admit a call and watch its run. Raises what is wrong with it, and what refuses it."""
    try:
        watch = await _admit(house, asked, take_piece)
    except calls_port.QuotaFull as full:
        refusal = client_calls.quota_refusal(asked.tenant, full)
        outcomes.count(refusal)
        raise refusal from full
    except outcomes.REFUSALS as error:
        outcomes.count(error)
        raise
    if not watch.is_replay:
        recorder.count(metrics.RUNS_ADMITTED, workflow=run.call_name(asked.model))
    return watch


async def _admit(house: house_module.House, asked: Asked, take_piece: calls.TakePiece | None) -> calls.Watch:
    check = functools.partial(house.heddle.check_call, _request(asked), tenant=asked.tenant)
    new = await house.threads.ask(check) if asked.has_artifacts else check()
    judge = functools.partial(house.heddle.judge_call, new)
    replay = None if house.heddle.backpressure.lets_in(new) else await house.threads.ask(judge)
    if replay is not None:
        watch = house.calls.watch(replay.run_id)
        watch.is_replay = True
        return watch
    return await house.calls.submit(new, take_piece=take_piece, when_left=lambda watch: left(house, watch, asked))


def _request(asked: Asked) -> client.RunRequest:
    return client.RunRequest(
        workflow=run.call_name(asked.model),
        input=asked.input,
        priority=asked.priority.value,
        deadline_s=asked.deadline_s,
        labels={predictions.LABEL: asked.door},
        webhook_url=asked.webhook_url,
        idempotency_key=asked.key,
        traceparent=asked.traceparent,
    )


async def output(house: house_module.House, watch: calls.Watch, asked: Asked) -> Any:
    """Wait for the end of a call and give its output, as it is stored. Raises Refusal when there is none."""
    ended = await end(house, watch, asked, wait_s=house.limits.gateway_wait_s)
    if ended is None:
        raise refusals.still_running(watch.run_id, has_key=asked.key is not None)
    if ended.state != run.RunState.SUCCEEDED.value:
        raise refusals.of_end(ended, has_key=asked.key is not None)
    return plan.sendable(ended.output)


async def end(
    house: house_module.House, watch: calls.Watch, asked: Asked, *, wait_s: float
) -> calls_port.EndedCall | None:
    """Wait for the end of a call, None when it did not come in time. A caller who goes away leaves the run behind."""
    try:
        async with asyncio.timeout(wait_s):
            return await asyncio.shield(watch.ended)
    except TimeoutError:
        return None
    except asyncio.CancelledError:
        left(house, watch, asked)
        raise
    finally:
        house.calls.forget(watch)


async def write(request: web.Request, response: web.StreamResponse, data: bytes, *, within_s: float) -> None:
    """Send a piece of an answer. A caller who takes nothing of it for that long is cut off: Raises ConnectionError."""
    try:
        async with asyncio.timeout(within_s):
            await response.write(data)
    except TimeoutError as error:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError(f"the caller took nothing of the answer for {within_s:g} s") from error


def left(house: house_module.House, watch: calls.Watch, asked: Asked) -> None:
    """Do what the settings say about the run of a caller who went away."""
    recorder.count(metrics.GATEWAY_LEFT)
    if house.limits.gateway_on_leave == "cancel" and not watch.is_replay:
        task = asyncio.create_task(_cancel(house, watch, asked))
        _LEAVING.add(task)
        task.add_done_callback(_LEAVING.discard)


async def _cancel(house: house_module.House, watch: calls.Watch, asked: Asked) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CANCEL_WITHIN_S):
            await house.threads.ask(lambda: house.heddle.cancel(watch.run_id, tenant=asked.tenant))
