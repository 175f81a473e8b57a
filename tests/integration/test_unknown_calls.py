"""Calls of unknown outcome are listed page by page: by the store, over HTTP for their tenant, and on the machine."""

import json
import os
import pathlib
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any

import django.test
import pytest
import pytest_asyncio

from heddle import client, wiring
from heddle.cli import complaints
from heddle.client import needs
from heddle.config import deployment, settings
from heddle.core import ids
from heddle.ports import operators
from heddle.store import django as django_store
from heddle.store import operators as operators_store
from tests import pg
from tests.races import fixtures, invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
open_house = fixtures.open_house


@pytest_asyncio.fixture(loop_scope="module")
async def house(open_house: scene.House) -> AsyncIterator[scene.House]:
    open_house.wipe()
    open_house.deploy(
        [scene.endpoint("one")],
        [deployment.Route(model="paint", endpoint="one", tier=0, weight=1)],
        scopes=[deployment.Scope(name="one", concurrency=10)],
    )
    yield open_house
    assert not invariants.broken(open_house.connection)


async def unknown_calls(house: scene.House, *, count: int) -> list[uuid.UUID]:
    """Make runs with one call each that waits for a person, in the order in which pages show them."""
    worker = await house.worker()
    made = list[uuid.UUID]()
    for _ in range(count):
        (run_id,) = house.submit()
        made.append(run_id)
        await house.begin(run_id, worker, scene.call(1, "model", "paint"), ending=scene.returned(1))
        (sent,) = await house.claim_models(worker, "paint")
        await house.settle(scene.unsure(sent, verdict="bury"))
    return sorted(made)


async def page(**given: Any) -> operators.UnknownPage:
    asked = {"tenant": None, "after": None, "limit": 10, **given}
    desk = operators_store.DjangoOperators(cleanup_s=scene.CLEANUP_S)
    found: operators.UnknownPage = await scene.in_thread(lambda: desk.unknown_calls(**asked))
    return found


def runs_of(found: operators.UnknownPage) -> list[uuid.UUID]:
    return [each.attempt.run_id for each in found.calls]


async def test_unknown_calls_when_read_by_pages_then_each_is_shown_once(house: scene.House) -> None:
    made = await unknown_calls(house, count=3)

    first = await page(limit=2)
    second = await page(limit=2, after=first.following)

    assert runs_of(first) + runs_of(second) == made
    assert second.following is None
    shown = first.calls[0]
    assert (shown.tenant, shown.model, shown.endpoint, shown.is_looked_up) == ("default", "paint", "one", False)
    assert shown.next_look_at is None


async def test_unknown_calls_when_the_look_is_bounded_then_stopped_runs_are_passed_over_and_the_rest_follows(
    house: scene.House,
) -> None:
    made = await unknown_calls(house, count=3)
    house.connection.execute("update heddle_step set state = 'cancelled' where run_id = %s", (made[0],))

    first = await page(look=1)
    second = await page(look=1, after=first.following)
    whole = await page()
    house.connection.execute("update heddle_step set state = 'unknown' where run_id = %s", (made[0],))

    assert (runs_of(first), first.following) == ([], ids.AttemptId(run_id=made[0], ordinal=1, number=1))
    assert runs_of(second) == made[1:2]
    assert (runs_of(whole), whole.following) == (made[1:], None)


async def test_unknown_calls_when_a_tenants_look_ends_among_others_then_the_cursor_names_none_of_their_runs(
    house: scene.House,
) -> None:
    foreign = await unknown_calls(house, count=3)
    stranger = await scene.in_thread(lambda: django_store.DjangoDoors().tenant(name="stranger"))

    pages, following = list[operators.UnknownPage](), None
    while not pages or following is not None:
        pages.append(await page(tenant=stranger, look=2, after=following))
        following = pages[-1].following

    marks = [each.following.run_id for each in pages if each.following is not None]
    assert 1 <= len(marks) <= len(foreign)
    assert not set(marks) & set(foreign)
    assert marks == sorted(set(marks))
    assert all(each.calls == () for each in pages)


async def test_unknown_calls_when_a_tenants_look_is_bounded_then_its_own_are_shown_once_each(
    house: scene.House,
) -> None:
    made = await unknown_calls(house, count=4)
    own = await scene.in_thread(lambda: django_store.DjangoDoors().tenant(name="default"))

    shown, following, is_first = list[uuid.UUID](), None, True
    while is_first or following is not None:
        found = await page(tenant=own, look=2, limit=3, after=following)
        shown, following, is_first = shown + runs_of(found), found.following, False

    assert shown == made


async def test_unknown_calls_when_nothing_is_unknown_then_the_page_is_empty_and_the_last(house: scene.House) -> None:
    found = await page()

    assert found == operators.UnknownPage(calls=(), following=None)


def door(monkeypatch: pytest.MonkeyPatch, tenant: str, *scopes: str) -> django.test.Client:
    """Give a browser with a key, on clients of this file's database."""
    made = client.Heddle(
        doors=django_store.DjangoDoors(),
        media=None,  # type: ignore[arg-type]
        programs=needs.Programs(workflows=list, workflow=None, models=list),  # type: ignore[arg-type]
        limits=settings.Settings(secret_key="a secret"),
        verify_callback=None,  # type: ignore[arg-type]
        checks={},
    )
    monkeypatch.setattr(wiring, "client", lambda: made)
    key, _ = made.create_key(tenant=tenant, name="tests", scopes=frozenset(scopes))
    return django.test.Client(headers={"authorization": f"Bearer {key}"})


async def test_steps_unknown_when_asked_over_http_then_a_tenant_sees_its_own_and_an_admin_those_it_names(
    house: scene.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await unknown_calls(house, count=2)

    def asked() -> list[Any]:
        own = door(monkeypatch, "default", "read")
        first = own.get("/v1/steps/unknown?limit=1").json()
        stranger = door(monkeypatch, "stranger", "read")
        admin = door(monkeypatch, "stranger", "admin")
        return [
            first,
            own.get("/v1/steps/unknown", {"cursor": first["next_cursor"]}).json(),
            stranger.get("/v1/steps/unknown").json(),
            stranger.get("/v1/steps/unknown?tenant=default").status_code,
            len(admin.get("/v1/steps/unknown?tenant=default").json()["items"]),
            admin.get("/v1/steps/unknown?tenant=nobody").status_code,
        ]

    with django.test.override_settings(ROOT_URLCONF="heddle.api.urls", MIDDLEWARE=["heddle.api.middleware.Door"]):
        first, second, foreign, forbidden, named, missing = await scene.in_thread(asked)

    (item,) = first["items"]
    assert (item["run"], item["step"], item["model"], item["next_look_at"]) == (str(made[0]), 1, "paint", None)
    assert [each["run"] for each in second["items"]] == [str(made[1])]
    assert foreign == {"items": [], "next_cursor": None}
    assert (forbidden, named, missing) == (403, 2, 404)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("cursor=garbage", "cursor"),
        ("cursor=00000000-0000-0000-0000-000000000000.99999999999.1", "cursor"),
        ("cursor=00000000-0000-0000-0000-000000000000.1.99999999999", "cursor"),
        ("limit=0", "limit"),
        ("limit=100000", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=x", "limit"),
        ("tenants=default", "tenants"),
    ],
)
async def test_steps_unknown_when_the_question_makes_no_sense_then_the_field_is_named(
    query: str, field: str, house: scene.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with django.test.override_settings(ROOT_URLCONF="heddle.api.urls", MIDDLEWARE=["heddle.api.middleware.Door"]):
        refused = await scene.in_thread(lambda: door(monkeypatch, "default", "read").get(f"/v1/steps/unknown?{query}"))

    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == [field]


def heddle(*words: str, database: pg.Database, folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEDDLE_")}
    return subprocess.run(
        [sys.executable, "-m", "heddle.cli", *words],
        env={**kept, "DATABASE_URL": database.dsn, "HEDDLE_STATE_DIR": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_steps_unknown_when_asked_on_the_machine_then_settling_what_is_listed_takes_it_off_the_list(
    house: scene.House, database: pg.Database, tmp_path: pathlib.Path
) -> None:
    (run_id,) = await unknown_calls(house, count=1)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return heddle(*words, database=database, folder=tmp_path)

    table = run("steps", "unknown")
    (item,) = json.loads(run("steps", "unknown", "--json").stdout)["items"]
    settled = run("settle", item["run"], str(item["step"]), "--as", "failed")
    after = json.loads(run("steps", "unknown", "--json").stdout)
    wrong = run("steps", "unknown", "--cursor", "garbage")

    assert table.returncode == 0, table.stderr
    assert str(run_id) in table.stdout
    assert "never: settle it" in table.stdout
    assert (settled.returncode, after) == (0, {"items": [], "next_cursor": None}), settled.stderr
    assert (wrong.returncode, "cursor is not a cursor of ours" in wrong.stderr) == (complaints.Exit.REFUSED, True)
