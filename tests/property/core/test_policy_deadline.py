import hypothesis
from hypothesis import strategies as st

from heddle.core.policy import deadline

LAW = hypothesis.settings(max_examples=100, derandomize=True, deadline=None)


TIMES = st.floats(0, 1e9)


@LAW
@hypothesis.given(adapter_timeout_s=st.floats(0.001, 1e5), deadline_at_s=TIMES, now_s=TIMES)
def test_a_call_always_ends_before_the_deadline(adapter_timeout_s: float, deadline_at_s: float, now_s: float) -> None:
    timeout_s = deadline.call_timeout_s(
        deadline.DeadlineOptions(), adapter_timeout_s=adapter_timeout_s, deadline_at_s=deadline_at_s, now_s=now_s
    )

    assert timeout_s is None or (0 < timeout_s <= adapter_timeout_s and now_s + timeout_s < deadline_at_s)


@LAW
@hypothesis.given(lease_until_s=TIMES, deadline_at_s=TIMES)
def test_two_owners_never_may_send_at_the_same_time(lease_until_s: float, deadline_at_s: float) -> None:
    options = deadline.DeadlineOptions()

    send_by_s = deadline.send_by_s(options, lease_until_s=lease_until_s, deadline_at_s=deadline_at_s)

    assert send_by_s < deadline.resend_from_s(options, send_by_s=send_by_s) <= lease_until_s + 1e-6
