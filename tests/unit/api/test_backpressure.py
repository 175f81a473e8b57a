"""What is refused when there is too much: for everybody by predicted wait, for one tenant by its quota."""

import dataclasses
import json
from typing import Any

import django.test
import pytest

from heddle.core import run
from heddle.core.policy import lineup, quota
from tests.unit.api import house as houses

GOOD = {"workflow": "product_shoot", "input": {"photo": "plain", "scenes": ["beach"]}}


def post(web: django.test.Client, path: str, body: Any, **headers: str) -> Any:
    return web.post(path, data=json.dumps(body), content_type="application/json", headers=headers)


def waiting(queued: int, *, priority: run.Priority = run.Priority.STANDARD, tenant: int = 1) -> lineup.LaneLoad:
    """Give the lane of the workflow's activations, which drains ten steps a second."""
    return lineup.LaneLoad(
        kind=lineup.ACTIVATION,
        name="product_shoot",
        version=1,
        priority=priority,
        queued=queued,
        drained_per_s=10.0,
        tenants={tenant: lineup.TenantLine(queued=queued, oldest_age_s=1.0)},
        workflows=frozenset({"product_shoot"}),
    )


def bound(home: houses.House, **bounds: Any) -> None:
    """Bound the tenant behind the house's key."""
    for hashed, view in home.doors.keys.items():
        if view.tenant.name == "acme":
            tenant = dataclasses.replace(view.tenant, quota=quota.Quota(**bounds))
            home.doors.keys[hashed] = dataclasses.replace(view, tenant=tenant)


def test_start_when_the_wait_would_be_too_long_then_503_and_when_to_come_back(
    home: houses.House, web: django.test.Client
) -> None:
    home.doors.shown_lanes = [waiting(6_100)]

    answer = post(web, "/v1/runs", GOOD)

    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert 8 <= int(answer["Retry-After"]) <= 13
    assert answer.json()["retry_after_s"] == int(answer["Retry-After"])
    assert home.doors.found == {}


def test_start_when_another_tenant_floods_the_lane_then_accepted(home: houses.House, web: django.test.Client) -> None:
    home.doors.shown_lanes = [waiting(100_000, tenant=99)]

    assert post(web, "/v1/runs", GOOD).status_code == 202


@pytest.mark.parametrize(("priority", "status"), [("interactive", 202), ("standard", 503), ("batch", 503)])
def test_start_when_people_wait_then_the_lower_classes_give_way(
    home: houses.House, web: django.test.Client, priority: str, status: int
) -> None:
    home.doors.shown_lanes = [waiting(270, priority=run.Priority.INTERACTIVE)]

    assert post(web, "/v1/runs", {**GOOD, "priority": priority}).status_code == status


def test_start_when_sent_again_under_its_key_then_replayed_however_much_waits(
    home: houses.House, web: django.test.Client
) -> None:
    first = post(web, "/v1/runs", GOOD, idempotency_key="k")
    home.heddle.backpressure.forget()
    home.doors.shown_lanes = [waiting(100_000)]

    again = post(web, "/v1/runs", GOOD, idempotency_key="k")
    other = post(web, "/v1/runs", GOOD, idempotency_key="new")

    assert (again.status_code, again.content, again["Idempotent-Replayed"]) == (202, first.content, "true")
    assert other.status_code == 503
    assert len(home.doors.found) == 1


def test_start_when_the_quota_is_used_up_then_429_with_what_is_left_and_when(
    home: houses.House, web: django.test.Client
) -> None:
    bound(home, runs_per_min=60, open_runs_max=100)
    home.doors.uses["acme"] = quota.Use(runs_in_window=60, window_frees_in_s=12.0, open_runs=7)

    answer = post(web, "/v1/runs", GOOD)

    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert 12 <= int(answer["Retry-After"]) <= 15
    assert answer["RateLimit-Policy"] == '"runs";q=60;w=60, "open-runs";q=100'
    assert answer["RateLimit"] == '"runs";r=0;t=12, "open-runs";r=93'
    assert home.doors.found == {}


def test_start_when_the_budget_is_spent_then_429_until_the_next_day(
    home: houses.House, web: django.test.Client
) -> None:
    bound(home, budget_nano_usd_per_day=1_000)
    home.doors.uses["acme"] = quota.Use(spent_nano_usd=1_000, day_left_s=7_200.0)

    answer = post(web, "/v1/runs", GOOD)

    assert (answer.status_code, answer.json()["code"]) == (429, "budget_spent")
    assert 7_200 <= int(answer["Retry-After"]) <= 7_200 + 60


def test_start_when_the_budget_of_the_month_is_spent_then_429_until_the_next_month(
    home: houses.House, web: django.test.Client
) -> None:
    bound(home, budget_nano_usd_per_month=9_000)
    home.doors.uses["acme"] = quota.Use(spent_month_nano_usd=9_000, day_left_s=7_200.0, month_left_s=1_000_000.0)

    answer = post(web, "/v1/runs", GOOD)

    assert (answer.status_code, answer.json()["code"]) == (429, "budget_spent")
    assert 1_000_000 <= int(answer["Retry-After"]) <= 1_000_000 + 60
    assert "this month" in answer.json()["detail"]


def test_batch_when_the_quota_ends_within_it_then_the_items_before_are_taken(
    home: houses.House, web: django.test.Client
) -> None:
    bound(home, runs_per_min=10)
    home.doors.uses["acme"] = quota.Use(runs_in_window=8, window_frees_in_s=3.0)

    answer = post(web, "/v1/runs/batch", {"items": [GOOD] * 4})

    assert [item["status"] for item in answer.json()["items"]] == [202, 202, 429, 429]


def test_answers_to_a_tenant_without_bounds_tell_of_none(web: django.test.Client) -> None:
    answer = web.get("/v1/runs")

    assert "RateLimit" not in answer.headers


def test_every_answer_to_a_bounded_tenant_tells_what_is_left(home: houses.House, web: django.test.Client) -> None:
    bound(home, runs_per_min=60)
    home.doors.uses["acme"] = quota.Use(runs_in_window=4, window_frees_in_s=55.2)

    assert web.get("/v1/runs")["RateLimit"] == '"runs";r=56;t=56'
