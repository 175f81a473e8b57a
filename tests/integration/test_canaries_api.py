"""Canaries through the HTTP door: an admin decides about a route, and the endpoints list shows it with its score."""

from typing import Any

import django.test
import pytest

from heddle import client
from heddle.config import deployment
from heddle.store import apply
from tests.integration import test_operations_api as doors

house, tenant, paths = doors.house, doors.tenant, doors.paths
PATH = "/v1/models/paint/canary"
TOML = (
    doors.TOML
    + """
[endpoints.two]
adapter = "http"
url = "http://127.0.0.1:9/"
regions = ["eu"]
[[routes]]
model = "paint"
endpoint = "two"
canary = true
"""
)


@pytest.fixture(autouse=True)
def deployed(house: client.Heddle) -> None:
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        apply.apply(cursor, deployment.parse(TOML, file="heddle.toml"))


@pytest.fixture
def door(house: client.Heddle, tenant: str) -> django.test.Client:
    return doors.web(house, tenant, "admin", "read")


def decide(door: django.test.Client, action: str, **more: Any) -> Any:
    return doors.send(door, "POST", PATH, {"endpoint": "two", "action": action, **more})


def test_canary_when_it_is_started_and_ended_then_its_route_shows_so(door: django.test.Client) -> None:
    answers = [
        decide(door, "start", share=0.05),
        decide(door, "promote"),
        decide(door, "rollback"),
        decide(door, "reset"),
    ]

    assert [each.status_code for each in answers] == [200] * 4
    shown = [(each.json()["canary"] or {}).get("state") for each in answers]
    assert shown == ["running", "promoted", "rolled_back", None]
    assert answers[0].json()["canary"]["margin"] == 0.05
    assert answers[1].json()["weight_now"] == 1.0


def test_endpoints_when_listed_then_each_has_its_regions_and_routes_with_scores(door: django.test.Client) -> None:
    items = {each["name"]: each for each in door.get("/v1/endpoints").json()["items"]}

    assert (items["one"]["regions"], items["two"]["regions"]) == ([], ["eu"])
    (route,) = items["two"]["routes"]
    assert (route["model"], route["weight"], route["weight_now"], route["objective"]) == ("paint", 1.0, 0.0, "weights")
    assert (route["score"]["calls"], route["score"]["success_rate"]) == (0.0, None)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"action": "start"}, ["share"]),
        ({"action": "start", "share": 0.9}, ["share"]),
        ({"action": "start", "share": 0.1, "margin": 2.0}, ["margin"]),
        ({"action": "promote", "share": 0.1}, ["share"]),
        ({"action": "begin"}, ["action"]),
        ({"action": "reset", "endpoint": "a\x00b"}, ["endpoint"]),
    ],
)
def test_canary_when_it_makes_no_sense_then_the_field_is_named(
    door: django.test.Client, body: dict[str, Any], fields: list[str]
) -> None:
    refused = decide(door, **body)

    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == fields


def test_canary_when_the_key_may_not_or_the_route_is_missing_then_it_is_refused(
    house: client.Heddle, tenant: str, door: django.test.Client
) -> None:
    forbidden = decide(doors.web(house, tenant, "write"), "reset")
    missing = doors.send(door, "POST", PATH, {"endpoint": "none", "action": "reset"})
    refused = decide(door, "promote")

    assert (forbidden.status_code, missing.status_code) == (403, 404)
    assert (refused.status_code, refused.json()["code"]) == (409, "change_refused")
