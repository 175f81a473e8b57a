import pytest

from heddle.core.policy import budget

OPTIONS = budget.BudgetOptions(warn_ratio=0.8)
RESERVATION, CHARGE, REFUND = budget.EntryKind.RESERVATION, budget.EntryKind.CHARGE, budget.EntryKind.REFUND


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


def test_fold_sums_a_ledger_into_its_account() -> None:
    ledger = [
        entry(RESERVATION, 40),
        entry(RESERVATION, 10, key="attempt-2"),
        entry(CHARGE, 35),
        entry(REFUND, 5),
        entry(CHARGE, 7, key="late-3"),
    ]

    assert budget.fold(ledger, cap_nano_usd=100) == budget.Account(
        cap_nano_usd=100, reserved_nano_usd=10, spent_nano_usd=37
    )


@pytest.mark.parametrize(
    ("ledger", "law"),
    [
        ([entry(RESERVATION, 1), entry(RESERVATION, 1)], budget.Law.ONE_RESERVATION),
        ([entry(CHARGE, 1), entry(CHARGE, 1)], budget.Law.ONE_CHARGE),
        ([entry(CHARGE, 1), entry(RESERVATION, 1)], budget.Law.RESERVATION_BEFORE_CHARGE),
        ([entry(RESERVATION, 1), entry(REFUND, 1)], budget.Law.REFUND_WITHIN_CHARGE),
        ([entry(CHARGE, 1), entry(REFUND, 2)], budget.Law.REFUND_WITHIN_CHARGE),
        ([entry(RESERVATION, 1), entry(REFUND, 0)], budget.Law.REFUND_WITHIN_CHARGE),
    ],
)
def test_violations_name_the_entry_and_the_law_it_breaks(ledger: list[budget.Entry], law: budget.Law) -> None:
    assert budget.violations(ledger) == (budget.Violation(position=1, key="attempt-1", law=law),)


def test_fold_when_the_ledger_breaks_a_law_then_refused() -> None:
    with pytest.raises(ValueError, match="entry 1 of key attempt-1 breaks one_charge"):
        budget.fold([entry(CHARGE, 1), entry(CHARGE, 1)], cap_nano_usd=None)


def test_options_when_out_of_range_then_named() -> None:
    with pytest.raises(ValueError, match=r"warn_ratio is 2; it must be from 0\.01 to 1 \(ratio\)"):
        budget.BudgetOptions(warn_ratio=2)
