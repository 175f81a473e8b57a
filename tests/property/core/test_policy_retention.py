import hypothesis
from hypothesis import strategies as st

from heddle.core.policy import retention

LAW = hypothesis.settings(max_examples=100, derandomize=True, deadline=None)


INSTANTS = st.floats(0, 4e9)


@LAW
@hypothesis.given(now_s=INSTANTS)
def test_every_instant_lies_in_the_week_it_is_given(now_s: float) -> None:
    week = retention.week_of(now_s=now_s)

    assert week.starts_at_s <= now_s < week.ends_at_s


@LAW
@hypothesis.given(now_s=INSTANTS, existing=st.sets(st.integers(-10, 10)), open_runs=st.integers(0, 3))
def test_nothing_is_both_created_and_removed_and_the_living_stay(
    now_s: float, existing: set[int], open_runs: int
) -> None:
    options = retention.RetentionOptions()
    present = retention.week_of(now_s=now_s).number
    weeks = {retention.Week(number=present + offset) for offset in existing}
    partitions = [retention.PartitionFacts(week=week, open_runs=open_runs) for week in weeks]

    removal = retention.to_remove(options, partitions=partitions, now_s=now_s)
    created = retention.to_create(options, existing=weeks, now_s=now_s)

    assert not weeks & set(created)
    assert not removal.removable or open_runs == 0
    assert all(week.number < present - options.weeks_kept for week in removal.removable)
    assert not retention.is_short(existing=weeks | set(created), now_s=now_s)
