"""The operators' part of the HTTP door: endpoints are changed with the scope admin, bulk work is a tenant's own."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import django.test
import pytest

from heddle import client, wiring
from heddle.client import needs
from heddle.config import deployment, settings
from heddle.ports import operators, records
from heddle.store import apply
from heddle.store import django as django_store
from tests import pg

TOML = """
[endpoints.one]
adapter = "http"
url = "http://127.0.0.1:9/"
[scopes.one]
concurrency = 10
[[routes]]
model = "paint"
endpoint = "one"
"""


@pytest.fixture(autouse=True)
def house(database: pg.Database, monkeypatch: pytest.MonkeyPatch) -> client.Heddle:
    """Build clients on this file's database, as the wiring does."""
    limits = settings.Settings(secret_key="a secret")
    made = client.Heddle(
        doors=django_store.DjangoDoors(),
        media=None,  # type: ignore[arg-type]
        programs=needs.Programs(workflows=list, workflow=None, models=list),  # type: ignore[arg-type]
        limits=limits,
        verify_callback=None,  # type: ignore[arg-type]
        checks={},
    )
    monkeypatch.setattr(wiring, "client", lambda: made)
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        apply.apply(cursor, deployment.parse(TOML, file="heddle.toml"))
    return made


@pytest.fixture
def tenant() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture(autouse=True)
def paths() -> Iterator[None]:
    with django.test.override_settings(ROOT_URLCONF="heddle.api.urls", MIDDLEWARE=["heddle.api.middleware.Door"]):
        yield


def web(house: client.Heddle, tenant: str, *scopes: str) -> django.test.Client:
    key, _ = house.create_key(tenant=tenant, name="tests", scopes=frozenset(scopes))
    return django.test.Client(headers={"authorization": f"Bearer {key}"})


def send(door: django.test.Client, method: str, path: str, body: Any) -> Any:
    return door.generic(method, path, json.dumps(body), content_type="application/json")


def runs(house: client.Heddle, tenant: str, *, count: int, workflow: str = "shoot") -> list[uuid.UUID]:
    owner = house.tenant(tenant)
    doors = django_store.DjangoDoors()
    new = records.NewRun(tenant=owner, workflow=workflow, version=1, input={}, labels={"batch": "a"})
    return [doors.submit(new).run_id for _ in range(count)]


def test_patch_endpoint_when_paused_and_resumed_then_it_shows_so(house: client.Heddle, tenant: str) -> None:
    door = web(house, tenant, "admin")

    paused = send(door, "PATCH", "/v1/endpoints/one", {"paused": True})
    listed = door.get("/v1/endpoints").json()["items"]
    resumed = send(door, "PATCH", "/v1/endpoints/one", {"paused": False})

    assert (paused.status_code, paused.json()["paused"]) == (200, True)
    assert [each["paused"] for each in listed] == [True]
    assert (resumed.status_code, resumed.json()["paused"]) == (200, False)


def test_patch_endpoint_when_limits_are_set_then_they_win_until_reset(house: client.Heddle, tenant: str) -> None:
    door = web(house, tenant, "admin")

    limited = send(door, "PATCH", "/v1/endpoints/one", {"requests_per_min": 30}).json()
    reset = send(door, "PATCH", "/v1/endpoints/one", {"reset": True}).json()

    assert (limited["concurrency"], limited["requests_per_min"]) == (10, 30)
    assert (reset["concurrency"], reset["requests_per_min"]) == (10, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"pause": True}, "pause"),
        ({"concurrency": -1}, "concurrency"),
        ({"requests_per_min": 0}, "requests_per_min"),
        ({"reset": True, "concurrency": 1}, "reset"),
    ],
)
def test_patch_endpoint_when_it_makes_no_sense_then_the_field_is_named(
    house: client.Heddle, tenant: str, body: Any, field: str
) -> None:
    refused = send(web(house, tenant, "admin"), "PATCH", "/v1/endpoints/one", body)

    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == [field]


def test_patch_endpoint_when_the_key_may_not_or_there_is_none_then_it_is_refused(
    house: client.Heddle, tenant: str
) -> None:
    forbidden = send(web(house, tenant, "read", "write"), "PATCH", "/v1/endpoints/one", {"paused": True})
    missing = send(web(house, tenant, "admin"), "PATCH", "/v1/endpoints/nobody", {"paused": True})

    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "scope_missing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


def test_operations_when_a_dry_run_is_asked_for_then_it_counts_and_starts_nothing(
    house: client.Heddle, tenant: str
) -> None:
    made = runs(house, tenant, count=3)
    door = web(house, tenant, "write")

    answer = send(door, "POST", "/v1/operations", {"action": "cancel", "filter": {"label": "batch:a"}, "dry_run": True})

    assert answer.status_code == 200
    assert (answer.json()["matched"], answer.json()["is_whole"]) == (3, True)
    assert answer.json()["sample"] == [str(run_id) for run_id in sorted(made)]


def test_operations_when_started_then_it_can_be_followed_and_stopped(house: client.Heddle, tenant: str) -> None:
    runs(house, tenant, count=2)
    door = web(house, tenant, "write")

    started = send(door, "POST", "/v1/operations", {"action": "cancel", "filter": {"workflow": "shoot"}})
    path = f"/v1/operations/{started.json()['id']}"
    shown = door.get(path)
    stopped = send(door, "POST", f"{path}/stop", {})
    again = send(door, "POST", f"{path}/stop", {})

    assert (started.status_code, started.json()["state"]) == (202, "queued")
    assert shown.json()["filter"] == {"workflow": "shoot"}
    assert (stopped.status_code, again.status_code, again.json()["state"]) == (202, 200, "stopped")


def test_operations_when_they_are_another_tenants_then_they_do_not_exist(house: client.Heddle, tenant: str) -> None:
    started = send(
        web(house, tenant, "write"), "POST", "/v1/operations", {"action": "cancel", "filter": {"workflow": "w"}}
    )
    path = f"/v1/operations/{started.json()['id']}"
    other = f"t-{uuid.uuid4().hex[:12]}"

    stranger = web(house, other, "read").get(path)
    nosy = web(house, other, "write").get(f"{path}?tenant={tenant}")
    operator = web(house, other, "admin").get(f"{path}?tenant={tenant}")

    assert (stranger.status_code, nosy.status_code, operator.status_code) == (404, 403, 200)


@pytest.mark.parametrize("name", ["nobody", "", "No Tenant", "a\x00b"])
def test_operations_when_an_operator_names_a_tenant_that_is_none_then_it_is_missing_and_not_made(
    house: client.Heddle, tenant: str, name: str
) -> None:
    door = web(house, tenant, "admin")
    body = {"action": "cancel", "filter": {"workflow": "w"}, "tenant": name}

    answers = [send(door, "POST", "/v1/operations", body), door.get(f"/v1/operations/{uuid.uuid4()}", {"tenant": name})]

    assert [each.status_code for each in answers] == [404, 404]
    assert house.find_tenant("nobody") is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "cancel"}, "filter"),
        ({"action": "explode", "filter": {"workflow": "w"}}, "action"),
        ({"action": "reprioritise", "filter": {"workflow": "w"}}, "priority"),
        ({"action": "cancel", "filter": {"workflow": "w"}, "priority": "batch"}, "priority"),
        ({"action": "cancel", "filter": {"fault": "bad_luck"}}, "fault"),
        ({"action": "cancel", "filter": {"label": "x"}}, "filter.label"),
        ({"action": "cancel", "filter": {"created_after": "yesterday"}}, "filter.created_after"),
        ({"action": "cancel", "filter": {"created_after": "0001-01-01T00:00:00+09:00"}}, "filter.created_after"),
        ({"action": "cancel", "filter": {"workflow": "a\x00b"}}, "filter.workflow"),
        ({"action": "cancel", "filter": {"label": "a:\ud800"}}, "filter.label"),
    ],
)
def test_operations_when_what_is_asked_makes_no_sense_then_the_field_is_named(
    house: client.Heddle, tenant: str, body: Any, field: str
) -> None:
    refused = send(web(house, tenant, "write"), "POST", "/v1/operations", body)

    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == [field]


@pytest.mark.parametrize("count", [3, 4])
def test_dead_letters_when_runs_failed_then_they_are_listed_in_pages_and_replayed_by_fault(
    house: client.Heddle, tenant: str, count: int
) -> None:
    made = runs(house, tenant, count=count)
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "update heddle_run set state = 'failed', error = '{\"fault\": \"code_raised\"}' where id = any(%s)", [made]
        )
    door = web(house, tenant, "write")

    first = door.get("/v1/dead-letters?fault=code_raised&limit=2").json()
    rest = door.get(f"/v1/dead-letters?fault=code_raised&limit=2&cursor={first['next_cursor']}").json()
    counted = send(door, "POST", "/v1/dead-letters/replay", {"filter": {"fault": "code_raised"}, "dry_run": True})
    started = send(door, "POST", "/v1/dead-letters/replay", {"filter": {"fault": "code_raised"}})

    found = [each["run"] for each in (*first["items"], *rest["items"])]
    assert found == [str(run_id) for run_id in sorted(made, reverse=True)]
    assert (rest["next_cursor"], counted.json()["matched"]) == (None, count)
    assert (started.status_code, started.json()["action"]) == (202, "retry")


@pytest.mark.parametrize("ask", ["dead_letters", "preview", "start", "stop"])
def test_operating_when_a_tenant_is_mistyped_then_refused_by_name_and_none_is_made(
    ask: str, database: pg.Database
) -> None:
    operating, request = wiring.operating(), client.BulkRequest(action="cancel", workflow="shoot")
    asked = {
        "dead_letters": lambda: operating.dead_letters(tenant="nobdy"),
        "preview": lambda: operating.preview(request, tenant="nobdy"),
        "start": lambda: operating.start(request, tenant="nobdy", actor="tests"),
        "stop": lambda: operating.stop(uuid.uuid4(), tenant="nobdy", actor="tests"),
    }[ask]

    with pytest.raises(operators.SubjectMissing, match="there is no tenant 'nobdy'"):
        asked()

    with database.connect() as connection:
        assert not connection.execute("select 1 from heddle_tenant where name = 'nobdy'").fetchall()


@pytest.mark.parametrize("path", ["dead-letters", "usage", "budgets", "webhooks/deliveries", "steps/unknown", "runs"])
def test_list_when_a_parameter_is_misspelt_then_it_is_refused_by_name_and_not_shown_unfiltered(
    house: client.Heddle, tenant: str, path: str
) -> None:
    refused = web(house, tenant, "read").get(f"/v1/{path}", {"workflw": "shoot"})

    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == ["workflw"]


def test_dead_letters_when_there_is_no_such_fault_then_it_is_refused_and_not_an_empty_page(
    house: client.Heddle, tenant: str
) -> None:
    refused = web(house, tenant, "read").get("/v1/dead-letters?fault=code_risen")

    assert refused.status_code == 422
    assert "code_raised" in refused.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("dead-letters/replay?dry_run=true", {"filter": {"workflow": "shoot"}}, "dry_run"),
        ("operations?tenant=acme", {"action": "cancel", "filter": {"workflow": "shoot"}}, "tenant"),
    ],
)
def test_bulk_when_what_belongs_into_the_body_is_in_the_address_then_nothing_is_done(
    house: client.Heddle, tenant: str, path: str, body: dict[str, Any], field: str
) -> None:
    refused = send(web(house, tenant, "admin"), "POST", f"/v1/{path}", body)

    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == [field]
