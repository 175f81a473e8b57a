"""What a request for runs does to the numbers: the promises of admission, and runs admitted or refused."""

import json
from typing import Any

import django.db
import django.test
import prometheus_client.parser
import pytest

from heddle.telemetry import recorder
from tests.unit.api import house

GOOD = {"workflow": "product_shoot", "input": {"photo": "plain", "scenes": ["beach"]}}
AVAILABILITY = {"slo": "admission_availability"}
LATENCY = {"slo": "admission_latency"}


def value(name: str, **labels: str) -> float:
    families = prometheus_client.parser.text_string_to_metric_families(recorder.render()[1].decode())
    return sum(
        sample.value for each in families for sample in each.samples if (sample.name, sample.labels) == (name, labels)
    )


class Growth:
    """Tell how far a series has grown since this was made; other tests of the process write to the same ones."""

    def __init__(self, name: str, **labels: str) -> None:
        self._name, self._labels = name, labels
        self._before = value(name, **labels)

    def __call__(self) -> float:
        return value(self._name, **self._labels) - self._before


def post(web: django.test.Client, path: str, body: Any, **headers: str) -> int:
    answer = web.post(path, data=json.dumps(body), content_type="application/json", headers=headers)
    return int(answer.status_code)


def test_start_when_accepted_then_it_is_valid_and_good_and_admitted_once(web: django.test.Client) -> None:
    valid, bad = Growth("heddle_slo_valid_total", **AVAILABILITY), Growth("heddle_slo_bad_total", **AVAILABILITY)
    admitted = Growth("heddle_runs_admitted_total", workflow="product_shoot")

    statuses = [post(web, "/v1/runs", GOOD, idempotency_key="numbers-1") for _ in range(2)]

    assert (statuses, valid(), bad(), admitted()) == ([202, 202], 2, 0, 1)


def test_start_when_it_asks_to_wait_then_its_duration_says_nothing_of_the_promise(web: django.test.Client) -> None:
    valid, timed = Growth("heddle_slo_valid_total", **AVAILABILITY), Growth("heddle_slo_valid_total", **LATENCY)

    post(web, "/v1/runs", GOOD)
    post(web, "/v1/runs", GOOD, prefer="wait=0")

    assert (valid(), timed()) == (2, 1)


@pytest.mark.parametrize(
    ("body", "policy"), [({"workflow": "gone", "input": {}}, "workflow"), ({**GOOD, "priority": "first"}, "input")]
)
def test_start_when_the_caller_is_wrong_then_the_run_is_refused_and_the_promise_kept(
    web: django.test.Client, body: Any, policy: str
) -> None:
    valid, refused = (
        Growth("heddle_slo_valid_total", **AVAILABILITY),
        Growth("heddle_runs_refused_total", policy=policy),
    )

    status = post(web, "/v1/runs", body)

    assert (status, valid(), refused()) == (422, 0, 1)


def test_start_when_the_database_is_away_then_the_promise_is_broken(
    web: django.test.Client, home: house.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise django.db.OperationalError("away")

    monkeypatch.setattr(home.doors, "submit", away)
    valid, bad = Growth("heddle_slo_valid_total", **AVAILABILITY), Growth("heddle_slo_bad_total", **AVAILABILITY)

    status = post(web, "/v1/runs", GOOD)

    assert (status, valid(), bad()) == (503, 1, 1)


def test_batch_when_items_differ_then_each_is_counted_as_what_became_of_it(web: django.test.Client) -> None:
    valid = Growth("heddle_slo_valid_total", **AVAILABILITY)
    admitted, refused = (
        Growth("heddle_runs_admitted_total", workflow="product_shoot"),
        Growth("heddle_runs_refused_total", policy="workflow"),
    )

    status = post(web, "/v1/runs/batch", {"items": [GOOD, {"workflow": "gone", "input": {}}, GOOD]})

    assert (status, valid(), admitted(), refused()) == (200, 1, 2, 1)


def test_list_when_asked_then_it_is_no_request_for_runs(web: django.test.Client) -> None:
    valid = Growth("heddle_slo_valid_total", **AVAILABILITY)

    web.get("/v1/runs")

    assert valid() == 0
