import hypothesis
from hypothesis import strategies as st

from heddle.core.policy import budget

LAW = hypothesis.settings(max_examples=100, derandomize=True, deadline=None)


AMOUNTS = st.integers(0, 1000)
CALLS = st.lists(st.tuples(AMOUNTS, st.none() | AMOUNTS, AMOUNTS), max_size=40)


@LAW
@hypothesis.given(cap=AMOUNTS, calls=CALLS)
def test_account_is_the_sum_of_its_ledger_and_only_overruns_can_pass_the_cap(
    cap: int, calls: list[tuple[int, int | None, int]]
) -> None:
    account = budget.Account(cap_nano_usd=cap)
    ledger: list[budget.Entry] = []
    overrun = 0

    for index, (estimate, actual, returned) in enumerate(calls):
        key = f"attempt-{index}"
        (account,), answer = budget.reserve(budget.BudgetOptions(), [account], amount_nano_usd=estimate)
        if isinstance(answer, budget.Refused):
            continue
        ledger.append(budget.Entry(key=key, kind=budget.EntryKind.RESERVE, amount_nano_usd=estimate))
        if actual is None:
            continue
        account = budget.charge(account, reserved_nano_usd=estimate, actual_nano_usd=actual)
        ledger.append(budget.Entry(key=key, kind=budget.EntryKind.CHARGE, amount_nano_usd=actual))
        ledger.append(budget.Entry(key=key, kind=budget.EntryKind.RELEASE, amount_nano_usd=estimate - actual))
        account = budget.refund(account, amount_nano_usd=min(returned, actual))
        ledger.append(budget.Entry(key=key, kind=budget.EntryKind.REFUND, amount_nano_usd=min(returned, actual)))
        overrun += max(0, actual - estimate)

        assert account.spent_nano_usd + account.reserved_nano_usd <= cap + overrun

    assert budget.balance(ledger, cap_nano_usd=cap) == account


@LAW
@hypothesis.given(
    entries=st.lists(
        st.builds(
            budget.Entry,
            key=st.sampled_from(["attempt-1", "attempt-2", "attempt-3"]),
            kind=st.sampled_from(budget.EntryKind),
            amount_nano_usd=AMOUNTS,
        ),
        max_size=12,
    )
)
def test_ledger_without_the_attempts_that_break_a_law_can_be_summed(entries: list[budget.Entry]) -> None:
    broken = {violation.key for violation in budget.violations(entries)}
    kept = [entry for entry in entries if entry.key not in broken]

    account = budget.balance(kept, cap_nano_usd=None)

    assert account.reserved_nano_usd >= 0
    assert account.spent_nano_usd >= 0
