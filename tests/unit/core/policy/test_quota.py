"""What a tenant may take, and when it may come back."""

import pytest

from heddle.core.policy import quota

BOUNDS = quota.Quota(runs_per_min=10, open_runs_max=5, budget_nano_usd_per_day=1_000, budget_nano_usd_per_month=9_000)


@pytest.mark.parametrize(
    ("use", "bound", "retry_after_s"),
    [
        (quota.Use(runs_in_window=10, window_frees_in_s=17.5), quota.Bound.RUNS_PER_MIN, 17.5),
        (quota.Use(runs_in_window=10, window_frees_in_s=0.0), quota.Bound.RUNS_PER_MIN, 1.0),
        (quota.Use(open_runs=5), quota.Bound.OPEN_RUNS, quota.OPEN_RETRY_AFTER_S),
        (quota.Use(spent_nano_usd=1_000, day_left_s=3_600.0), quota.Bound.BUDGET, 3_600.0),
        (
            quota.Use(spent_month_nano_usd=9_000, day_left_s=3_600.0, month_left_s=1_000_000.0),
            quota.Bound.MONTH_BUDGET,
            1_000_000.0,
        ),
        (
            quota.Use(spent_nano_usd=1_000, day_left_s=3_600.0, spent_month_nano_usd=9_000, month_left_s=1_000_000.0),
            quota.Bound.MONTH_BUDGET,
            1_000_000.0,
        ),
        (
            quota.Use(runs_in_window=10, window_frees_in_s=30.0, open_runs=5),
            quota.Bound.RUNS_PER_MIN,
            30.0,
        ),
    ],
)
def test_exceeded_names_the_bound_that_keeps_out_the_longest(
    use: quota.Use, bound: quota.Bound, retry_after_s: float
) -> None:
    assert quota.exceeded(BOUNDS, use) == quota.Exceeded(bound=bound, retry_after_s=retry_after_s)


def test_exceeded_when_there_is_room_for_the_last_one_then_none() -> None:
    use = quota.Use(runs_in_window=9, open_runs=4, spent_nano_usd=999)

    assert quota.exceeded(BOUNDS, use) is None
    assert quota.exceeded(BOUNDS, use, runs=2) is not None


def test_tenant_without_bounds_is_never_refused() -> None:
    assert quota.exceeded(quota.NONE, quota.Use(runs_in_window=10**9, open_runs=10**9, spent_nano_usd=10**18)) is None


def test_remaining_is_told_of_the_minute_only() -> None:
    assert quota.remaining(BOUNDS, quota.Use(runs_in_window=3)) == 7
    assert quota.remaining(quota.NONE, quota.Use(runs_in_window=3)) is None
