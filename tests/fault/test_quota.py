"""B14: four workers with far more to do than a provider allows use its quota and do not overrun it.

Scaled: ten seconds instead of ten minutes, windows of five seconds instead of sixty. The provider counts what arrives;
its own bucket holds one second's rate, as the bar allows, so what it refuses is what the bar forbids. What is printed
is what it saw. Where the machine is late by so much, calls arrive late by so much: the bars give that way, and say so.
"""

import asyncio
import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from heddle.config import deployment
from tests import pg
from tests.fault import limited
from tests.races import scene

pytestmark = [pytest.mark.slow]

RUN_S = 10.0
WINDOW_S = 5.0
WORKERS = 4
LATENCY_S = 0.06
SLOTS = 10


@pytest.fixture
def house(database: pg.Database) -> Iterator[scene.House]:
    """Give the database of this file, empty."""
    with database.connect() as connection:
        made = scene.House(database=database, connection=connection, store=scene.engine_store(database))
        made.wipe()
        yield made


class Quota:
    """Enforce requests, tokens and open calls as providers do, and tell of it in OpenAI's headers."""

    def __init__(self, *, requests_per_s: float, tokens_per_s: float) -> None:
        self._rates = {"requests": requests_per_s, "tokens": tokens_per_s}
        self._left = dict(self._rates)
        self._at_s = time.monotonic()
        self.frozen: tuple[float, float] | None = None

    async def __call__(self, provider: limited.Provider, body: dict[str, Any]) -> web.Response:
        used = {"requests": 1.0, "tokens": 80.0 + 40.0 * ((len(provider.seen) * 7) % 5)}
        self._fill()
        if self.frozen is not None and self.frozen[0] <= provider.now_s < self.frozen[1]:
            return self._refuse(retry_after_s=self.frozen[1] - provider.now_s)
        if provider.open > SLOTS:
            return self._refuse(retry_after_s=None)
        if any(self._left[unit] < count - 1e-9 for unit, count in used.items()):
            return self._refuse(retry_after_s=1.0)
        for unit, count in used.items():
            self._left[unit] -= count
        await asyncio.sleep(LATENCY_S)
        tokens = int(used["tokens"])
        return web.json_response(
            {"usage": {"total_tokens": tokens}}, headers={**self._headers(), "x-used": str(tokens)}
        )

    def _fill(self) -> None:
        now_s = time.monotonic()
        for unit, rate in self._rates.items():
            self._left[unit] = min(rate, self._left[unit] + rate * (now_s - self._at_s))
        self._at_s = now_s

    def _refuse(self, *, retry_after_s: float | None) -> web.Response:
        headers = self._headers()
        if retry_after_s is not None:
            headers["Retry-After"] = f"{retry_after_s:.2f}"
        return web.json_response({"error": {"code": "rate_limit"}}, status=429, headers=headers)

    def _headers(self) -> dict[str, str]:
        return {
            name: value
            for unit, rate in self._rates.items()
            for name, value in (
                (f"x-ratelimit-limit-{unit}", str(int(rate * 60))),
                (f"x-ratelimit-remaining-{unit}", str(int(self._left[unit]))),
                (f"x-ratelimit-reset-{unit}", f"{max(0.0, 1 - self._left[unit] / rate):.3f}s"),
            )
        }


async def work(
    house: scene.House, folder: pathlib.Path, quota: Quota, scope: deployment.Scope, *, run_s: float = RUN_S
) -> tuple[limited.Provider, float]:
    """Let four workers work on ten times what the provider allows; give the provider and the lag of the machine."""
    provider = limited.Provider(quota)
    async with limited.serving(provider) as url:
        limited.deploy(
            house,
            [limited.endpoint("one", url, used_tokens="/usage/total_tokens")],
            scopes=[scope],
            models=[deployment.Model(name="m", tokens=160)],
        )
        limited.queue(house, 3_000)
        async with limited.fleet(house.database, folder, workers=WORKERS) as lag:
            await limited.until(lambda: bool(provider.seen), what="the first call")
            await asyncio.sleep(run_s)
    return provider, lag.most_s


def share(provider: limited.Provider, *, rate_per_s: float, tokens: bool = False) -> float:
    """Give the share of the quota that was used, after the first second."""
    first_s = provider.seen[0].at_s + 1.0
    taken = [each for each in provider.seen if each.status == 200 and first_s <= each.at_s < first_s + RUN_S - 2.0]
    return sum(each.tokens if tokens else 1 for each in taken) / ((RUN_S - 2.0) * rate_per_s)


def report(name: str, provider: limited.Provider, *, lag_s: float, **figures: Any) -> None:
    counts = provider.statuses()
    throttled = counts.get(429, 0) / max(1, sum(counts.values()))
    print(
        json.dumps(
            {
                "bar": "B14",
                "case": name,
                "answers": counts,
                "throttled": round(throttled, 4),
                "lag_s": round(lag_s, 3),
                **figures,
            }
        )
    )


async def test_quota_when_requests_are_scarce_then_they_are_used_and_not_overrun(
    house: scene.House, tmp_path: pathlib.Path
) -> None:
    rate = 30.0
    scope = deployment.Scope(name="one", concurrency=SLOTS, requests_per_min=int(rate * 60), tokens_per_min=600_000)

    provider, lag_s = await work(house, tmp_path, Quota(requests_per_s=rate, tokens_per_s=10_000), scope)

    used, most = share(provider, rate_per_s=rate), provider.most_in(WINDOW_S)
    report(
        "requests",
        provider,
        used=round(used, 3),
        most_in_window=most,
        allowed=rate * (WINDOW_S + 1),
        lag_s=round(lag_s, 3),
    )
    assert provider.statuses().get(429, 0) <= (0.01 + lag_s) * len(provider.seen)
    assert most <= rate * (WINDOW_S + 1 + lag_s)
    assert provider.most_open <= SLOTS
    assert used >= 0.95 - lag_s


async def test_quota_when_tokens_are_scarce_then_the_estimate_is_settled_to_the_truth(
    house: scene.House, tmp_path: pathlib.Path
) -> None:
    rate = 4_000.0
    scope = deployment.Scope(name="one", concurrency=SLOTS, requests_per_min=6_000, tokens_per_min=int(rate * 60))

    provider, lag_s = await work(house, tmp_path, Quota(requests_per_s=100, tokens_per_s=rate), scope)

    used, most = share(provider, rate_per_s=rate, tokens=True), provider.most_in(WINDOW_S, tokens=True)
    report(
        "tokens",
        provider,
        used=round(used, 3),
        most_in_window=most,
        allowed=rate * (WINDOW_S + 1),
        lag_s=round(lag_s, 3),
    )
    assert provider.statuses().get(429, 0) <= (0.01 + lag_s) * len(provider.seen)
    assert most <= rate * (WINDOW_S + 1 + lag_s)
    assert used >= 0.95 - lag_s


async def test_quota_when_the_provider_says_come_back_later_then_within_a_second_nobody_calls(
    house: scene.House, tmp_path: pathlib.Path
) -> None:
    quota = Quota(requests_per_s=60, tokens_per_s=100_000)
    quota.frozen = (3.0, 6.0)
    scope = deployment.Scope(name="one", concurrency=SLOTS, requests_per_min=1_800)

    provider, lag_s = await work(house, tmp_path, quota, scope, run_s=8.0)

    first_s = min(each.at_s for each in provider.seen if each.status == 429)
    within = [each.at_s - first_s for each in provider.seen if first_s < each.at_s < 6.0]
    after = [each for each in provider.seen if each.at_s >= 6.0 and each.status == 200]
    report(
        "retry-after",
        provider,
        calls_within_window=len(within),
        last_s=round(max(within, default=0.0), 3),
        lag_s=round(lag_s, 3),
    )
    assert max(within, default=0.0) <= 1.0 + lag_s
    assert after
