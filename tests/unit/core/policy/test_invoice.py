import datetime

import pytest

from heddle.core.policy import invoice

USD = 1_000_000_000
OPTIONS = invoice.InvoiceOptions(divergence_ratio_max=0.02, divergence_nano_usd_min=USD, silent_calls_min=20)


def day(number: int = 1, **changes: int | None) -> invoice.DaySpend:
    return invoice.DaySpend(day=datetime.date(2026, 11, number), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("days", "share"),
    [
        ([], None),
        ([day(metered_nano_usd=5)], None),
        ([day(metered_nano_usd=0, reported_nano_usd=0)], 0.0),
        ([day(metered_nano_usd=100, reported_nano_usd=80)], 0.2),
        ([day(metered_nano_usd=80, reported_nano_usd=100)], 0.2),
        ([day(metered_nano_usd=0, reported_nano_usd=100)], 1.0),
        ([day(1, metered_nano_usd=60, reported_nano_usd=100), day(2, metered_nano_usd=40, reported_nano_usd=0)], 0.0),
        ([day(1, metered_nano_usd=90, reported_nano_usd=100), day(2, metered_nano_usd=900)], 0.1),
    ],
)
def test_divergence_when_days_have_a_report_then_it_is_their_share(
    days: list[invoice.DaySpend], share: float | None
) -> None:
    assert invoice.divergence(days) == share


@pytest.mark.parametrize(
    ("days", "alarms"),
    [
        ([day(calls=500, metered_nano_usd=100 * USD, reported_nano_usd=101 * USD)], set()),
        ([day(calls=500, metered_nano_usd=100 * USD, reported_nano_usd=103 * USD)], {invoice.Alarm.DIVERGING}),
        ([day(calls=500, metered_nano_usd=103 * USD, reported_nano_usd=100 * USD)], {invoice.Alarm.DIVERGING}),
        ([day(metered_nano_usd=1, reported_nano_usd=USD // 2)], set()),
        ([day(calls=19)], set()),
        ([day(calls=20)], {invoice.Alarm.SILENT}),
        ([day(1, calls=20, metered_nano_usd=1), day(2, calls=3)], set()),
        ([day(unknown_nano_usd=1, reported_nano_usd=1, metered_nano_usd=1)], {invoice.Alarm.UNKNOWN_KEY}),
    ],
)
def test_alarms_when_something_does_not_fit_then_it_is_named(
    days: list[invoice.DaySpend], alarms: set[invoice.Alarm]
) -> None:
    assert invoice.alarms(OPTIONS, days) == alarms


@pytest.mark.parametrize(
    "change", [{"divergence_ratio_max": 0}, {"divergence_nano_usd_min": -1}, {"silent_calls_min": 0}]
)
def test_options_when_out_of_range_then_named(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        invoice.InvoiceOptions(**change)  # type: ignore[arg-type]
