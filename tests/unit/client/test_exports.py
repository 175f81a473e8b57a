import datetime
import json

import pytest

from heddle.client import admission, exports
from heddle.ports import spending

DAY = datetime.date(2026, 11, 20)


def row(amount_nano_usd: int, account: str = "", day: datetime.date = DAY) -> spending.ReportedSpend:
    return spending.ReportedSpend(day=day, account=account, amount_nano_usd=amount_nano_usd)


COSTS = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": 1_763_596_800,
            "end_time": 1_763_683_200,
            "results": [
                {
                    "object": "organization.costs.result",
                    "amount": {"value": 0.06, "currency": "usd"},
                    "line_item": "a model, input",
                    "project_id": "proj_a",
                },
                {
                    "object": "organization.costs.result",
                    "amount": {"value": 0.0000000004, "currency": "usd"},
                    "line_item": "a model, output",
                    "project_id": "proj_a",
                },
                {"object": "organization.costs.result", "amount": {"value": 1, "currency": "usd"}},
            ],
        },
        {"object": "bucket", "start_time": 1_763_683_200, "end_time": 1_763_769_600, "results": []},
    ],
    "has_more": False,
    "next_page": None,
}
OLD = datetime.date(2025, 11, 20)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("time,amount\n2026-11-20,0.25\n", [row(250_000_000)]),
        ("\ufeffTime, Amount ,Key\n2026-11-20,0.25,k1\n", [row(250_000_000, "k1")]),
        (
            "time,amount,account,currency\n2026-11-20T23:30:00-02:00,1,a,USD\n",
            [row(10**9, "a", datetime.date(2026, 11, 21))],
        ),
        ("amount,time\n-0.5,1795132800\n", [row(-500_000_000, day=datetime.date(2026, 11, 20))]),
        ("time,amount\n2026-11-20,0.0000000004\n2026-11-20,0.0000000004\n", [row(1)]),
        (
            '{"time": "2026-11-20", "amount": "0.25", "key": "k"}\n\n{"time": "2026-11-20", "amount": 0.1}',
            [row(100_000_000), row(250_000_000, "k")],
        ),
        (json.dumps(COSTS), [row(10**9, "", OLD), row(60_000_000, "proj_a", OLD)]),
        (json.dumps(COSTS, indent=1), [row(10**9, "", OLD), row(60_000_000, "proj_a", OLD)]),
        (f"{json.dumps(COSTS)}\n{json.dumps(COSTS)}", [row(2 * 10**9, "", OLD), row(120_000_001, "proj_a", OLD)]),
    ],
)
def test_read_when_a_form_is_known_then_days_and_accounts_are_added_up(
    text: str, rows: list[spending.ReportedSpend]
) -> None:
    assert exports.read(text) == rows


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1 must name the columns time and amount"),
        ("day,usd\n2026-11-20,1\n", "line 1 must name the columns time and amount"),
        ("time,amount\n", "file has no rows"),
        ("time,amount\nyesterday,1\n", "line 2 has the time 'yesterday'"),
        ("time,amount\n1999-12-31,1\n", "line 2 is of 1999-12-31"),
        ("time,amount\n2026-11-20,much\n", "line 2 has the amount 'much'"),
        ("time,amount\n2026-11-20,nan\n", "line 2 has an amount beyond"),
        ("time,amount,currency\n2026-11-20,1,eur\n", "line 2 is in 'eur'; only US dollars are compared"),
        (f"time,amount,key\n2026-11-20,1,{'k' * 201}\n", "line 2 names an account"),
        (f'time,amount\n2026-11-20,"{"1" * 200_000}\n', "line 2 is no CSV"),
        ('{"time": "2026-11-20"}', "line 1 needs time and amount"),
        ('{"time": "2026-11-20", "amount": 1}\nnonsense', "line 2 is not JSON"),
        ('{"object": "page"}', "data is missing or is no list"),
        ('{"object": "page", "data": [{"start_time": 1}]}', "data[0].results is missing"),
    ],
)
def test_read_when_something_is_wrong_then_one_sentence_names_the_line(text: str, sentence: str) -> None:
    with pytest.raises(admission.InvalidInput) as refused:
        exports.read(text)

    assert sentence in str(refused.value)
