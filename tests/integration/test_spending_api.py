"""Money at the HTTP door and in the console: a tenant sees its own, quotes start nothing."""

import datetime
import json
import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

import django.test
import pytest
from django.urls import include, path

from heddle import client, wiring
from heddle.client import needs
from heddle.config import deployment, settings
from heddle.store import apply
from heddle.store import django as django_store
from heddle.store import spending as spending_store
from tests import pg

TOML = """
[endpoints.studio]
adapter = "http"
url = "http://127.0.0.1:9/"
price_usd = "0.04"
[[routes]]
model = "paint"
endpoint = "studio"
[tenants.{tenant}]
budget_usd_per_day = "1.5"
[workflows.shoot]
budget_usd_per_day = "9"
"""
TODAY = datetime.datetime.now(datetime.UTC).date()
urlpatterns = [path("", include("heddle.api.urls")), path("console/", include("heddle.console.urls"))]


class Shoot:
    """Stand for a registered workflow."""

    name, version = "shoot", 1
    input_schema: ClassVar[dict[str, Any]] = {}
    output_schema: ClassVar[dict[str, Any]] = {}

    def validate_input(self, raw: dict[str, Any]) -> dict[str, Any]:
        return raw


def _workflow(name: str, _version: int | None) -> Shoot:
    if name != "shoot":
        raise LookupError(name)
    return Shoot()


@pytest.fixture
def tenant() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture(autouse=True)
def house(database: pg.Database, monkeypatch: pytest.MonkeyPatch, tenant: str) -> Iterator[client.Heddle]:
    """Build clients on this file's database, as the wiring does."""
    books = spending_store.DjangoSpending()
    desk = client.Spending(books=books, doors=books)
    made = client.Heddle(
        doors=django_store.DjangoDoors(),
        media=None,  # type: ignore[arg-type]
        programs=needs.Programs(workflows=lambda: [Shoot()], workflow=_workflow, models=list),
        limits=settings.Settings(secret_key="a secret"),
        verify_callback=None,  # type: ignore[arg-type]
        checks={},
        quotes=lambda workflow: desk.quote_workflow(workflow).cost,
    )
    monkeypatch.setattr(wiring, "client", lambda: made)
    monkeypatch.setattr(wiring, "spending", lambda: desk)
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        apply.apply(cursor, deployment.parse(TOML.format(tenant=tenant), file="heddle.toml"))
        cursor.execute("delete from heddle_workflow_cost")
    with django.test.override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=["heddle.api.middleware.Door"]):
        yield made


def web(house: client.Heddle, tenant: str, *scopes: str) -> django.test.Client:
    key, _ = house.create_key(tenant=tenant, name="tests", scopes=frozenset(scopes or {"read"}))
    return django.test.Client(headers={"authorization": f"Bearer {key}"})


def post(door: django.test.Client, where: str, body: Any) -> Any:
    return door.generic("POST", where, json.dumps(body), content_type="application/json")


def write(query: str, *parameters: Any) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(query, parameters)


def spent(house: client.Heddle, tenant: str, day: datetime.date, usd: float, *, workflow: str = "shoot") -> None:
    write(
        "insert into heddle_spend_day (tenant_id, day, workflow, model, endpoint_id, calls, charged_nano_usd, "
        "reserved_nano_usd) select %s, %s, %s, 'paint', e.id, 3, %s, %s from heddle_endpoint e",
        house.tenant(tenant).id,
        day,
        workflow,
        int(usd * 1e9),
        int(usd * 1e9),
    )


def measured() -> None:
    write(
        "insert into heddle_workflow_cost values ('shoot', 40, 120000000, 250000000, 300000000, now()) "
        "on conflict do nothing"
    )


def test_usage_when_asked_by_day_then_only_the_tenants_own_is_shown(house: client.Heddle, tenant: str) -> None:
    spent(house, tenant, TODAY, 0.25)
    spent(house, tenant, TODAY - datetime.timedelta(days=3), 1)
    spent(house, f"{tenant}-other", TODAY, 7)

    found = web(house, tenant).get("/v1/usage").json()

    assert [(row["day"], row["cost"], row["calls"], row["reserved"]) for row in found["items"]] == [
        ((TODAY - datetime.timedelta(days=3)).isoformat(), "1.00", 3, "0.00"),
        (TODAY.isoformat(), "0.25", 3, "0.00"),
    ]
    assert found["next_cursor"] is None


@pytest.mark.parametrize("names", ["abcde", "abcdef"])
def test_usage_when_paged_by_two_parts_then_each_row_comes_once(house: client.Heddle, tenant: str, names: str) -> None:
    for name in names:
        spent(house, tenant, TODAY, 1, workflow=name)
    door, seen, cursor = web(house, tenant), [], ""
    while cursor is not None:
        given = {"by": "workflow,endpoint", "limit": 2, **({"cursor": cursor} if cursor else {})}
        page = door.get("/v1/usage", given).json()
        seen.append([(row["workflow"], row["endpoint"]) for row in page["items"]])
        cursor = page["next_cursor"]

    assert [len(page) for page in seen] == [2, 2, len(names) - 4]
    assert [row for page in seen for row in page] == [(name, "studio") for name in names]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=weather", "by"),
        ("from=2026-02-01&to=2026-01-01", "from"),
        ("from=2020-01-01&to=2026-01-01", "from"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=WzFd", "cursor"),
        ("cursor=WyIyMDI2LTAxLTAxIiwiXHVkODAwIiwiYSIsMV0", "cursor"),
    ],
)
def test_usage_when_the_question_makes_no_sense_then_the_field_is_named(
    house: client.Heddle, tenant: str, query: str, field: str
) -> None:
    refused = web(house, tenant).get(f"/v1/usage?{query}")

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


def test_usage_when_another_tenants_is_asked_for_then_the_scope_admin_is_needed(
    house: client.Heddle, tenant: str
) -> None:
    spent(house, f"{tenant}-other", TODAY, 7)

    refused = web(house, tenant).get(f"/v1/usage?tenant={tenant}-other")
    shown = web(house, tenant, "admin").get(f"/v1/usage?tenant={tenant}-other").json()

    assert refused.status_code == 403
    assert [row["cost"] for row in shown["items"]] == ["7.00"]


def test_budgets_when_asked_then_caps_and_what_is_left_are_told_and_workflows_to_admins_only(
    house: client.Heddle, tenant: str
) -> None:
    write(
        "insert into heddle_budget_day (tenant_id, day, spent_nano_usd) values (%s, %s, 400000000)",
        house.tenant(tenant).id,
        TODAY,
    )

    own = web(house, tenant).get("/v1/budgets").json()["items"]
    everything = web(house, tenant, "admin").get("/v1/budgets").json()["items"]

    day = {"cap": "1.50", "spent": "0.40", "reserved": "0.00", "left": "1.10"}
    assert own == [{"kind": "tenant", "name": tenant, "day": day, "month": None}]
    assert [(row["kind"], row["name"]) for row in everything] == [("tenant", tenant), ("workflow", "shoot")]


def test_quote_when_runs_have_succeeded_then_their_costs_are_told_and_nothing_is_started(
    house: client.Heddle, tenant: str
) -> None:
    measured()

    found = post(web(house, tenant), "/v1/runs/quote", {"workflow": "shoot"}).json()

    assert found == {
        "workflow": "shoot",
        "started": False,
        "basis": "history",
        "runs": 40,
        "median_cost": "0.12",
        "p95_cost": "0.25",
        "highest_cost": "0.30",
    }
    assert web(house, tenant).get("/v1/runs").json()["items"] == []


def test_quote_when_no_run_has_succeeded_then_it_says_so(house: client.Heddle, tenant: str) -> None:
    found = post(web(house, tenant), "/v1/runs/quote", {"workflow": "shoot"}).json()

    assert (found["basis"], found["runs"], found["median_cost"]) == ("no_history", 0, None)


def test_quote_when_a_model_is_asked_for_then_its_routes_prices_are_told(house: client.Heddle, tenant: str) -> None:
    found = post(web(house, tenant), "/v1/runs/quote", {"model": "paint"}).json()

    assert (found["basis"], found["low_cost"], found["high_cost"], found["expected_wait_s"]) == (
        "price",
        "0.04",
        "0.04",
        0.0,
    )
    assert found["routes"] == [{"endpoint": "studio", "tier": 0, "cost": "0.04", "paid": True, "paused": False}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "workflow"),
        ({"workflow": "shoot", "model": "paint"}, "workflow"),
        ({"workflow": "nothing"}, "workflow"),
        ({"model": "nothing"}, "model"),
        ({"model": "paint", "priority": "urgent"}, "priority"),
        ({"workflow": "shoot", "input": {}}, "input"),
    ],
)
def test_quote_when_it_makes_no_sense_then_the_field_is_named(
    house: client.Heddle, tenant: str, body: dict[str, Any], field: str
) -> None:
    refused = post(web(house, tenant), "/v1/runs/quote", body)

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


def test_submit_when_a_run_is_accepted_then_its_answer_has_a_quote_and_a_replay_the_same(
    house: client.Heddle, tenant: str
) -> None:
    measured()
    door = web(house, tenant, "read", "write")

    first, again = (
        door.generic(
            "POST",
            "/v1/runs",
            json.dumps({"workflow": "shoot"}),
            content_type="application/json",
            headers={"Idempotency-Key": "k"},
        )
        for _ in range(2)
    )

    assert first.status_code == 202
    assert first.json()["quote"]["p95_cost"] == "0.25"
    assert again.content == first.content


def test_money_page_when_opened_then_days_caps_and_groups_are_shown(house: client.Heddle, tenant: str) -> None:
    spent(house, tenant, TODAY, 0.25)
    spent(house, tenant, TODAY - datetime.timedelta(days=2), 1)
    key, _ = house.create_key(tenant=tenant, name="tests", scopes=frozenset({"read"}))
    browser = django.test.Client()
    browser.post("/console/login", {"key": key})

    page = browser.get("/console/money").content.decode()

    assert page.count('class="spend-bar"') == 30
    assert "1.25 USD" in page
    assert "studio" in page
    assert "today" in page


def test_money_page_when_nothing_was_paid_then_it_says_how_calls_come_to_cost(
    house: client.Heddle, tenant: str
) -> None:
    key, _ = house.create_key(tenant=f"{tenant}-new", name="tests", scopes=frozenset({"read"}))
    browser = django.test.Client()
    browser.post("/console/login", {"key": key})

    page = browser.get("/console/money").content.decode()

    assert "Nothing was paid for" in page
    assert "No cap is set" in page


@pytest.mark.parametrize("model", ["a\x00b", "\ud800", "x" * 5_000])
def test_quote_when_a_model_cannot_be_one_then_the_field_is_named(
    house: client.Heddle, tenant: str, model: str
) -> None:
    refused = post(web(house, tenant), "/v1/runs/quote", {"model": model})

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "model")


def test_usage_when_it_ends_on_the_first_day_there_is_then_nothing_was_spent(house: client.Heddle, tenant: str) -> None:
    found = web(house, tenant).get("/v1/usage?to=0001-01-01")

    assert (found.status_code, found.json()["items"]) == (200, [])


def test_money_when_an_operator_names_a_tenant_that_is_none_then_it_is_missing_and_not_made(
    house: client.Heddle, tenant: str
) -> None:
    door = web(house, tenant, "admin")

    answers = [door.get(f"/v1/{what}?tenant={name}") for what in ("usage", "budgets") for name in ("nobody", "", "%00")]

    assert {each.status_code for each in answers} == {404}
    assert house.find_tenant("nobody") is None


@pytest.mark.parametrize(("ordinal", "number"), [(10**11, 1), (1, 10**14), (-1, 1), (1, 0)])
def test_correct_when_no_call_can_have_the_number_then_the_field_is_named(ordinal: int, number: int) -> None:
    desk = wiring.spending()

    with pytest.raises(client.InvalidInput, match="step or its attempt"):
        desk.correct(str(uuid.uuid4()), ordinal, number=number, correction="refund", amount_usd="1", actor="test")
