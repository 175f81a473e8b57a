import itertools

import hypothesis
from hypothesis import strategies as st

from heddle.core.policy import breaker

LAW = hypothesis.settings(max_examples=100, derandomize=True, deadline=None)


EVENTS = st.lists(
    st.tuples(st.floats(0, 60), st.sampled_from(["ask", "ok", "failed", "stale", "unsent"]), st.integers(1, 30)),
    max_size=80,
)


def step(
    options: breaker.BreakerOptions, state: breaker.Breaker, *, what: str, count: int, now_s: float
) -> breaker.Breaker:
    match what:
        case "ask":
            return breaker.admit(options, state, now_s=now_s)[0]
        case "ok":
            return breaker.record(options, state, ok=count, failed=0, epoch=state.epoch, now_s=now_s)
        case "failed":
            return breaker.record(options, state, ok=0, failed=count, epoch=state.epoch, now_s=now_s)
        case "unsent":
            return breaker.probe_unsent(state, epoch=state.epoch, now_s=now_s)
        case _:
            failed = count if state.epoch else 0
            return breaker.record(options, state, ok=0, failed=failed, epoch=max(0, state.epoch - 1), now_s=now_s)


@LAW
@hypothesis.given(events=EVENTS)
def test_every_history_keeps_the_laws_of_the_breaker(events: list[tuple[float, str, int]]) -> None:
    options = breaker.BreakerOptions()
    state, now_s = breaker.Breaker(), 1000.0

    for pause_s, what, count in events:
        now_s += pause_s
        before = state
        state = step(options, before, what=what, count=count, now_s=now_s)

        assert state.epoch - before.epoch == (state.position is not before.position)
        assert (state.until_s is None) == (state.position is breaker.Position.CLOSED)
        assert state.until_s is None or state.until_s - now_s <= options.open_max_s
        assert len(state.seconds) <= options.window_s
        assert 0 <= breaker.ramped(options, state, limit=10, now_s=now_s) <= 10


@LAW
@hypothesis.given(times_s=st.lists(st.floats(0, 600), min_size=1, max_size=60))
def test_at_most_one_probe_is_out_in_any_open_interval(times_s: list[float]) -> None:
    options = breaker.BreakerOptions()
    state = breaker.record(options, breaker.Breaker(), ok=0, failed=5, epoch=0, now_s=0.0)
    probes: list[breaker.Probe] = []

    for now_s in sorted(times_s):
        state, answer = breaker.admit(options, state, now_s=now_s)
        probes += [answer] if isinstance(answer, breaker.Probe) else []

    assert all(
        later.report_by_s - earlier.report_by_s >= options.probe_s + options.open_s
        for earlier, later in itertools.pairwise(probes)
    )


@LAW
@hypothesis.given(failed=st.integers(0, 1000), ok=st.integers(0, 1000), behind=st.integers(1, 3))
def test_outcomes_of_an_older_epoch_never_count(failed: int, ok: int, behind: int) -> None:
    options = breaker.BreakerOptions()
    state = breaker.Breaker(epoch=3)

    assert breaker.record(options, state, ok=ok, failed=failed, epoch=3 - behind, now_s=5.0) == state
