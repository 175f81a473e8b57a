"""Lists that grow come in pages: without parameters the first, with next_cursor the one after it."""

import json
import uuid

import django.test
import pytest

from tests.unit.api import house

BODY = {"workflow": "product_shoot", "input": {"photo": "plain", "scenes": ["beach"]}}


def start(web: django.test.Client) -> str:
    response = web.post("/v1/runs", data=json.dumps(BODY), content_type="application/json")
    return str(response.json()["id"])


def test_steps_when_nothing_is_asked_for_then_the_first_page_and_where_the_next_begins(
    web: django.test.Client, home: house.House
) -> None:
    run_id = start(web)
    home.doors.plan(uuid.UUID(run_id), calls=120)

    first = web.get(f"/v1/runs/{run_id}/steps").json()
    second = web.get(f"/v1/runs/{run_id}/steps", {"cursor": first["next_cursor"]}).json()
    third = web.get(f"/v1/runs/{run_id}/steps", {"cursor": second["next_cursor"]}).json()

    assert [each["ordinal"] for each in first["items"]] == list(range(1, 51))
    assert [each["ordinal"] for page in (second, third) for each in page["items"]] == list(range(51, 121))
    assert third["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=100000", "limit"),
        ("cursor=abc", "cursor"),
        ("cursor=AZ1nXUmFcVyq0fhVkmKEgQ", "cursor"),
        ("curser=AAAAAQ", "curser"),
    ],
)
def test_steps_when_the_page_is_none_then_422_names_the_field(web: django.test.Client, query: str, field: str) -> None:
    run_id = start(web)

    response = web.get(f"/v1/runs/{run_id}/steps?{query}")

    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field)


def test_steps_when_a_cursor_names_a_call_that_no_run_can_have_then_the_page_is_empty(web: django.test.Client) -> None:
    run_id = start(web)

    page = web.get(f"/v1/runs/{run_id}/steps?cursor=_____w").json()

    assert page == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("calls", [1, 49, 50, 100, 200])
def test_steps_when_the_last_page_is_exactly_full_or_not_then_it_leads_to_no_other(
    web: django.test.Client, home: house.House, calls: int
) -> None:
    run_id = start(web)
    home.doors.plan(uuid.UUID(run_id), calls=calls)

    page = web.get(f"/v1/runs/{run_id}/steps").json()
    sizes = [len(page["items"])]
    while page["next_cursor"] is not None:
        page = web.get(f"/v1/runs/{run_id}/steps", {"cursor": page["next_cursor"]}).json()
        sizes.append(len(page["items"]))

    assert sizes == [50] * (calls // 50) + [calls % 50] * (calls % 50 > 0)


def test_steps_when_the_largest_page_has_every_call_then_it_leads_to_no_other(
    web: django.test.Client, home: house.House
) -> None:
    run_id, largest = start(web), home.heddle.limits.page_max
    home.doors.plan(uuid.UUID(run_id), calls=largest)

    page = web.get(f"/v1/runs/{run_id}/steps", {"limit": largest}).json()

    assert (len(page["items"]), page["next_cursor"]) == (largest, None)


def test_runs_when_the_last_page_is_exactly_full_then_it_leads_to_no_other(web: django.test.Client) -> None:
    started = [start(web) for _ in range(4)]

    first = web.get("/v1/runs", {"limit": 2, "workflow": "product_shoot"}).json()
    second = web.get("/v1/runs", {"limit": 2, "cursor": first["next_cursor"]}).json()

    assert [each["id"] for page in (first, second) for each in page["items"]] == started[::-1]
    assert second["next_cursor"] is None
