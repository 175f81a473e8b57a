"""Give each test of the HTTP door a house of its own and a browserless client in front of it."""

from collections.abc import Iterator

import django.test
import pytest

from heddle import wiring
from tests import pg
from tests.unit.api import house

MIDDLEWARE = ["heddle.api.middleware.Door", "django.middleware.csrf.CsrfViewMiddleware"]


def pytest_pycollect_makemodule() -> None:
    """Load Django before the files of this folder; it is for the doors that the rung has Django at all."""
    pg.set_up_django()


@pytest.fixture
def home() -> house.House:
    return house.build()


@pytest.fixture
def web(home: house.House, monkeypatch: pytest.MonkeyPatch) -> Iterator[django.test.Client]:
    """Answer requests with the key of the tenant acme, through the real paths and middleware."""
    install(home, monkeypatch)
    with django.test.override_settings(ROOT_URLCONF="heddle.api.urls", MIDDLEWARE=MIDDLEWARE):
        yield django.test.Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {home.key}"})


def install(home: house.House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the wiring give this house's client."""
    monkeypatch.setattr(wiring, "client", lambda: home.heddle)
