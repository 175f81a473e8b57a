"""`heddle endpoints` shows a row a route, and `heddle canary` reads shares as people write them."""

import json
from typing import Any

import pytest

from heddle import cli
from heddle.cli import canary, complaints, remote

SCORE = {
    "calls": 41.2,
    "success_rate": 0.975,
    "ambiguous_rate": 0.0,
    "throttled_rate": None,
    "quality_refused_rate": 0.025,
    "missed_callback_rate": None,
    "latency_p50_s": 1.234,
    "latency_p95_s": 4.0,
    "latency_p99_s": None,
    "queue_p95_s": None,
    "cost_per_accepted_usd": "0.041",
}
ROUTE = {"model": "paint", "tier": 0, "weight_now": 0.05, "canary": {"state": "running"}, "score": SCORE}
PAGE = {"items": [{"name": "studio", "paused": False, "breaker": "closed", "routes": [ROUTE]}]}


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(remote.URL_VARIABLE, "http://127.0.0.1:1")
    monkeypatch.setenv(remote.KEY_VARIABLE, "hd_x")

    def get(_self: remote.Api, _path: str) -> Any:
        return PAGE

    monkeypatch.setattr(remote.Api, "get", get)


def test_endpoints_when_listed_then_each_route_is_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(["endpoints"])

    _, row = capsys.readouterr().out.splitlines()
    assert status == complaints.Exit.DONE
    assert " ".join(row.split()) == "studio paint 0 0.05 running closed 41 97.5% 0.0% - 2.5% - 1.23 s 4 s - - 0.041"


def test_endpoints_when_json_is_asked_for_then_it_is_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["endpoints", "--json"])

    assert json.loads(capsys.readouterr().out) == PAGE


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.05", 0.05), ("0.5%", 0.005)])
def test_fraction_when_it_is_a_share_then_it_is_read(text: str, share: float) -> None:
    assert canary.fraction(text, "--share") == pytest.approx(share)


def test_fraction_when_it_is_none_then_the_option_is_named() -> None:
    with pytest.raises(complaints.CommandRefused, match="--share is 'five'; write a share"):
        canary.fraction("five", "--share")
