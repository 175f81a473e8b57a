"""The HTTP door on real PostgreSQL, real artifact storage and real workflow types; no worker runs."""

import concurrent.futures
import datetime
import functools
import json
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import django.db
import django.test
import pydantic
import pytest
from PIL import Image

import heddle as authors
from heddle import Artifact, client, wiring
from heddle.client import needs
from heddle.config import settings
from heddle.core import artifact
from heddle.program import direct, registry
from heddle.store import blobs
from heddle.store import django as django_store
from tests import pg

SECRET = "a secret of the tests"


class Wish(pydantic.BaseModel):
    """What the model of these tests is asked for."""

    prompt: str
    seed: int = 0


@pytest.fixture(scope="module", autouse=True)
def workflows() -> Iterator[None]:
    """Register one workflow for this file only."""
    with registry.isolated():

        @authors.workflow
        async def http_shoot(photo: Artifact, scenes: list[str], note: str = "") -> list[Artifact]:
            return [photo for _ in scenes]

        @authors.step
        async def http_double(number: int) -> int:
            return 2 * number

        authors.model("http_relight", input=Wish)

        yield


@pytest.fixture
def house(database: pg.Database, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> client.Heddle:
    """Build a client on this file's database, as the wiring does."""
    storage = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=1_000_000, pixels_max=1_000_000)
    house = client.Heddle(
        doors=django_store.DjangoDoors(),
        media=storage,
        programs=needs.Programs(
            workflows=registry.workflows,
            workflow=registry.workflow,
            models=registry.models,
            direct=functools.partial(direct.find, is_routed=lambda name: name == "http_routed"),
        ),
        limits=settings.Settings(secret_key=SECRET),
        verify_callback=wiring.CallbackVerifiers(),
        checks={"artifacts": storage.check_sync},
    )
    monkeypatch.setattr(wiring, "client", lambda: house)
    return house


@pytest.fixture
def tenant() -> str:
    """Name a tenant of this test's own: the database is shared by the file."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def web(house: client.Heddle, tenant: str) -> Iterator[django.test.Client]:
    key, _ = house.create_key(tenant=tenant, name="tests")
    with django.test.override_settings(ROOT_URLCONF="heddle.api.urls", MIDDLEWARE=["heddle.api.middleware.Door"]):
        yield django.test.Client(headers={"authorization": f"Bearer {key}"})


def photo(path: pathlib.Path) -> bytes:
    Image.new("RGB", (16, 12), "teal").save(path / "photo.png")
    return (path / "photo.png").read_bytes()


def post(web: django.test.Client, path: str, body: Any, **headers: str) -> Any:
    return web.post(path, data=json.dumps(body), content_type="application/json", headers=headers)


def instant(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def upload(web: django.test.Client, data: bytes) -> str:
    response = web.post("/v1/artifacts", data=data, content_type="image/png")
    assert response.status_code == 201, response.content
    return str(response.json()["id"])


def test_main_job_when_a_photo_is_uploaded_and_a_run_started_then_all_of_it_can_be_read_back(
    web: django.test.Client, tmp_path: pathlib.Path
) -> None:
    data = photo(tmp_path)
    identifier = upload(web, data)

    started = post(
        web,
        "/v1/runs",
        {"workflow": "http_shoot", "input": {"photo": {"id": identifier}, "scenes": ["sea"]}, "labels": {"brand": "x"}},
    )
    shown = web.get(started["Location"]).json()
    listed = web.get("/v1/runs?label=brand:x&workflow=http_shoot&state=queued").json()

    assert started.status_code == 202
    assert shown["input"]["photo"] == {"id": identifier, "media_type": "image/png", "size_bytes": len(data)}
    assert (shown["state"], shown["steps"]["total"], shown["cost"]) == ("queued", 0, "0.00")
    apart = instant(shown["created_at"]) - instant(started.json()["created_at"])
    assert abs(apart.total_seconds()) < 1
    assert [each["id"] for each in listed["items"]] == [shown["id"]]
    assert b"".join(web.get(f"/v1/artifacts/{identifier}").streaming_content) == data
    assert web.get(f"{started['Location']}/steps").json()["items"] == []
    assert web.get(f"{started['Location']}/why").json()["why"].endswith(".")


def test_start_when_sent_again_then_one_run_and_the_first_answer(
    web: django.test.Client, tmp_path: pathlib.Path
) -> None:
    body = {"workflow": "http_shoot", "input": {"photo": upload(web, photo(tmp_path)), "scenes": []}}

    first = post(web, "/v1/runs", body, idempotency_key="k")
    again = post(web, "/v1/runs", body, idempotency_key="k")
    other = post(web, "/v1/runs", {**body, "priority": "batch"}, idempotency_key="k")

    assert (again.status_code, again.content, again["Location"]) == (202, first.content, first["Location"])
    assert again["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len(web.get("/v1/runs").json()["items"]) == 1


def test_start_when_many_race_under_one_key_then_one_run_and_equal_answers(
    web: django.test.Client, tmp_path: pathlib.Path
) -> None:
    body = {"workflow": "http_shoot", "input": {"photo": upload(web, photo(tmp_path)), "scenes": []}}

    def send(_: int) -> tuple[int, bytes]:
        try:
            response = post(web, "/v1/runs", body, idempotency_key="race")
            return response.status_code, response.content
        finally:
            django.db.connections.close_all()

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(12)))

    assert {status for status, _ in answers} <= {202, 409}
    assert len({content for status, content in answers if status == 202}) == 1
    assert len(web.get("/v1/runs").json()["items"]) == 1


def test_batch_when_items_differ_then_each_is_admitted_or_refused_alone(
    web: django.test.Client, tmp_path: pathlib.Path
) -> None:
    good = {"workflow": "http_shoot", "input": {"photo": upload(web, photo(tmp_path)), "scenes": []}}

    items = [{**good, "idempotency_key": "a"}, {**good, "deadline_s": -1}, {**good, "idempotency_key": "a"}, good]
    outcomes = post(web, "/v1/runs/batch", {"items": items}).json()["items"]

    assert [each["status"] for each in outcomes] == [202, 422, 202, 202]
    assert outcomes[0]["run"]["id"] == outcomes[2]["run"]["id"]
    assert len(web.get("/v1/runs").json()["items"]) == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"photo": "sha256:" + "0" * 64}, "input.photo"),
        ({"photo": {"id": "sha256:x"}}, "input.photo"),
        ({"photo": 7}, "input.photo"),
        ({"scenes": "sea"}, "input.scenes"),
        ({"scenes": [1]}, "input.scenes"),
        ({"scens": []}, "input.scens"),
        ({"note": "x" * 70_000}, "input.note"),
        ({"note": "a\x00b"}, "input.note"),
    ],
)
def test_start_when_a_field_is_bad_then_it_is_named_and_nothing_is_written(
    web: django.test.Client, tmp_path: pathlib.Path, change: dict[str, Any], field: str
) -> None:
    given = {"photo": upload(web, photo(tmp_path)), "scenes": ["sea"], **change}

    response = post(web, "/v1/runs", {"workflow": "http_shoot", "input": given})

    assert response.status_code == 422, response.content
    assert response.json()["errors"][0]["field"].startswith(field)
    assert web.get("/v1/runs").json()["items"] == []


@pytest.mark.parametrize(
    ("data", "code"), [(b"no photo", "media_type_refused"), (b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, "truncated")]
)
def test_upload_when_it_is_no_whole_photo_then_4xx_and_nothing_stays(
    web: django.test.Client, house: client.Heddle, tenant: str, tmp_path: pathlib.Path, data: bytes, code: str
) -> None:
    response = web.post("/v1/artifacts", data=data, content_type="image/png")

    assert 400 <= response.status_code < 500
    assert response.json()["code"] == code
    assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []


def test_foreign_things_when_asked_for_then_404(
    web: django.test.Client, house: client.Heddle, tmp_path: pathlib.Path
) -> None:
    reference = house.upload(photo(tmp_path), tenant="another")
    run = house.submit("http_shoot", {"photo": reference, "scenes": []}, tenant="another").run

    for path in (f"/v1/runs/{run.id}", f"/v1/runs/{run.id}/steps", f"/v1/artifacts/{reference.id}"):
        assert web.get(path).status_code == 404
    assert post(web, f"/v1/runs/{run.id}/cancel", {}).status_code == 404
    assert house.get(run.id, tenant="another").cancel_requested_at is None


def test_steering_when_a_run_is_queued_then_signal_and_cancel_are_taken(
    web: django.test.Client, tmp_path: pathlib.Path
) -> None:
    started = post(
        web, "/v1/runs", {"workflow": "http_shoot", "input": {"photo": upload(web, photo(tmp_path)), "scenes": []}}
    )
    path = started["Location"]

    signalled = post(web, f"{path}/signals/art_director", {"verdict": "approved"}, idempotency_key="s1")
    retried = web.post(f"{path}/retry")
    cancelled = web.post(f"{path}/cancel")

    assert signalled.status_code == 202
    assert (retried.status_code, retried.json()["code"]) == (409, "run_not_retryable")
    assert cancelled.status_code == 202
    assert web.post(f"{path}/cancel").status_code in (200, 202)


def test_client_when_the_host_rolls_back_then_no_run_stays(
    house: client.Heddle, tenant: str, tmp_path: pathlib.Path
) -> None:
    reference = house.upload(photo(tmp_path), tenant=tenant)
    assert isinstance(reference, artifact.Artifact)

    with django.db.transaction.atomic():
        house.submit("http_shoot", {"photo": reference, "scenes": []}, tenant=tenant)
        django.db.transaction.set_rollback(True)

    assert house.runs(tenant=tenant) == []


def test_key_when_unknown_then_401_and_when_of_the_tenant_then_200(web: django.test.Client) -> None:
    assert web.get("/v1/runs", headers={"authorization": f"Bearer hd_{'x' * 43}"}).status_code == 401
    assert web.get("/v1/runs").status_code == 200


def test_registry_when_asked_then_types_are_the_schema(web: django.test.Client) -> None:
    (found,) = [each for each in web.get("/v1/workflows").json()["items"] if each["name"] == "http_shoot"]

    assert set(found["input_schema"]["properties"]) == {"photo", "scenes", "note"}
    assert web.get("/v1/endpoints").status_code == 200
    assert web.get("/v1/models").status_code == 200


def test_ready_when_everything_is_there_then_200(web: django.test.Client) -> None:
    assert web.get("/readyz").json()["status"] == "ready"


def test_console_when_logged_in_then_pages_show_what_the_database_holds(
    web: django.test.Client, house: client.Heddle, tenant: str, tmp_path: pathlib.Path
) -> None:
    reference = house.upload(photo(tmp_path), tenant=tenant)
    run = house.submit("http_shoot", {"photo": reference, "scenes": ["sea"]}, tenant=tenant).run
    key, _ = house.create_key(tenant=tenant, name="console")

    with django.test.override_settings(ROOT_URLCONF="tests.unit.console.paths"):
        web.post("/console/login", {"key": key})
        pages = [web.get(path) for path in ("/console/", f"/console/runs/{run.id}", "/console/models")]
        cancelled = web.post(f"/console/runs/{run.id}/cancel")
        picture = web.get(f"/console/artifacts/{reference.id}")

    assert [page.status_code for page in pages] == [200, 200, 200]
    assert str(run.id) in pages[0].content.decode()
    assert reference.id in pages[1].content.decode()
    assert cancelled["Location"] == f"/console/runs/{run.id}?said=cancel"
    assert b"".join(picture.streaming_content) == (tmp_path / "photo.png").read_bytes()


@pytest.mark.parametrize("name", ["http_relight", "http_routed"])
def test_infer_when_a_model_is_called_then_a_run_of_this_call_alone_is_in_line(
    web: django.test.Client, name: str
) -> None:
    body = {"input": {"prompt": "sea"}, "priority": "interactive"}

    started = post(web, f"/v1/models/{name}/infer", body, idempotency_key="k")
    again = post(web, f"/v1/models/{name}/infer", body, idempotency_key="k")
    steps = web.get(f"{started['Location']}/steps").json()["items"]

    assert (started.status_code, again["Idempotent-Replayed"]) == (202, "true")
    assert again.json() == started.json()
    assert (started.json()["workflow"], started.json()["priority"]) == (f"model:{name}", "interactive")
    assert [(each["kind"], each["name"], each["state"]) for each in steps] == [("model", name, "due")]


def test_run_when_its_name_is_of_a_step_then_the_step_is_in_line(web: django.test.Client) -> None:
    started = post(web, "/v1/runs", {"workflow": "step:http_double", "input": {"number": 4}})

    assert started.status_code == 202
    assert web.get(started["Location"]).json()["steps"]["total"] == 1


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/models/http_relight/infer", {"input": {"seed": 1}}, "input.prompt"),
        ("/v1/models/http_relight/infer", {"input": {"prompt": "sea", "seed": "x"}}, "input.seed"),
        ("/v1/models/nowhere/infer", {"input": {}}, "workflow"),
        ("/v1/runs", {"workflow": "step:http_double", "input": {"number": "four"}}, "input.number"),
        ("/v1/runs", {"workflow": "step:http_double", "input": {}}, "input.number"),
        ("/v1/runs", {"workflow": "step:http_double", "input": {"number": 1, "more": 1}}, "input.more"),
        ("/v1/runs", {"workflow": "step:nobody", "input": {}}, "workflow"),
    ],
)
def test_call_when_its_input_does_not_fit_then_422_names_the_field(
    web: django.test.Client, path: str, body: dict[str, Any], field: str
) -> None:
    refused = post(web, path, body)

    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == [field]
