"""The tables of faults: what a status or a loss means, and when it may cost money to be wrong."""

import pytest

from heddle.core import faults, settle
from heddle.core.policy import price
from heddle.providers import prices, registry, statuses, transport
from heddle.providers.http import faults as http_faults
from heddle.providers.kserve import faults as kserve_faults
from heddle.providers.openai import faults as openai_faults
from heddle.providers.simulator import faults as simulator_faults

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize("status", [301, 302, 303, 408, 500, 502, 503, 504, 520, 599, 399])
def test_status_when_it_proves_no_refusal_then_unknown_if_paid_and_transient_if_free(status: int) -> None:
    fault = statuses.fault_of(status)

    paid = statuses.outcome_of(fault, message="m", where="w", is_paid=True)
    free = statuses.outcome_of(fault, message="m", where="w", is_paid=False)

    assert paid == settle.Unknown(message="m")
    assert isinstance(free, settle.Faulted)
    assert free.fault.fault is faults.Fault.REJECTED_TRANSIENT


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 410, 418, 422, 451, 499, 307, 308, 501, 505])
def test_status_when_it_refuses_for_good_then_permanent(status: int) -> None:
    assert statuses.fault_of(status) is faults.Fault.REJECTED_PERMANENT


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (401, faults.Fault.REJECTED_TRANSIENT),
        (402, faults.Fault.REJECTED_TRANSIENT),
        (413, faults.Fault.TOO_LARGE),
        (425, faults.Fault.REJECTED_TRANSIENT),
        (429, faults.Fault.THROTTLED),
    ],
)
def test_status_when_named_then_its_row(status: int, fault: faults.Fault) -> None:
    assert statuses.fault_of(status) is fault


@pytest.mark.parametrize(
    ("lost", "paid", "free"),
    [
        (transport.NotSent(cause=transport.Cause.CONNECT, message="m"), "not_sent", "not_sent"),
        (transport.NotSent(cause=transport.Cause.NO_TIME, message="m"), "deadline", "deadline"),
        (transport.MaybeSent(cause=transport.Cause.TIMEOUT, message="m"), "unknown", "rejected_transient"),
        (transport.MaybeSent(cause=transport.Cause.CUT, message="m", status=200), "unknown", "partial"),
        (
            transport.MaybeSent(cause=transport.Cause.CUT, message="m", status=422),
            "rejected_permanent",
            "rejected_permanent",
        ),
        (transport.MaybeSent(cause=transport.Cause.CUT, message="m", status=502), "unknown", "rejected_transient"),
        (transport.MaybeSent(cause=transport.Cause.TOO_LARGE, message="m", status=200), "too_large", "too_large"),
    ],
    ids=str,
)
def test_loss_when_judged_then_never_called_a_refusal_without_proof(lost: transport.Lost, paid: str, free: str) -> None:
    outcomes = [statuses.outcome_of_loss(lost, where="w", is_paid=is_paid) for is_paid in (True, False)]

    assert [
        outcome.fault.fault.value if isinstance(outcome, settle.Faulted) else "unknown" for outcome in outcomes
    ] == [paid, free]


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("1.5", 1.5),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30.0),
        ("Tue, 14 Nov 2023 22:12:00 GMT", 0.0),
        ("99999999999", 86_400.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Tue, 99 Nov 2023 22:13:50 GMT", None),
    ],
)
def test_retry_after_when_read_then_seconds_or_nothing(text: str, expected_s: float | None) -> None:
    assert statuses.retry_after_s({"retry-after": text}, now_s=NOW_S) == expected_s


@pytest.mark.parametrize(("text", "expected_s"), [("250", 0.25), ("", 7.0), ("soon", 7.0), ("-1", 7.0)])
def test_retry_after_when_in_milliseconds_too_then_these_count(text: str, expected_s: float) -> None:
    assert statuses.retry_after_s({"retry-after-ms": text, "retry-after": "7"}, now_s=NOW_S) == expected_s


def test_tables_when_they_call_it_refused_then_no_row_of_a_server_failure_is_without_a_code() -> None:
    """A 5xx proves a refusal only when the provider's own code says so; kserve's calls cost nothing."""
    rows = {**http_faults.FAULTS, **openai_faults.FAULTS, **simulator_faults.FAULTS}

    assert [row for row in rows if row[0] >= 500 and not row[1]] == []
    assert kserve_faults.fault_of(503) is faults.Fault.REJECTED_TRANSIENT


@pytest.mark.parametrize(
    ("status", "code", "keyed", "unkeyed"),
    [
        (500, "internal_error", faults.Fault.SENT_UNKNOWN, faults.Fault.REJECTED_TRANSIENT),
        (503, "ledger_unavailable", faults.Fault.SENT_UNKNOWN, faults.Fault.REJECTED_TRANSIENT),
        (503, "full", faults.Fault.THROTTLED, faults.Fault.THROTTLED),
        (409, "in_progress", faults.Fault.SENT_UNKNOWN, faults.Fault.SENT_UNKNOWN),
        (500, "", faults.Fault.SENT_UNKNOWN, faults.Fault.SENT_UNKNOWN),
    ],
)
def test_simulator_when_a_keyed_send_meets_a_server_failure_then_an_earlier_one_may_stand(
    status: int, code: str, keyed: faults.Fault, unkeyed: faults.Fault
) -> None:
    assert simulator_faults.fault_of(status, code, is_keyed=True) is keyed
    assert simulator_faults.fault_of(status, code, is_keyed=False) is unkeyed


def test_job_when_it_failed_by_an_unknown_code_then_unclassified() -> None:
    assert simulator_faults.job_fault_of("new_code") is faults.Fault.UNCLASSIFIED


@pytest.mark.parametrize("adapter", sorted(registry.ADAPTERS))
def test_prices_when_shipped_then_readable(adapter: str) -> None:
    assert price.Price() not in prices.read(adapter).values()


def test_prices_when_of_the_simulator_then_its_default() -> None:
    assert prices.read("simulator") == {"*": price.Price(call=40_000_000)}


@pytest.mark.parametrize(
    "text",
    [
        "models = {}",
        'source = "s"\nread_on = 2026-01-01\n[models.x]',
        'source = "s"\nread_on = 2026-01-01\n[models.x]\nprice_usd = "0.0000000001"',
        'source = "s"\nread_on = 2026-01-01\n[models.x]\nprice_usd = 0.5',
        'source = "s"\nread_on = 2026-01-01\n[models.x]\nprice_eur = "1"',
        'source = "s"\nread_on = 2026-01-01\n[models.x]\nprice_usd = "-1"',
        'source = "s"\nread_on = 2026-01-01\n[models.x]\nprice_usd = "NaN"',
    ],
)
def test_prices_when_malformed_then_refused(text: str) -> None:
    with pytest.raises(prices.PricesMalformed, match=r"p\.toml"):
        prices.parse(text, place="p.toml")


def test_price_when_only_a_dated_name_is_asked_then_that_of_its_model() -> None:
    book = prices.parse(
        'source = "s"\nread_on = 2026-01-01\n[models.x]\nprice_usd = "1"\n[models.x-mini]\nprice_usd = "2"', place="p"
    )

    found = [prices.of(book, model, adapter="openai") for model in ("x", "x-2026-01-01", "x-mini-2026-01-01", "x-pro")]

    assert found == [price.Price(call=10**9), price.Price(call=10**9), price.Price(call=2 * 10**9), None]
