import math

import pytest

from heddle.core.policy import deadline

OPTIONS = deadline.DeadlineOptions(settle_margin_s=1.0, send_margin_s=5.0)


@pytest.mark.parametrize(
    ("deadline_at_s", "now_s", "expected_s"),
    [(None, 100.0, math.inf), (130.0, 100.0, 30.0), (100.0, 100.0, 0.0), (90.0, 100.0, 0.0)],
)
def test_remaining_is_time_left_and_never_negative(
    deadline_at_s: float | None, now_s: float, expected_s: float
) -> None:
    assert deadline.remaining_s(deadline_at_s=deadline_at_s, now_s=now_s) == expected_s


def test_remaining_ms_rounds_down_so_that_a_service_never_gets_more_than_is_left() -> None:
    assert deadline.remaining_ms(deadline_at_s=100.0019, now_s=100.0) == 1


def test_remaining_ms_without_a_deadline_is_none() -> None:
    assert deadline.remaining_ms(deadline_at_s=None, now_s=100.0) is None


@pytest.mark.parametrize(("deadline_at_s", "is_expired"), [(None, False), (100.1, False), (100.0, True), (99.0, True)])
def test_deadline_is_expired_from_its_own_instant_on(deadline_at_s: float | None, is_expired: bool) -> None:
    assert deadline.is_expired(deadline_at_s=deadline_at_s, now_s=100.0) is is_expired


@pytest.mark.parametrize(
    ("adapter_timeout_s", "deadline_at_s", "expected_s"),
    [
        (60.0, None, 60.0),
        (60.0, 1000.0, 60.0),
        (60.0, 120.0, 19.0),
        (60.0, 101.0, None),
        (60.0, 50.0, None),
    ],
)
def test_call_timeout_is_the_adapters_or_what_is_left_less_one_second(
    adapter_timeout_s: float, deadline_at_s: float | None, expected_s: float | None
) -> None:
    timeout_s = deadline.call_timeout_s(
        OPTIONS, adapter_timeout_s=adapter_timeout_s, deadline_at_s=deadline_at_s, now_s=100.0
    )

    assert timeout_s == expected_s


def test_call_timeout_when_the_adapter_has_none_then_refused() -> None:
    with pytest.raises(ValueError, match=r"adapter_timeout_s is 0\.0"):
        deadline.call_timeout_s(OPTIONS, adapter_timeout_s=0.0, deadline_at_s=None, now_s=100.0)


@pytest.mark.parametrize(("deadline_at_s", "expected_s"), [(None, 110.0), (500.0, 110.0), (106.0, 105.0)])
def test_send_by_lies_one_margin_before_the_lease_ends_or_before_the_deadline(
    deadline_at_s: float | None, expected_s: float
) -> None:
    assert deadline.send_by_s(OPTIONS, lease_until_s=115.0, deadline_at_s=deadline_at_s) == expected_s


def test_new_owner_sends_only_one_margin_after_the_old_owner_had_to() -> None:
    assert deadline.resend_from_s(OPTIONS, send_by_s=110.0) == 115.0


@pytest.mark.parametrize(
    ("send_at_s", "now_s", "may_send"),
    [(100.0, 100.0, True), (109.9, 100.0, True), (110.0, 100.0, False), (100.0, 110.0, False)],
)
def test_call_may_be_sent_only_before_send_by(send_at_s: float, now_s: float, may_send: bool) -> None:
    assert deadline.may_send(send_at_s=send_at_s, send_by_s=110.0, now_s=now_s) is may_send


def test_options_when_a_margin_is_out_of_range_then_named() -> None:
    with pytest.raises(ValueError, match=r"send_margin_s is 0; it must be from 0\.1 to 300 \(seconds\)"):
        deadline.DeadlineOptions(send_margin_s=0)
