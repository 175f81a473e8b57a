"""The paid-call protocol at every crash point: what was bought once is paid once, and what cannot be known is said.

The referee is the provider's own ledger. Kills are K1 to K6 and K8 of the crash matrix (tests/fault/entry.py).
"""

from collections.abc import Iterator

import pytest

from tests.fault import figures, harness, programs

CALLS = 4
KILLS = figures.scaled(short=1, full=2)
POINTS = ("K1", "K2", "K3", "K4", "K5", "K6")


@pytest.fixture(scope="module", params=["A", "B"])
def asked(
    request: pytest.FixtureRequest, site: harness.Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[harness.Simulator, str]]:
    """Give a provider of a class that can be asked."""
    with harness.simulator(tmp_path_factory.mktemp("asked"), latency_ms=30, **{"class": request.param}) as made:
        site.configure(
            harness.simulated_endpoint("studio", made.url, model="paint", idempotency=request.param, poll_after_s=0.05)
        )
        yield made, request.param


@pytest.mark.parametrize("point", POINTS)
def test_paid_call_when_its_worker_is_killed_then_it_is_paid_once(
    site: harness.Site, asked: tuple[harness.Simulator, str], point: str
) -> None:
    provider, _ = asked
    first = 1_000 * (POINTS.index(point) + 1)
    run_id = site.submit("pictures", first=first, count=CALLS)

    kills = site.finish_under_kills(run_id, point=point, kills=KILLS)
    run = site.run(run_id)

    seeds = range(first, first + CALLS)
    bought = {seed: count for seed, count in provider.payments_by_seed().items() if seed in seeds}
    assert run.output == list(seeds)
    assert bought == dict.fromkeys(seeds, 1)
    assert run.cost_nano_usd == CALLS * programs.PRICE_NANO_USD
    assert kills >= 1


def test_reconcile_when_its_worker_is_killed_in_it_then_the_call_is_paid_once(
    site: harness.Site, asked: tuple[harness.Simulator, str]
) -> None:
    provider, _ = asked
    run_id = site.submit("pictures", first=9_000, count=CALLS)
    doomed = site.launch_worker("k4", **site.armed("K4", kills=1))
    doomed.exit_code()

    kills = site.finish_under_kills(run_id, point="K8", kills=KILLS)
    run = site.run(run_id)

    bought = {seed: count for seed, count in provider.payments_by_seed().items() if seed >= 9_000}
    assert run.output == list(range(9_000, 9_000 + CALLS))
    assert bought == dict.fromkeys(range(9_000, 9_000 + CALLS), 1)
    assert kills == KILLS


@pytest.fixture(scope="module")
def unasked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Simulator]:
    """Give a provider that can be asked nothing."""
    with harness.simulator(tmp_path_factory.mktemp("unasked"), latency_ms=30, **{"class": "C"}) as made:
        yield made


@pytest.mark.parametrize("point", ["K2", "K4"])
def test_class_c_at_most_once_when_its_worker_is_killed_then_the_step_stays_unknown_and_is_never_paid_twice(
    site: harness.Site, unasked: harness.Simulator, point: str
) -> None:
    site.configure(harness.simulated_endpoint("studio", unasked.url, model="paint", idempotency="C"))
    seed = {"K2": 100, "K4": 200}[point]
    run_id = site.submit("pictures", first=seed, count=1)

    doomed = site.launch_worker(point.lower(), **site.armed(point, kills=1))
    doomed.exit_code()
    heir = site.start_worker("heir", FAULT_COMPUTE="none")
    site.until_row(
        "select s.state = 'unknown' and not exists (select 1 from heddle_timer t where t.run_id = s.run_id)"
        " and not exists (select 1 from heddle_ready y where y.run_id = s.run_id)"
        " and not exists (select 1 from heddle_lease l where l.run_id = s.run_id) from heddle_step s"
        " where s.run_id = %s and s.ordinal = 1 and s.state = 'unknown'",
        [run_id],
        what="the step is left to a person",
    )  # fmt: skip
    heir.kill()

    assert unasked.payments_by_seed()[seed] == {"K2": 0, "K4": 1}[point]
    assert site.run(run_id).state == "running"
    assert "has to be settled by a person" in site.why(run_id)


@pytest.mark.parametrize("point", ["K2", "K4", "K5"])
def test_class_c_at_least_once_when_its_worker_is_killed_then_it_ends_and_is_paid_at_most_once_more_per_kill(
    site: harness.Site, unasked: harness.Simulator, point: str
) -> None:
    text = harness.simulated_endpoint(
        "studio", unasked.url, model="paint", idempotency="C", unknown_policy="at_least_once"
    )
    site.configure(text)
    seed = {"K2": 300, "K4": 400, "K5": 500}[point]
    run_id = site.submit("pictures", first=seed, count=1)

    kills = site.finish_under_kills(run_id, point=point, kills=1)
    run = site.run(run_id)

    assert run.output == [seed]
    assert 1 <= unasked.payments_by_seed()[seed] <= 1 + kills
