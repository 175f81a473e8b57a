"""Give each test of the console a house of its own and a browser of sorts in front of it."""

from collections.abc import Iterator

import django.test
import pytest

from heddle import wiring
from tests import pg
from tests.unit.api import house


def pytest_pycollect_makemodule() -> None:
    """Load Django before the files of this folder; it is for the doors that the rung has Django at all."""
    pg.set_up_django()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> house.House:
    built = house.build(environment="production")
    monkeypatch.setattr(wiring, "client", lambda: built.heddle)
    return built


@pytest.fixture
def browser(home: house.House) -> Iterator[django.test.Client]:
    """Answer as to a browser that enforces nothing and holds cookies."""
    with django.test.override_settings(
        ROOT_URLCONF="tests.unit.console.paths", MIDDLEWARE=["heddle.api.middleware.Door"]
    ):
        yield django.test.Client()


@pytest.fixture
def inside(browser: django.test.Client, home: house.House) -> django.test.Client:
    """Give a browser that has logged in as the tenant acme."""
    response = browser.post("/console/login", {"key": home.key})
    assert response.status_code == 302
    return browser
