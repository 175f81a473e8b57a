"""A tenant looks after its webhooks over HTTP: deliveries, redelivery, addresses that are gone, signing secrets."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import django.test
import pytest

from heddle import client, wiring
from heddle.client import needs
from heddle.config import settings
from heddle.core import outbox
from heddle.ports import operators, records
from heddle.store import django as django_store
from heddle.store import webhooks as webhooks_store
from tests import pg
from tests.races import scene

URL = "https://shop.example/hooks"


@pytest.fixture(autouse=True)
def house(database: pg.Database, monkeypatch: pytest.MonkeyPatch) -> client.Heddle:
    """Build clients on this file's database, as the wiring does."""
    limits = settings.Settings(secret_key="a secret")
    desk = webhooks_store.DjangoWebhooks()
    made = client.Heddle(
        doors=django_store.DjangoDoors(),
        media=None,  # type: ignore[arg-type]
        programs=needs.Programs(workflows=list, workflow=None, models=list),  # type: ignore[arg-type]
        limits=limits,
        verify_callback=None,  # type: ignore[arg-type]
        checks={},
    )
    webhooks = client.Webhooks(desk=desk, tenants=lambda name: desk.known_tenant(name=name), limits=limits)
    monkeypatch.setattr(wiring, "client", lambda: made)
    monkeypatch.setattr(wiring, "webhooks", lambda: webhooks)
    return made


@pytest.fixture(autouse=True)
def paths() -> Iterator[None]:
    with django.test.override_settings(ROOT_URLCONF="heddle.api.urls", MIDDLEWARE=["heddle.api.middleware.Door"]):
        yield


@pytest.fixture
def tenant() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


def web(house: client.Heddle, tenant: str, *scopes: str) -> django.test.Client:
    key, _ = house.create_key(tenant=tenant, name="tests", scopes=frozenset(scopes or {"read", "write"}))
    return django.test.Client(headers={"authorization": f"Bearer {key}"})


def told(house: client.Heddle, tenant: str, count: int = 1) -> list[str]:
    """End runs that somebody wants to know of, and give their ids, the newest first."""
    owner, doors = house.tenant(tenant), django_store.DjangoDoors()
    made = []
    for _ in range(count):
        submission = doors.submit(
            records.NewRun(tenant=owner, workflow=scene.WORKFLOW, version=1, input={}, webhook_url=URL)
        )
        doors.cancel(tenant=owner, run_id=submission.run_id)
        made.insert(0, str(submission.run_id))
    return made


def post(door: django.test.Client, path: str, body: Any = None) -> Any:
    return door.post(path, data=json.dumps(body or {}), content_type="application/json")


@pytest.mark.parametrize("count", [3, 4])
def test_deliveries_when_listed_then_the_newest_come_first_page_by_page(
    house: client.Heddle, tenant: str, count: int
) -> None:
    runs, door = told(house, tenant, count), web(house, tenant)

    first = door.get("/v1/webhooks/deliveries", {"limit": 2, "state": "due"}).json()
    rest = door.get("/v1/webhooks/deliveries", {"limit": 2, "cursor": first["next_cursor"]}).json()
    of_one = door.get("/v1/webhooks/deliveries", {"run": runs[0]}).json()

    assert [each["run"] for each in (*first["items"], *rest["items"])] == runs
    assert rest["next_cursor"] is None
    assert [each["run"] for each in of_one["items"]] == [runs[0]]
    assert first["items"][0]["type"] == "run.cancelled"
    assert (first["items"][0]["url"], first["items"][0]["tries"], first["items"][0]["state"]) == (URL, 0, "due")


@pytest.mark.parametrize(
    ("query", "field"),
    [({"state": "lost"}, "state"), ({"limit": "9999"}, "limit"), ({"cursor": "x"}, "cursor"), ({"run": "x"}, "run")],
)
def test_deliveries_when_the_question_is_none_then_the_field_is_named(
    house: client.Heddle, tenant: str, query: dict[str, str], field: str
) -> None:
    answer = web(house, tenant).get("/v1/webhooks/deliveries", query)

    assert answer.status_code == 422
    assert field in answer.json()["errors"][0]["field"]


def test_deliveries_when_a_tenant_is_mistyped_then_refused_and_none_is_made(database: pg.Database) -> None:
    with pytest.raises(operators.SubjectMissing, match="there is no tenant 'nobdy'"):
        wiring.webhooks().deliveries(tenant="nobdy")

    with database.connect() as connection:
        assert not connection.execute("select 1 from heddle_tenant where name = 'nobdy'").fetchall()


def test_redeliver_when_an_event_is_dead_then_it_is_due_from_the_start_and_audited(
    house: client.Heddle, tenant: str, database: pg.Database
) -> None:
    told(house, tenant)
    door = web(house, tenant)
    event = door.get("/v1/webhooks/deliveries").json()["items"][0]["id"]
    with database.connect() as connection:
        connection.execute("update heddle_outbox set state = 'dead', tries = 10, ended_at = now()")

        answer = post(door, f"/v1/webhooks/deliveries/{event}/redeliver")

        audited = connection.execute(
            "select actor, subject from heddle_audit where action = 'webhooks.redeliver' order by id desc limit 1"
        ).fetchall()
    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["tries"]) == ("due", 0)
    assert audited == [(f"key tests of {tenant}", f"tenant {tenant}: {event}")]


@pytest.mark.parametrize("event", ["msg_1", "msg_0123456789abcdef0123456789abcdef_3"])
def test_redeliver_when_there_is_no_such_event_then_404(house: client.Heddle, tenant: str, event: str) -> None:
    assert post(web(house, tenant), f"/v1/webhooks/deliveries/{event}/redeliver").status_code == 404


def test_webhooks_when_they_are_anothers_then_they_look_like_none(house: client.Heddle, tenant: str) -> None:
    told(house, tenant)
    event = web(house, tenant).get("/v1/webhooks/deliveries").json()["items"][0]["id"]
    stranger = web(house, f"{tenant}-2")

    assert stranger.get("/v1/webhooks/deliveries").json()["items"] == []
    assert post(stranger, f"/v1/webhooks/deliveries/{event}/redeliver").status_code == 404
    assert stranger.get("/v1/webhooks/secrets").json()["items"] == []


def test_webhooks_when_the_key_may_only_read_then_nothing_is_changed(house: client.Heddle, tenant: str) -> None:
    door = web(house, tenant, "read")

    answers = [
        post(door, path).status_code
        for path in ("/v1/webhooks/secrets", "/v1/webhooks/enable", "/v1/webhooks/deliveries/msg_1/redeliver")
    ]

    assert answers == [403, 403, 403]


def test_enable_when_an_address_is_gone_then_it_is_listed_and_enabled_once(
    house: client.Heddle, tenant: str, database: pg.Database
) -> None:
    door, owner = web(house, tenant), house.tenant(tenant)
    with database.connect() as connection:
        connection.execute(
            "insert into heddle_webhook_disabled (tenant_id, url, reason) values (%s, %s, 'gone')", [owner.id, URL]
        )

    listed = door.get("/v1/webhooks/disabled").json()["items"]
    answers = [post(door, "/v1/webhooks/enable", {"url": URL}).status_code for _ in range(2)]

    assert [(each["url"], each["reason"]) for each in listed] == [(URL, "gone")]
    assert answers == [200, 404]


def test_enable_when_an_address_cannot_be_kept_then_the_field_is_named(house: client.Heddle, tenant: str) -> None:
    refused = post(web(house, tenant), "/v1/webhooks/enable", {"url": "https://h/\x00"})

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "url")


def test_secret_when_rotated_then_it_is_shown_once_and_its_versions_after(house: client.Heddle, tenant: str) -> None:
    door = web(house, tenant)

    made = [post(door, "/v1/webhooks/secrets") for _ in range(2)]
    listed = door.get("/v1/webhooks/secrets")

    assert [each.status_code for each in made] == [201, 201]
    assert [each.json()["version"] for each in made] == [1, 2]
    assert [(each["version"], each["retires_at"] is None) for each in listed.json()["items"]] == [(2, True), (1, False)]
    assert "whsec_" not in listed.content.decode()


def test_secret_when_rotated_without_grace_then_none_before_it_counts_any_more(
    house: client.Heddle, tenant: str
) -> None:
    desk = webhooks_store.DjangoWebhooks()
    owner = house.tenant(tenant)
    for grace_s in (3_600.0, 3_600.0):
        desk.rotate(tenant=owner, grace_s=grace_s, actor="test")
    kept = [view.version for view in desk.secrets(tenant=owner)]

    made = desk.rotate(tenant=owner, grace_s=0.0, actor="test")

    assert kept == [2, 1]
    assert [view.version for view in desk.secrets(tenant=owner)] == [made.version] == [3]


def test_secrets_when_the_whole_database_is_read_then_none_is_in_it(
    house: client.Heddle, tenant: str, database: pg.Database
) -> None:
    door = web(house, tenant)
    secrets = [post(door, "/v1/webhooks/secrets").json()["secret"] for _ in range(3)]
    told(house, tenant)

    with database.connect() as connection:
        tables = [name for (name,) in connection.execute("select tablename from pg_tables where schemaname = 'public'")]
        text = "\n".join(
            str(row) for name in tables for row in connection.execute(f'select t::text from "{name}" t').fetchall()
        )

    assert tenant in text
    for secret in secrets:
        assert secret not in text
        assert secret.removeprefix("whsec_") not in text


def test_secret_when_derived_by_another_installation_then_it_is_another(house: client.Heddle, tenant: str) -> None:
    made = post(web(house, tenant), "/v1/webhooks/secrets").json()["secret"]
    key = webhooks_store.DjangoWebhooks()._rows("webhook_secret_keys", {"tenants": [house.tenant(tenant).id]})[0]

    same, other = (
        outbox.secret(secret_key=each, tenant_id=key[0], version=key[1], salt=key[2]) for each in ("a secret", "b")
    )

    assert same == made != other


@pytest.mark.parametrize("count", [75, 100])
def test_disabled_when_more_than_a_page_is_gone_then_each_comes_once_the_latest_first(
    house: client.Heddle, tenant: str, database: pg.Database, count: int
) -> None:
    owner, door = house.tenant(tenant), web(house, tenant)
    with database.connect() as connection:
        connection.execute(
            "insert into heddle_webhook_disabled (tenant_id, url, reason, at)"
            " select %s, 'https://shop.example/' || n, 'gone', now() - make_interval(secs => n / 4) "
            "from generate_series(0, %s - 1) n",
            [owner.id, count],
        )

    first = door.get("/v1/webhooks/disabled").json()
    second = door.get("/v1/webhooks/disabled", {"cursor": first["next_cursor"]}).json()

    seen = [each for page in (first, second) for each in page["items"]]
    assert (len(first["items"]), second["next_cursor"]) == (50, None)
    assert {each["url"] for each in seen} == {f"https://shop.example/{n}" for n in range(count)}
    assert [each["at"] for each in seen] == sorted((each["at"] for each in seen), reverse=True)
    assert "shop" not in first["next_cursor"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "9999"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": f"{'9' * 18}.{'0' * 16}"}, "cursor"),
        ({"url": "x"}, "url"),
    ],
)
def test_disabled_when_the_page_is_none_then_the_field_is_named(
    house: client.Heddle, tenant: str, query: dict[str, str], field: str
) -> None:
    answer = web(house, tenant).get("/v1/webhooks/disabled", query)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("size", [3, 4])
def test_schedules_when_there_are_more_than_a_page_then_each_comes_once_by_name(
    house: client.Heddle, tenant: str, database: pg.Database, size: int
) -> None:
    owner, door = house.tenant(tenant), web(house, tenant)
    with database.connect() as connection:
        connection.execute(
            "insert into heddle_schedule"
            " (name, tenant_id, workflow, input, cron, time_zone, catch_up, catch_up_max, priority, next_at)"
            " select 'nightly.' || %s || '.' || n, %s, 'w', '{}', '0 3 * * *', 'UTC', 'last', 1, 'batch', now()"
            " from generate_series(10, 15) n",
            [str(size), owner.id],
        )

    pages = [door.get("/v1/schedules", {"limit": size}).json()]
    pages.append(door.get("/v1/schedules", {"limit": size, "cursor": pages[0]["next_cursor"]}).json())
    whole = door.get("/v1/schedules").json()
    refused = [door.get("/v1/schedules", {"cursor": cursor}).status_code for cursor in ("", "x", "AAAA", "_____w")]

    names = [each["name"] for page in pages for each in page["items"]]
    assert names == [f"nightly.{size}.{n}" for n in range(10, 16)] == [each["name"] for each in whole["items"]]
    assert (len(pages[0]["items"]), pages[1]["next_cursor"], whole["next_cursor"]) == (size, None, None)
    assert refused == [422] * 4
