"""Where a run may tell how it ends: the door refuses what cannot be such an address by its form, and says so once."""

import json

import django.test
import pytest

from heddle.core import addresses
from tests import hostile_urls
from tests.unit.api import conftest, house

GOOD = {"workflow": "product_shoot", "input": {"photo": "plain", "scenes": ["beach"]}}


def start(web: django.test.Client, url: str) -> tuple[int, dict[str, object]]:
    response = web.post("/v1/runs", data=json.dumps({**GOOD, "webhook_url": url}), content_type="application/json")
    return response.status_code, response.json()


@pytest.mark.parametrize("url", [url for url in hostile_urls.BY_FORM if "\x00" not in url])
def test_start_when_the_webhook_url_is_hostile_then_422_names_the_field_and_no_more(
    web: django.test.Client, home: house.House, url: str
) -> None:
    status, problem = start(web, url)

    assert status == 422
    assert problem["errors"] == [{"field": "webhook_url", "message": addresses.NOT_PUBLIC}]
    assert home.doors.found == {}


@pytest.mark.parametrize("url", hostile_urls.LEGITIMATE)
def test_start_when_the_webhook_url_is_legitimate_then_the_run_is_taken(web: django.test.Client, url: str) -> None:
    assert start(web, url)[0] == 202


def test_start_when_private_addresses_are_allowed_then_this_machine_may_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = house.build(webhook_private_allowed=True)
    conftest.install(home, monkeypatch)

    with django.test.override_settings(ROOT_URLCONF="heddle.api.urls", MIDDLEWARE=conftest.MIDDLEWARE):
        web = django.test.Client(headers={"authorization": f"Bearer {home.key}"})
        assert start(web, "http://127.0.0.1:9000/hooks")[0] == 202


def test_start_when_the_webhook_url_has_a_nul_then_it_is_refused(web: django.test.Client) -> None:
    assert start(web, "http://example.com/\x00")[0] == 422
