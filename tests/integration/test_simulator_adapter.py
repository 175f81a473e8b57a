"""The ``simulator`` adapter and the simulated provider understand each other, and nobody pays twice."""

import asyncio
import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from heddle.core import artifact, faults, settle
from heddle.ports import provider
from heddle.twins.kit import faults as fates
from heddle.twins.kit import server
from tests.integration import simulator_customer, twin_caller

pytest.importorskip("cv2", reason="the simulator's pictures need the extra `demo`: pip install heddle[demo]")

PRICE_NANO_USD = simulator_customer.PRICE_NANO_USD
WAIT_S = 60.0
SEED = 3


@contextlib.asynccontextmanager
async def simulated(folder: pathlib.Path, *, idempotency: str, **changes: Any) -> AsyncIterator[str]:
    made = simulator_customer.simulator(folder, idempotency=idempotency, seed=SEED, **{"latency_s": 0.05, **changes})
    async with server.Running(made) as running:
        yield running.url


@contextlib.asynccontextmanager
async def adapter(
    url: str, *, idempotency: str, secret: str = simulator_customer.API_KEY
) -> AsyncIterator[provider.Provider]:
    settings = {"class": idempotency, "poll_after_s": 0.05, "lookup_bound_s": 1}
    made = twin_caller.made("simulator", url, secret=secret, is_called_back=True, **settings)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def request_of(tmp_path: pathlib.Path) -> provider.ProviderRequest:
    asked = {"scene": "espresso on marble", "seed": 7, "width": 64, "height": 64}
    return twin_caller.request(tmp_path, asked=asked)


def key_cut_once(*, cut: float) -> str:
    """Find a key whose first send the simulator's seed cuts and whose second it answers."""
    plan = fates.Plan(seed=SEED, rates=fates.Rates(cut=cut))
    fated = {
        key: tuple(fates.request_fault(plan=plan, key=key, count=count, now_s=0.0) for count in range(2))
        for key in (f"key_{number}" for number in range(100))
    }
    return next(key for key, faults_of in fated.items() if faults_of == (fates.RequestFault.CUT, None))


def paid(folder: pathlib.Path) -> int:
    return twin_caller.books(folder).paid


@pytest.mark.parametrize("idempotency", ["A", "B", "C"])
async def test_picture_when_ordered_then_stored_with_its_cost(
    idempotency: str, tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with (
        simulated(tmp_path, idempotency=idempotency) as url,
        adapter(url, idempotency=idempotency) as made,
    ):
        assert await made.check() is None
        accepted = await made.send(request_of)
        assert isinstance(accepted, settle.Accepted), accepted
        outcome = await twin_caller.finished(made, accepted.handle, request_of)

    assert isinstance(outcome, settle.Completed), outcome
    assert (outcome.cost_nano_usd, outcome.output["seed"]) == (PRICE_NANO_USD, 7)
    picture = artifact.Artifact.from_json(outcome.output["image"])
    assert picture.media_type == "image/jpeg"
    assert len(await request_of.artifacts.read(picture)) == picture.size_bytes
    assert paid(tmp_path) == 1


async def test_class_a_when_the_answer_is_cut_then_a_resend_finds_the_paid_job(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    request = dataclasses.replace(request_of, idempotency_key=key_cut_once(cut=0.5))
    async with (
        simulated(tmp_path, idempotency="A", rates=fates.Rates(cut=0.5)) as url,
        adapter(url, idempotency="A") as made,
    ):
        first = await made.send(request)
        second = await made.send(request)
        assert isinstance(second, settle.Accepted)
        outcome = await twin_caller.finished(made, second.handle, request)

    assert isinstance(first, settle.Unknown)
    assert isinstance(outcome, settle.Completed)
    assert paid(tmp_path) == 1


async def test_class_b_when_the_answer_is_cut_then_the_lookup_finds_the_paid_job(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with (
        simulated(tmp_path, idempotency="B", rates=fates.Rates(cut=1.0)) as url,
        adapter(url, idempotency="B") as made,
    ):
        assert isinstance(await made.lookup(request_of), settle.Absent)
        assert isinstance(await made.send(request_of), settle.Unknown)
        found = await made.lookup(request_of)
        assert isinstance(found, settle.Accepted)
        outcome = await twin_caller.finished(made, found.handle, request_of)

    assert isinstance(outcome, settle.Completed)
    assert paid(tmp_path) == 1


async def test_class_c_when_the_answer_is_cut_then_unknown_and_nothing_more_is_asked(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with (
        simulated(tmp_path, idempotency="C", rates=fates.Rates(cut=1.0)) as url,
        adapter(url, idempotency="C") as made,
    ):
        sent = await made.send(request_of)
        looked_up = await made.lookup(request_of)

    assert isinstance(sent, settle.Unknown)
    assert isinstance(looked_up, settle.Unknown)
    assert paid(tmp_path) == 1


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        (fates.Rates(throttled=1.0), faults.Fault.THROTTLED),
        (fates.Rates(server_error=1.0), faults.Fault.REJECTED_TRANSIENT),
    ],
)
async def test_send_when_refused_before_acceptance_then_retryable_and_unpaid(
    rates: fates.Rates, expected: faults.Fault, tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with (
        simulated(tmp_path, idempotency="C", rates=rates) as url,
        adapter(url, idempotency="C") as made,
    ):
        outcome = await made.send(request_of)

    assert isinstance(outcome, settle.Faulted)
    assert outcome.fault.fault is expected
    assert faults.FAULTS[outcome.fault.fault].is_retryable
    assert paid(tmp_path) == 0


async def test_send_when_at_the_concurrency_limit_then_throttled_with_a_time(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with (
        simulated(tmp_path, idempotency="A", latency_s=600.0, concurrency=1) as url,
        adapter(url, idempotency="A") as made,
    ):
        await made.send(request_of)
        outcome = await made.send(dataclasses.replace(request_of, idempotency_key="key_2"))

    assert isinstance(outcome, settle.Faulted)
    assert outcome.fault.fault is faults.Fault.THROTTLED
    assert (outcome.retry_after_s or 0) >= 1


async def test_job_when_it_fails_then_transient_and_not_billed(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with (
        simulated(tmp_path, idempotency="A", rates=fates.Rates(failed=1.0)) as url,
        adapter(url, idempotency="A") as made,
    ):
        accepted = await made.send(request_of)
        assert isinstance(accepted, settle.Accepted)
        outcome = await twin_caller.finished(made, accepted.handle, request_of)

    assert isinstance(outcome, settle.Faulted)
    assert (outcome.fault.fault, outcome.billed_nano_usd) == (faults.Fault.REJECTED_TRANSIENT, 0)


async def test_job_when_cancelled_then_stopped_once_and_billed(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with simulated(tmp_path, idempotency="A", latency_s=600.0) as url, adapter(url, idempotency="A") as made:
        accepted = await made.send(request_of)
        assert isinstance(accepted, settle.Accepted)
        assert await made.cancel(accepted.handle, request_of)
        outcome = await made.poll(accepted.handle, request_of)
        assert not await made.cancel("job_unknown", request_of)

    assert isinstance(outcome, settle.Faulted)
    assert (outcome.fault.fault, outcome.billed_nano_usd) == (faults.Fault.CANCELLED, PRICE_NANO_USD)


async def test_callback_when_the_job_ends_then_verified_and_a_forged_one_refused(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    received: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue(10)

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received.put_nowait((headers, await request.read()))
        return web.Response()

    application = web.Application()
    application.router.add_post("/callbacks/pictures/token", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    callback_url = f"http://127.0.0.1:{runner.addresses[0][1]}/callbacks/pictures/token"
    async with (
        simulated(tmp_path, idempotency="A", rates=fates.Rates(callback_forged=1.0, callback_duplicated=1.0)) as url,
        adapter(url, idempotency="A") as made,
        asyncio.timeout(WAIT_S),
    ):
        await made.send(dataclasses.replace(request_of, callback_url=callback_url))
        forged, true, again = [await received.get() for _ in range(3)]
        now_s = float(true[0]["webhook-timestamp"])
        events = [made.verify_callback(headers=headers, body=body, now_s=now_s) for headers, body in (true, again)]
        with pytest.raises(provider.CallbackRefused):
            made.verify_callback(headers=forged[0], body=forged[1], now_s=now_s)
    await runner.cleanup()

    assert events[0] == events[1]
    assert events[0].is_verified


async def test_check_when_misconfigured_then_says_what(tmp_path: pathlib.Path) -> None:
    async with simulated(tmp_path, idempotency="A") as url:
        async with adapter(url, idempotency="B") as other_class:
            assert "class is B" in (await other_class.check() or "")
        async with adapter(url, idempotency="A", secret="wrong") as other_key:
            assert "secret is not taken" in (await other_key.check() or "")
