import pytest

from heddle.core.policy import budget

OPTIONS = budget.BudgetOptions(warn_ratio=0.8)
RESERVE, RELEASE, CHARGE, REFUND, ADJUSTMENT = budget.EntryKind


def entry(kind: budget.EntryKind, amount_nano_usd: int, *, key: str = "attempt-1") -> budget.Entry:
    return budget.Entry(key=key, kind=kind, amount_nano_usd=amount_nano_usd)


@pytest.mark.parametrize(
    ("cap", "reserved", "spent", "amount", "answer"),
    [
        (100, 0, 0, 79, budget.Reserved(is_near_cap=False)),
        (100, 0, 0, 80, budget.Reserved(is_near_cap=True)),
        (100, 30, 30, 40, budget.Reserved(is_near_cap=True)),
        (100, 30, 30, 41, budget.Refused(account=0, short_nano_usd=1)),
        (100, 0, 150, 1, budget.Refused(account=0, short_nano_usd=1)),
        (100, 0, 150, 0, budget.Reserved(is_near_cap=True)),
        (0, 0, 0, 1, budget.Refused(account=0, short_nano_usd=1)),
        (None, 30, 30, 10**15, budget.Reserved(is_near_cap=False)),
    ],
)
def test_reserve_stops_the_call_that_would_pass_the_cap(
    cap: int | None, reserved: int, spent: int, amount: int, answer: budget.Reserved | budget.Refused
) -> None:
    account = budget.Account(cap_nano_usd=cap, reserved_nano_usd=reserved, spent_nano_usd=spent)

    _, actual = budget.reserve(OPTIONS, [account], amount_nano_usd=amount)

    assert actual == answer


def test_reserve_when_one_account_cannot_then_none_is_touched() -> None:
    run_account = budget.Account(cap_nano_usd=100)
    tenant_account = budget.Account(cap_nano_usd=10)

    accounts, answer = budget.reserve(OPTIONS, [run_account, tenant_account], amount_nano_usd=50)

    assert accounts == (run_account, tenant_account)
    assert answer == budget.Refused(account=1, short_nano_usd=40)


@pytest.mark.parametrize(("actual", "spent"), [(0, 0), (30, 30), (40, 40), (500, 500)])
def test_charge_books_what_was_spent_whole_and_frees_the_reservation(actual: int, spent: int) -> None:
    account = budget.Account(cap_nano_usd=100, reserved_nano_usd=40)

    charged = budget.charge(account, reserved_nano_usd=40, actual_nano_usd=actual)

    assert charged == budget.Account(cap_nano_usd=100, reserved_nano_usd=0, spent_nano_usd=spent)


def test_charge_when_more_is_freed_than_was_held_then_refused() -> None:
    with pytest.raises(ValueError, match="reserved_nano_usd is 41; it must be from 0 to 40"):
        budget.charge(budget.Account(cap_nano_usd=None, reserved_nano_usd=40), reserved_nano_usd=41, actual_nano_usd=0)


def test_refund_gives_room_under_the_cap_again() -> None:
    account = budget.Account(cap_nano_usd=100, spent_nano_usd=100)

    assert budget.refund(account, amount_nano_usd=30).free_nano_usd == 30


def test_refund_when_more_than_was_spent_then_refused() -> None:
    with pytest.raises(ValueError, match="amount_nano_usd is 101; it must be from 0 to 100"):
        budget.refund(budget.Account(cap_nano_usd=None, spent_nano_usd=100), amount_nano_usd=101)


def test_balance_sums_a_ledger_into_its_account() -> None:
    ledger = [
        entry(RESERVE, 40),
        entry(RESERVE, 10, key="open"),
        entry(CHARGE, 35),
        entry(RELEASE, 5),
        entry(REFUND, 5),
        entry(CHARGE, 7, key="late"),
        entry(ADJUSTMENT, -2, key="late"),
        entry(RESERVE, 3, key="dear"),
        entry(CHARGE, 9, key="dear"),
        entry(RELEASE, -6, key="dear"),
    ]

    assert budget.balance(ledger, cap_nano_usd=100) == budget.Account(
        cap_nano_usd=100, reserved_nano_usd=10, spent_nano_usd=44
    )


@pytest.mark.parametrize(
    ("ledger", "law"),
    [
        ([entry(RESERVE, 1), entry(RESERVE, 1)], budget.Law.ONE_OF_A_KIND),
        ([entry(CHARGE, 1), entry(CHARGE, 1)], budget.Law.ONE_OF_A_KIND),
        ([entry(RESERVE, 2), entry(CHARGE, 1)], budget.Law.BALANCE),
        ([entry(RESERVE, 2), entry(RELEASE, 1)], budget.Law.BALANCE),
        ([entry(CHARGE, 1), entry(RELEASE, 1)], budget.Law.RELEASE_OF_A_RESERVATION),
        ([entry(RESERVE, 1), entry(REFUND, 1)], budget.Law.NEVER_BELOW_NOTHING),
        ([entry(CHARGE, 1), entry(REFUND, 2)], budget.Law.NEVER_BELOW_NOTHING),
        ([entry(CHARGE, 1), entry(ADJUSTMENT, -2)], budget.Law.NEVER_BELOW_NOTHING),
    ],
)
def test_violations_name_the_attempt_and_the_law_it_breaks(ledger: list[budget.Entry], law: budget.Law) -> None:
    assert budget.violations(ledger) == (budget.Violation(key="attempt-1", law=law),)


def test_balance_when_the_ledger_breaks_a_law_then_refused() -> None:
    with pytest.raises(ValueError, match="the entries of attempt-1 break one_of_a_kind"):
        budget.balance([entry(CHARGE, 1), entry(CHARGE, 1)], cap_nano_usd=None)


@pytest.mark.parametrize("kind", [RESERVE, CHARGE, REFUND])
def test_entry_when_its_kind_tells_the_direction_then_a_negative_amount_is_refused(kind: budget.EntryKind) -> None:
    with pytest.raises(ValueError, match="amount_nano_usd is -1"):
        entry(kind, -1)


def test_options_when_out_of_range_then_named() -> None:
    with pytest.raises(ValueError, match=r"warn_ratio is 2; it must be from 0\.01 to 1 \(ratio\)"):
        budget.BudgetOptions(warn_ratio=2)
