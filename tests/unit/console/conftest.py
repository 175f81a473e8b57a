"""Give each test of the console a house of its own and a browser of sorts in front of it."""

import types
from collections.abc import Iterator

import django.test
import pytest

from tests import pg

pg.set_up_django()

from django.urls import include, path  # noqa: E402 - Django's settings come first

from heddle import wiring  # noqa: E402 - the same
from tests.unit.api import house  # noqa: E402 - the same

URLS = types.SimpleNamespace(
    urlpatterns=[path("", include("heddle.api.urls")), path("console/", include("heddle.console.urls"))]
)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> house.House:
    built = house.build(environment="production")
    monkeypatch.setattr(wiring, "client", lambda: built.heddle)
    return built


@pytest.fixture
def browser(home: house.House) -> Iterator[django.test.Client]:
    """Answer as to a browser that enforces nothing and holds cookies."""
    with django.test.override_settings(ROOT_URLCONF=URLS, MIDDLEWARE=["heddle.api.middleware.Door"]):
        yield django.test.Client()


@pytest.fixture
def inside(browser: django.test.Client, home: house.House) -> django.test.Client:
    """Give a browser that has logged in as the tenant acme."""
    response = browser.post("/console/login", {"key": home.key})
    assert response.status_code == 302
    return browser
