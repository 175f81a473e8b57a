import dataclasses

import pytest

from heddle.core.policy import breaker

OPTIONS = breaker.BreakerOptions()
OPEN = breaker.record(OPTIONS, breaker.Breaker(), ok=0, failed=5, epoch=0, now_s=100.0)
HALF_OPEN, _ = breaker.admit(OPTIONS, OPEN, now_s=130.0)
CLOSED_AGAIN = breaker.record(OPTIONS, HALF_OPEN, ok=1, failed=0, epoch=2, now_s=131.0)


@pytest.mark.parametrize(
    ("batches", "position"),
    [
        ([(0, 4)], breaker.Position.CLOSED),
        ([(0, 5)], breaker.Position.OPEN),
        ([(0, 3), (0, 2)], breaker.Position.OPEN),
        ([(0, 4), (1, 0), (0, 4)], breaker.Position.CLOSED),
        ([(9, 0), (1, 9)], breaker.Position.CLOSED),
        ([(10, 0), (1, 9)], breaker.Position.CLOSED),
        ([(9, 0), (1, 10)], breaker.Position.OPEN),
        ([(11, 0), (1, 8)], breaker.Position.CLOSED),
    ],
)
def test_breaker_opens_on_five_in_a_row_or_half_of_twenty(
    batches: list[tuple[int, int]], position: breaker.Position
) -> None:
    state = breaker.Breaker()

    for ok, failed in batches:
        state = breaker.record(OPTIONS, state, ok=ok, failed=failed, epoch=state.epoch, now_s=100.0)

    assert state.position is position


def test_share_counts_only_the_last_ten_seconds() -> None:
    state = breaker.record(OPTIONS, breaker.Breaker(), ok=1, failed=15, epoch=0, now_s=100.0)

    state = breaker.record(OPTIONS, state, ok=1, failed=4, epoch=0, now_s=110.0)

    assert state.position is breaker.Position.CLOSED


def test_admit_when_open_then_blocked_until_thirty_seconds_have_passed() -> None:
    assert breaker.admit(OPTIONS, OPEN, now_s=129.9) == (OPEN, breaker.Blocked(retry_at_s=130.0))


def test_admit_when_the_opening_is_over_then_one_probe_and_no_other() -> None:
    probing, first = breaker.admit(OPTIONS, OPEN, now_s=130.0)

    _, second = breaker.admit(OPTIONS, probing, now_s=130.0)

    assert first == breaker.Probe(epoch=2, report_by_s=190.0)
    assert second == breaker.Blocked(retry_at_s=190.0)


def test_probe_when_it_succeeds_then_closed() -> None:
    assert CLOSED_AGAIN.position is breaker.Position.CLOSED


def test_probe_when_it_fails_then_open_twice_as_long() -> None:
    state = breaker.record(OPTIONS, HALF_OPEN, ok=0, failed=1, epoch=2, now_s=131.0)

    assert (state.position, state.until_s) == (breaker.Position.OPEN, 131.0 + 60.0)


def test_probe_when_it_never_reports_then_failed() -> None:
    state, answer = breaker.admit(OPTIONS, HALF_OPEN, now_s=190.0)

    assert (state.position, answer) == (breaker.Position.OPEN, breaker.Blocked(retry_at_s=250.0))


def test_probe_when_never_sent_then_the_next_claim_probes_at_once() -> None:
    returned = breaker.probe_unsent(HALF_OPEN, epoch=2, now_s=131.0)

    _, answer = breaker.admit(OPTIONS, returned, now_s=131.0)

    assert answer == breaker.Probe(epoch=4, report_by_s=191.0)


def test_opening_doubles_up_to_five_minutes() -> None:
    state = OPEN
    lengths_s = []

    for _ in range(6):
        state, _ = breaker.admit(OPTIONS, state, now_s=1000.0)
        state = breaker.record(OPTIONS, state, ok=0, failed=1, epoch=state.epoch, now_s=0.0)
        lengths_s.append(state.until_s)

    assert lengths_s == [60.0, 120.0, 240.0, 300.0, 300.0, 300.0]


def test_opening_when_well_for_a_whole_ramp_then_short_again() -> None:
    state = breaker.record(OPTIONS, CLOSED_AGAIN, ok=0, failed=5, epoch=3, now_s=161.0)

    assert state.until_s == 161.0 + 30.0


def test_opening_when_still_ramping_then_longer() -> None:
    state = breaker.record(OPTIONS, CLOSED_AGAIN, ok=0, failed=5, epoch=3, now_s=160.0)

    assert state.until_s == 160.0 + 60.0


@pytest.mark.parametrize("state", [OPEN, HALF_OPEN, CLOSED_AGAIN])
def test_outcomes_of_an_older_epoch_change_nothing(state: breaker.Breaker) -> None:
    assert breaker.record(OPTIONS, state, ok=3, failed=50, epoch=0, now_s=131.0) == state


def test_outcomes_of_an_epoch_not_yet_reached_are_refused() -> None:
    with pytest.raises(ValueError, match=r"epoch is 1; it must be from 0 to 0"):
        breaker.record(OPTIONS, breaker.Breaker(), ok=1, failed=0, epoch=1, now_s=100.0)


@pytest.mark.parametrize(
    ("state", "now_s", "expected"),
    [
        (breaker.Breaker(), 100.0, 50),
        (OPEN, 110.0, 0),
        (HALF_OPEN, 130.0, 1),
        (CLOSED_AGAIN, 131.0, 5),
        (CLOSED_AGAIN, 146.0, 27),
        (CLOSED_AGAIN, 161.0, 50),
    ],
)
def test_limit_comes_back_from_a_tenth_to_all_in_thirty_seconds(
    state: breaker.Breaker, now_s: float, expected: int
) -> None:
    assert breaker.ramped(OPTIONS, state, limit=50, now_s=now_s) == expected


def test_ramp_always_lets_one_call_through() -> None:
    assert breaker.ramped(OPTIONS, CLOSED_AGAIN, limit=3, now_s=131.0) == 1


def test_options_when_doubling_would_stop_below_its_start_then_named() -> None:
    with pytest.raises(ValueError, match=r"open_max_s is 10; it must be from 30\.0 to 86400 \(seconds\)"):
        dataclasses.replace(OPTIONS, open_max_s=10)
