"""Callbacks, registry and health over HTTP."""

import datetime

import django.http
import django.test
import pytest
from django.urls import include, path

from heddle.client import tokens
from heddle.core import ids
from heddle.ports import records
from tests.unit.api import conftest, house

INPUT = {"photo": "plain", "scenes": []}
PAINT = records.EndpointView(
    name="paint",
    adapter="simulator",
    url="http://127.0.0.1:1",
    models=("relight",),
    in_flight=2,
    concurrency=8,
    requests_per_min=None,
    breaker="closed",
    paused_until=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    secret_name="env:PAINT_KEY",
)


def callback_path(home: house.House, *, endpoint: str = "paint", secret_key: str = house.SECRET) -> str:
    run_id = home.heddle.submit("product_shoot", INPUT).run.id
    attempt_id = ids.AttemptId(run_id=run_id, ordinal=3, number=1)
    return f"/callbacks/{endpoint}/{tokens.callback_token(secret_key=secret_key, attempt_id=attempt_id)}"


def test_callback_when_signed_then_202_and_kept_once(web: django.test.Client, home: house.House) -> None:
    address = callback_path(home)
    headers = {"webhook-signature": "good", "webhook-id": "e1", "authorization": ""}

    answers = [web.post(address, data=b"{}", content_type="application/json", headers=headers) for _ in range(2)]

    assert [each.status_code for each in answers] == [202, 202]
    assert len(home.doors.callbacks) == 1


@pytest.mark.parametrize(
    ("change", "signature", "status"),
    [
        ({}, "bad", 401),
        ({"secret_key": "another"}, "good", 401),
        ({"endpoint": "unknown"}, "good", 404),
    ],
)
def test_callback_when_not_believed_then_refused_and_nothing_kept(
    web: django.test.Client, home: house.House, change: dict[str, str], signature: str, status: int
) -> None:
    address = callback_path(home, **change)

    response = web.post(address, data=b"{}", content_type="application/json", headers={"webhook-signature": signature})

    assert response.status_code == status
    assert home.doors.callbacks == set()


def test_callback_when_a_stranger_makes_up_endpoints_then_they_are_counted_as_one(
    web: django.test.Client, home: house.House
) -> None:
    home.doors.shown_endpoints = [PAINT]

    for name in ("paint", *(f"made-up-{number}" for number in range(50))):
        assert web.post(f"/callbacks/{name}/x", data=b"{}", content_type="text/plain").status_code == 401

    told = web.get("/metrics").content.decode()
    assert 'heddle_callbacks_total{endpoint="paint",outcome="refused"}' in told
    assert 'heddle_callbacks_total{endpoint="other",outcome="refused"}' in told
    assert "made-up" not in told


@pytest.mark.parametrize("token", ["x", "a.b.c.d", "%00", "é"])
def test_callback_when_the_token_is_no_token_then_401(web: django.test.Client, token: str) -> None:
    assert web.post(f"/callbacks/paint/{token}", data=b"{}", content_type="text/plain").status_code == 401


def test_callback_when_the_body_is_too_large_then_413_unread(web: django.test.Client, home: house.House) -> None:
    response = web.post(
        callback_path(home), data=b"x" * 1_100_000, content_type="text/plain", headers={"webhook-signature": "good"}
    )

    assert response.status_code == 413
    assert home.doors.callbacks == set()


def test_account_callback_when_it_names_a_job_of_ours_then_that_call_is_looked_after_once(
    web: django.test.Client, home: house.House
) -> None:
    attempt_id = str(ids.AttemptId(run_id=home.heddle.submit("product_shoot", INPUT).run.id, ordinal=3, number=1))
    home.doors.jobs["paint", "job_1"] = attempt_id
    headers = {"webhook-signature": "good", "webhook-id": "e1", "x-job": "job_1"}

    answers = [web.post("/callbacks/paint", data=b"{}", content_type="text/plain", headers=headers) for _ in range(2)]

    assert [each.status_code for each in answers] == [202, 202]
    assert home.doors.callbacks == {("paint", attempt_id, "e1")}


@pytest.mark.parametrize(
    ("endpoint", "headers", "status", "strays"),
    [
        ("paint", {"webhook-signature": "good", "x-job": "over_or_not_ours"}, 202, [("paint", "over_or_not_ours")]),
        ("paint", {"webhook-signature": "good"}, 202, []),
        ("paint", {"webhook-signature": "bad", "x-job": "job_2"}, 401, []),
        ("paint", {"webhook-signature": "good", "x-job": "job_2", "x-unsigned": "yes"}, 401, []),
        ("unknown", {"webhook-signature": "good", "x-job": "job_2"}, 404, []),
    ],
)
def test_account_callback_when_not_of_a_call_in_flight_or_not_believed_then_at_most_its_job_is_noted(
    web: django.test.Client,
    home: house.House,
    endpoint: str,
    headers: dict[str, str],
    status: int,
    strays: list[tuple[str, str]],
) -> None:
    home.doors.jobs["paint", "job_1"] = "x"

    response = web.post(f"/callbacks/{endpoint}", data=b"{}", content_type="text/plain", headers=headers)

    assert response.status_code == status
    assert (home.doors.callbacks, home.doors.strays) == (set(), strays)


def test_workflows_when_listed_then_with_schemas(web: django.test.Client) -> None:
    items = web.get("/v1/workflows").json()["items"]

    assert [each["name"] for each in items] == ["approve_shoot", "product_shoot"]
    assert items[0]["input_schema"]["properties"]["scenes"]["type"] == "array"


def test_models_when_an_endpoint_serves_one_then_both_lists_show_it(web: django.test.Client, home: house.House) -> None:
    home.doors.shown_endpoints = [PAINT]

    models, endpoints = web.get("/v1/models").json()["items"], web.get("/v1/endpoints")

    assert models == [{"name": "relight", "input_schema": None, "output_schema": None, "endpoints": ["paint"]}]
    assert endpoints.json()["items"][0]["paused_until"] == "2026-01-01T00:00:00.000000Z"
    assert b"PAINT_KEY" not in endpoints.content


def test_health_when_a_dependency_is_away_then_ready_names_it_and_live_does_not_care(
    web: django.test.Client, home: house.House
) -> None:
    assert web.get("/readyz", headers={"authorization": ""}).json()["status"] == "ready"
    home.checks["database"] = "connection refused"

    ready, live = web.get("/readyz"), web.get("/healthz")

    assert ready.status_code == 503
    assert {"name": "database", "ok": False, "problem": "connection refused"} in ready.json()["dependencies"]
    assert live.status_code == 200


def test_metrics_when_asked_then_prometheus_text_that_counts_this_door(web: django.test.Client) -> None:
    web.get("/healthz")

    response = web.get("/metrics")

    assert response["Content-Type"].startswith("text/plain")
    assert b'heddle_http_requests_total{route="/healthz",status="200"}' in response.content


def host(request: django.http.HttpRequest, **_: str) -> django.http.HttpResponse:
    return django.http.HttpResponse("of the host")


urlpatterns = [path("", include("heddle.api.urls"))]
urlpatterns += [path(f"shop/{number}/<str:name>", host) for number in range(100)]


def test_metrics_when_a_host_has_many_paths_then_ours_keep_their_names(web: django.test.Client) -> None:
    with django.test.override_settings(ROOT_URLCONF=__name__):
        for number in range(100):
            assert web.get(f"/shop/{number}/cup").status_code == 200

        web.get("/v1/workflows")
        told = web.get("/metrics").content.decode()

    assert 'heddle_http_requests_total{route="/v1/workflows",status="200"}' in told
    assert 'heddle_http_requests_total{route="other",status="200"} ' in told
    assert "shop" not in told


def test_openapi_when_asked_then_every_path_of_the_contract_is_described(web: django.test.Client) -> None:
    paths = web.get("/v1/openapi.json").json()["paths"]

    assert set(paths) == {
        "/v1/runs",
        "/v1/runs/batch",
        "/v1/runs/{run_id}",
        "/v1/runs/{run_id}/steps",
        "/v1/runs/{run_id}/events",
        "/v1/runs/{run_id}/why",
        "/v1/runs/{run_id}/cancel",
        "/v1/runs/{run_id}/retry",
        "/v1/runs/{run_id}/signals/{name}",
        "/v1/artifacts",
        "/v1/artifacts/{artifact_id}",
        "/v1/workflows",
        "/v1/models",
        "/v1/models/{name}/infer",
        "/v1/endpoints",
        "/v1/schedules",
        "/v1/models/{name}/canary",
        "/v1/endpoints/{name}",
        "/v1/operations",
        "/v1/operations/{operation_id}",
        "/v1/operations/{operation_id}/stop",
        "/v1/dead-letters",
        "/v1/steps/unknown",
        "/v1/dead-letters/replay",
        "/v1/runs/quote",
        "/v1/usage",
        "/v1/budgets",
        "/v1/webhooks/deliveries",
        "/v1/webhooks/deliveries/{delivery_id}/redeliver",
        "/v1/webhooks/disabled",
        "/v1/webhooks/enable",
        "/v1/webhooks/secrets",
    }
    body = paths["/v1/runs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) >= {"workflow", "input", "deadline_s", "max_cost_usd"}


def test_keys_when_asked_again_within_seconds_then_the_store_is_asked_once(
    web: django.test.Client, home: house.House
) -> None:
    for _ in range(5):
        web.get("/v1/runs")

    assert home.doors.key_lookups == 1


def test_start_when_keys_are_required_then_400_without(monkeypatch: pytest.MonkeyPatch) -> None:
    home = house.build(idempotency_required=True)
    conftest.install(home, monkeypatch)

    with django.test.override_settings(ROOT_URLCONF="heddle.api.urls"):
        response = django.test.Client().post(
            "/v1/runs",
            data='{"workflow": "product_shoot"}',
            content_type="application/json",
            headers={"authorization": f"Bearer {home.key}"},
        )

    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_required")
