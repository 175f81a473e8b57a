"""Bad input over HTTP: every refusal is a problem that names the field and what to do, and leaves nothing half-made."""

import json
from typing import Any

import django.test
import pytest

from heddle.api import problems
from heddle.telemetry.catalog import labels
from tests.unit.api import house

INPUT = {"photo": "plain", "scenes": ["beach"]}
GOOD = {"workflow": "product_shoot", "input": INPUT}
MISSING = "sha256:" + "0" * 64


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


BODIES: list[tuple[str, Any, int, str, str]] = [
    ("unknown workflow", {**GOOD, "workflow": "nope"}, 422, "unknown_workflow", "workflow"),
    ("workflow missing", {"input": INPUT}, 422, "invalid_input", "workflow"),
    ("workflow of a wrong type", {**GOOD, "workflow": 7}, 422, "invalid_input", "workflow"),
    ("input missing a field", {**GOOD, "input": {"photo": "x"}}, 422, "invalid_input", "input.scenes"),
    ("input of a wrong type", {**GOOD, "input": {**INPUT, "scenes": "b"}}, 422, "invalid_input", "input.scenes"),
    ("input with an unknown field", {**GOOD, "input": {**INPUT, "sceens": 1}}, 422, "invalid_input", "input.sceens"),
    ("input is a list", {**GOOD, "input": []}, 422, "invalid_input", "input"),
    ("unknown member", {**GOOD, "priorty": "batch"}, 422, "invalid_input", "priorty"),
    ("oversized value", {**GOOD, "input": {**INPUT, "note": "x" * 70_000}}, 422, "invalid_input", "input.note"),
    ("unknown artifact", {**GOOD, "input": {**INPUT, "photo": {"id": MISSING}}}, 422, "invalid_input", "input.photo"),
    ("deep value", {**GOOD, "input": {**INPUT, "note": deep(60)}}, 422, "invalid_input", "input.note[0]"),
    ("NUL in a text", {**GOOD, "input": {**INPUT, "note": "a\x00b"}}, 422, "invalid_input", "input.note"),
    ("half a surrogate", {**GOOD, "input": {**INPUT, "note": "\ud800"}}, 422, "invalid_input", "input.note"),
    ("deadline in the past", {**GOOD, "deadline_s": -5}, 422, "invalid_input", "deadline_s"),
    ("deadline of zero", {**GOOD, "deadline_s": 0}, 422, "invalid_input", "deadline_s"),
    ("deadline too long", {**GOOD, "deadline_s": 10_000_000}, 422, "invalid_input", "deadline_s"),
    ("deadline as a text", {**GOOD, "deadline_s": "60"}, 422, "invalid_input", "deadline_s"),
    ("start in the past", {**GOOD, "start_at": "2020-01-01T00:00:00Z"}, 422, "invalid_input", "start_at"),
    ("start far ahead", {**GOOD, "start_at": "2036-01-01T00:00:00Z"}, 422, "invalid_input", "start_at"),
    ("start without a zone", {**GOOD, "start_at": "2026-12-01T00:00:00"}, 422, "invalid_input", "start_at"),
    ("start before time", {**GOOD, "start_at": "0001-01-01T00:00:00+09:00"}, 422, "invalid_input", "start_at"),
    ("start that is no time", {**GOOD, "start_at": "soon"}, 422, "invalid_input", "start_at"),
    (
        "deadline before the start",
        {**GOOD, "deadline_s": 60, "start_at": "2026-11-21T13:00:00Z"},
        422,
        "invalid_input",
        "deadline_s",
    ),
    ("unknown priority", {**GOOD, "priority": "urgent"}, 422, "invalid_input", "priority"),
    ("too many labels", {**GOOD, "labels": {f"l{n}": "x" for n in range(17)}}, 422, "invalid_input", "labels"),
    ("long label", {**GOOD, "labels": {"brand": "x" * 300}}, 422, "invalid_input", "labels.brand"),
    ("label with a bad name", {**GOOD, "labels": {"a b": "x"}}, 422, "invalid_input", "labels.a b"),
    ("label that is no text", {**GOOD, "labels": {"a": 1}}, 422, "invalid_input", "labels.a"),
    ("webhook to an inside", {**GOOD, "webhook_url": "https://h/x"}, 422, "invalid_input", "webhook_url"),
    ("cost as a number", {**GOOD, "max_cost_usd": 1.5}, 422, "invalid_input", "max_cost_usd"),
    ("cost below zero", {**GOOD, "max_cost_usd": "-1"}, 422, "invalid_input", "max_cost_usd"),
    ("cost that is no number", {**GOOD, "max_cost_usd": "NaN"}, 422, "invalid_input", "max_cost_usd"),
    ("body is a list", [GOOD], 422, "invalid_input", "body"),
]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"), [each[1:] for each in BODIES], ids=[each[0] for each in BODIES]
)
def test_start_when_a_field_is_bad_then_it_is_named_and_nothing_is_made(
    web: django.test.Client, home: house.House, body: Any, status: int, code: str, field: str
) -> None:
    response = web.post("/v1/runs", data=json.dumps(body), content_type="application/json")

    problem = response.json()
    assert (response.status_code, problem["code"], response["Content-Type"]) == (status, code, problems.CONTENT_TYPE)
    assert field in problem["errors"][0]["field"]
    assert "value error" not in problem["errors"][0]["message"].lower()
    assert problem["detail"]
    assert problem["remedy"]
    assert home.doors.found == {}


RAW: list[tuple[str, bytes, int, str]] = [
    ("not JSON", b"{nope", 400, "malformed_json"),
    ("cut off", json.dumps(GOOD).encode()[:-4], 400, "malformed_json"),
    ("not UTF-8", b'{"workflow": "\xff"}', 400, "malformed_json"),
    ("not a number", b'{"workflow": "x", "deadline_s": NaN}', 400, "malformed_json"),
    ("a number of 5,000 digits", b'{"deadline_s": ' + b"9" * 5_000 + b"}", 400, "malformed_json"),
    ("an infinite number", b'{"workflow": "product_shoot", "input": {"note": 1e999}}', 422, "invalid_input"),
    ("100,000 brackets", b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422, "invalid_input"),
    ("empty", b"", 422, "invalid_input"),
    ("too large", b'{"workflow": "' + b"x" * 1_100_000 + b'"}', 413, "too_large"),
]


@pytest.mark.parametrize(("body", "status", "code"), [each[1:] for each in RAW], ids=[each[0] for each in RAW])
def test_start_when_the_body_cannot_be_read_then_it_is_refused_whole(
    web: django.test.Client, home: house.House, body: bytes, status: int, code: str
) -> None:
    response = web.post("/v1/runs", data=body, content_type="application/json")

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert home.doors.found == {}


def test_start_when_brackets_pile_up_then_the_field_is_named(web: django.test.Client) -> None:
    body = b'{"workflow": "a", "input": {"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}"

    response = web.post("/v1/runs", data=body, content_type="application/json")

    assert response.json()["errors"][0]["field"] == "input"


def test_start_when_the_length_is_not_announced_then_411(web: django.test.Client) -> None:
    response = web.generic("POST", "/v1/runs", CONTENT_TYPE="application/json", HTTP_TRANSFER_ENCODING="chunked")

    assert (response.status_code, response.json()["code"]) == (411, "length_required")


def test_start_when_several_fields_are_bad_then_all_are_named(web: django.test.Client) -> None:
    body = {**GOOD, "deadline_s": -1, "priority": "urgent", "labels": {"!": "x"}}

    response = web.post("/v1/runs", data=json.dumps(body), content_type="application/json")

    assert [each["field"] for each in response.json()["errors"]] == ["priority", "deadline_s", "labels.!"]


def test_start_when_the_media_type_is_not_json_then_415(web: django.test.Client) -> None:
    response = web.post("/v1/runs", data="<run/>", content_type="application/xml")

    assert (response.status_code, response.json()["code"]) == (415, "media_type_refused")


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
def test_start_when_the_idempotency_key_is_bad_then_400_names_it(web: django.test.Client, key: str) -> None:
    response = web.post(
        "/v1/runs", data=json.dumps(GOOD), content_type="application/json", headers={"idempotency-key": key}
    )

    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "Idempotency-Key")


def test_start_when_an_artifact_is_anothers_then_it_looks_unknown(web: django.test.Client, home: house.House) -> None:
    foreign = home.heddle.upload(house.PNG, tenant="globex")
    body = {**GOOD, "input": {**INPUT, "photo": {"id": foreign.id}}}

    refused = web.post("/v1/runs", data=json.dumps(body), content_type="application/json")
    home.heddle.upload(house.PNG, tenant="acme")
    taken = web.post("/v1/runs", data=json.dumps(body), content_type="application/json")

    assert refused.json()["errors"][0]["field"] == "input.photo"
    assert taken.status_code == 202
    (new,) = home.doors.new.values()
    assert new.input["photo"] == {"$artifact": foreign.id, "media_type": "image/png", "size_bytes": len(house.PNG)}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=100000", "limit"),
        ("limit=x", "limit"),
        ("state=lost", "state"),
        ("cursor=abc", "cursor"),
        ("cursor=%00", "cursor"),
        ("label=brand", "label"),
        ("label=a:%00", "label"),
        ("workflow=a%00b", "workflow"),
        ("created_before=9999-12-31T23:59:59-09:00", "created_before"),
        ("created_after=yesterday", "created_after"),
        ("sate=failed", "sate"),
    ],
)
def test_list_when_a_filter_is_bad_then_422_names_it(web: django.test.Client, query: str, field: str) -> None:
    response = web.get(f"/v1/runs?{query}")

    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("header", [None, "hd_x", "Basic abc", "Bearer", "Bearer hd_" + "x" * 43, "Bearer \x00"])
def test_any_call_when_the_key_is_bad_then_401(web: django.test.Client, header: str | None) -> None:
    headers = {"authorization": header or ""}

    answers = [web.get(path, headers=headers) for path in ("/v1/runs", "/v1/workflows", f"/v1/artifacts/{MISSING}")]

    assert {each.status_code for each in answers} == {401}
    assert answers[0]["WWW-Authenticate"] == 'Bearer realm="heddle"'
    assert answers[0].json()["code"] == "key_refused"


def test_start_when_the_key_may_only_read_then_403(web: django.test.Client, home: house.House) -> None:
    reader, _ = home.heddle.create_key(tenant="acme", name="reader", scopes=frozenset({"read"}))

    headers = {"authorization": f"Bearer {reader}"}
    refused = web.post("/v1/runs", data=json.dumps(GOOD), content_type="application/json", headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert web.get("/v1/runs", headers=headers).status_code == 200


PATHS = (
    "/v1",
    "/v1/",
    "/v1/nothing",
    "/v1/runs/",
    "/v1/artifacts/a/b",
    "/callbacks",
    "/callbacks/",
    "/callbacks/a/b/c",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["get", "post"])
def test_any_path_when_it_is_none_of_ours_then_a_problem(web: django.test.Client, method: str, path: str) -> None:
    unknown = getattr(web, method)(path)

    assert (unknown.status_code, unknown["Content-Type"]) == (404, problems.CONTENT_TYPE)
    assert unknown.json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("delete", "/v1/runs", {"GET", "POST"}),
        ("get", "/callbacks/paint", {"POST"}),
        ("put", "/callbacks/paint/token", {"POST"}),
        ("post", "/healthz", {"GET"}),
    ],
)
def test_any_path_when_the_method_does_not_fit_then_a_problem(
    web: django.test.Client, method: str, path: str, allowed: set[str]
) -> None:
    wrong = getattr(web, method)(path)

    assert (wrong.status_code, wrong["Content-Type"]) == (405, problems.CONTENT_TYPE)
    assert set(wrong["Allow"].split(", ")) >= allowed


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/artifacts/a/b", problems.CONTENT_TYPE),
        ("/nothing", problems.CONTENT_TYPE),
        ("/admin-x/", problems.CONTENT_TYPE),
    ],
)
def test_any_path_when_the_whole_service_is_ours_then_a_problem(
    web: django.test.Client, path: str, media_type: str
) -> None:
    with django.test.override_settings(ROOT_URLCONF="heddle.service.urls"):
        unknown, page = web.get(path), web.get("/console/nothing/at/all")

    assert (unknown.status_code, unknown["Content-Type"]) == (404, media_type)
    assert (page.status_code, page["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_every_answer_when_given_then_it_carries_the_security_headers(web: django.test.Client) -> None:
    for path in ("/v1/runs", "/healthz", "/v1/nothing"):
        response = web.get(path)
        assert "unsafe-inline" not in response["Content-Security-Policy"]
        assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(("part", "count"), [('name="x{}"', 1_010), ('name="file"; filename="{}"', 110)])
def test_upload_when_it_has_more_parts_than_are_read_then_a_problem(
    web: django.test.Client, part: str, count: int
) -> None:
    parts = [f"--b\r\nContent-Disposition: form-data; {part.format(number)}\r\n\r\n1\r\n" for number in range(count)]
    body = "".join([*parts, "--b--\r\n"]).encode()

    refused = web.post("/v1/artifacts", data=body, content_type="multipart/form-data; boundary=b")

    assert (refused.status_code, refused.json()["code"]) == (400, "malformed_request")


def test_list_when_it_has_more_parameters_than_are_read_then_a_problem(web: django.test.Client) -> None:
    refused = web.get("/v1/runs?" + "&".join(f"a{number}=1" for number in range(1_100)))

    assert (refused.status_code, refused.json()["code"]) == (400, "malformed_request")


def test_statuses_of_the_doors_then_the_label_has_room_for_each() -> None:
    answered = {200, 201, 202, 204, 302, 304} | {kind.status for kind in problems.KINDS.values()}

    assert len(answered) <= labels.STATUS.values_max
