"""Artifacts over HTTP: uploads raw and multipart, refusals that leave nothing behind, downloads."""

import io

import django.test
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.unit.api import house


def test_upload_when_raw_then_201_with_the_reference(web: django.test.Client, home: house.House) -> None:
    response = web.post("/v1/artifacts", data=house.PNG, content_type="image/png")

    body = response.json()
    assert response.status_code == 201
    assert (body["media_type"], body["size_bytes"]) == ("image/png", len(house.PNG))
    assert response["Location"] == f"/v1/artifacts/{body['id']}"
    assert home.heddle.find_artifact(body["id"], tenant="acme") is not None
    assert home.heddle.find_artifact(body["id"], tenant="globex") is None


def test_upload_when_multipart_then_the_same_reference(web: django.test.Client) -> None:
    raw = web.post("/v1/artifacts", data=house.PNG, content_type="image/png")

    parts = web.post("/v1/artifacts", {"file": SimpleUploadedFile("a.png", house.PNG, "image/png")})

    assert (parts.status_code, parts.json()) == (201, raw.json())


@pytest.mark.parametrize(
    ("data", "content_type", "status", "code"),
    [
        (b"no photo at all", "image/png", 415, "media_type_refused"),
        (b"", "image/png", 422, "empty"),
        (b"x" * 5_000, "image/png", 413, "too_large"),
    ],
)
def test_upload_when_the_bytes_are_bad_then_refused_and_nothing_kept(
    web: django.test.Client, home: house.House, data: bytes, content_type: str, status: int, code: str
) -> None:
    response = web.post(
        "/v1/artifacts", data=data, content_type=content_type, headers={"content-length": str(len(data))}
    )

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert home.media.kept == {}
    assert home.doors.owned == {}


@pytest.mark.parametrize("content_type", ["image/png", "multipart/form-data; boundary=b"])
def test_upload_when_it_ends_early_then_400_and_nothing_kept(
    web: django.test.Client, home: house.House, content_type: str
) -> None:
    response = web.generic(
        "POST",
        "/v1/artifacts",
        **{"wsgi.input": io.BytesIO(house.PNG[:20]), "CONTENT_LENGTH": "60", "CONTENT_TYPE": content_type},
    )

    assert (response.status_code, response.json()["code"]) == (400, "truncated")
    assert home.media.kept == {}


def test_upload_when_multipart_has_no_file_or_two_then_422_names_file(web: django.test.Client) -> None:
    part = SimpleUploadedFile("a.png", house.PNG, "image/png")

    none = web.post("/v1/artifacts", {"note": "x"})
    two = web.post("/v1/artifacts", {"file": part, "other": SimpleUploadedFile("b.png", house.PNG)})

    assert [each.json()["errors"][0]["field"] for each in (none, two)] == ["file", "file"]


def test_upload_when_the_length_is_missing_then_411(web: django.test.Client) -> None:
    response = web.generic("POST", "/v1/artifacts", CONTENT_LENGTH="", CONTENT_TYPE="image/png")

    assert response.status_code == 411


def test_download_when_owned_then_the_bytes_with_immutable_headers(web: django.test.Client, home: house.House) -> None:
    reference = home.heddle.upload(house.PNG, tenant="acme")

    response = web.get(f"/v1/artifacts/{reference.id}")
    again = web.get(f"/v1/artifacts/{reference.id}", headers={"if-none-match": response["ETag"]})

    assert b"".join(response.streaming_content) == house.PNG
    assert (response["Content-Type"], response["Content-Length"]) == ("image/png", str(len(house.PNG)))
    assert "immutable" in response["Cache-Control"]
    assert response["Content-Disposition"].startswith("inline")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert (again.status_code, again.content) == (304, b"")


def test_download_when_a_browser_could_run_it_then_it_is_only_saved(web: django.test.Client, home: house.House) -> None:
    reference = home.heddle.upload(b"<svg onload=alert(1)>", media_type="image/svg+xml", tenant="acme")

    response = web.get(f"/v1/artifacts/{reference.id}")

    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment")
    assert "sandbox" in response["Content-Security-Policy"]


def test_download_when_foreign_unknown_or_gone_then_404(web: django.test.Client, home: house.House) -> None:
    foreign = home.heddle.upload(house.PNG, tenant="globex")
    gone = home.heddle.upload(b"gone", tenant="acme")
    home.media.kept.pop(("acme", gone.sha256))

    names = (foreign.id, "sha256:" + "0" * 64, "sha256:nope", "7", gone.id)

    assert {web.get(f"/v1/artifacts/{name}").status_code for name in names} == {404}


def test_head_when_asked_of_what_get_answers_then_the_same_headers_and_no_content(
    web: django.test.Client, home: house.House
) -> None:
    artifact = web.post("/v1/artifacts", data=house.PNG, content_type="image/png")["Location"]
    run_id = home.heddle.submit("product_shoot", {"photo": "plain", "scenes": ["a"]}, tenant="acme").run.id
    stream = f"/v1/runs/{run_id}/events"
    paths = [artifact, "/v1/workflows", "/v1/openapi.json", "/v1/artifacts/none"]

    pairs = [(web.head(path), web.get(path)) for path in paths]
    held = [web.head(stream).status_code for _ in range(20)]

    assert [head.status_code for head, _ in pairs] == [200, 200, 200, 404]
    assert [head.status_code for head, _ in pairs] == [get.status_code for _, get in pairs]
    assert all(head["Content-Type"] == get["Content-Type"] and head.content == b"" for head, get in pairs)
    assert pairs[0][0]["Content-Length"] == str(len(house.PNG))
    assert pairs[1][0]["Content-Length"] == str(len(pairs[1][1].content))
    assert set(held) == {200}, "each gave its place back"
    assert web.head("/v1/operations").status_code == 405
    assert web.put("/v1/workflows")["Allow"] == "GET, HEAD"
    assert web.head("/v1/artifacts/none", headers={"authorization": ""}).status_code == 401
