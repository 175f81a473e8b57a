import datetime

import pytest

from heddle.console import purse
from heddle.ports import spending

TODAY = datetime.date(2026, 11, 20)
USD = 1_000_000_000


def used(day: datetime.date | None, usd: int, *, workflow: str | None = None) -> spending.UsageView:
    return spending.UsageView(
        day=day,
        workflow=workflow,
        model=None,
        endpoint=None,
        calls=usd,
        estimates=0,
        charged_nano_usd=usd * USD,
        adjusted_nano_usd=0,
        refunded_nano_usd=0,
        reserved_nano_usd=0,
        released_nano_usd=0,
        mark=spending.UsageMark(day=TODAY, workflow="", model="", endpoint_id=0),
    )


def test_bars_when_some_days_had_no_spend_then_each_day_has_its_bar_and_the_dearest_is_the_highest() -> None:
    rows = [used(TODAY, 4), used(TODAY - datetime.timedelta(days=2), 2)]

    found = purse.bars(rows, last=TODAY)

    assert [bar.day for bar in found] == [TODAY - datetime.timedelta(days=29 - place) for place in range(30)]
    assert [bar.height for bar in found[-3:]] == [60.0, 0.0, 120.0]
    assert [bar.cost for bar in found[-3:]] == ["2.00", "0.00", "4.00"]


def test_bars_when_nothing_was_spent_then_none_has_a_height() -> None:
    assert {bar.height for bar in purse.bars([], last=TODAY)} == {0.0}


@pytest.mark.parametrize(
    ("cap", "spent", "reserved", "shares", "left", "look"),
    [
        (10, 2, 1, (20.0, 10.0), "7.00", "good"),
        (10, 7, 1, (70.0, 10.0), "2.00", "wait"),
        (10, 9, 3, (90.0, 10.0), "0.00", "bad"),
        (10, 15, 3, (100.0, 0.0), "0.00", "bad"),
        (0, 0, 0, (100.0, 0.0), "0.00", "bad"),
    ],
)
def test_caps_when_a_cap_is_set_then_its_shares_never_pass_the_whole(
    cap: int, spent: int, reserved: int, shares: tuple[float, float], left: str, look: str
) -> None:
    view = spending.BudgetView(
        workflow="shoot",
        day_cap_nano_usd=cap * USD,
        month_cap_nano_usd=None,
        spent_today_nano_usd=spent * USD,
        reserved_today_nano_usd=reserved * USD,
        spent_month_nano_usd=0,
        reserved_month_nano_usd=0,
    )

    (line,) = purse.caps([view])

    assert (line.name, line.spent_share, line.reserved_share) == ("shoot, today", *shares)
    assert (line.left, line.look) == (left, look)


def test_groups_when_there_are_many_then_the_dearest_come_first() -> None:
    rows = [used(None, 1, workflow="a"), used(None, 3, workflow="b")]

    assert [(line.workflow, line.cost) for line in purse.groups(rows)] == [("b", "3.00"), ("a", "1.00")]
