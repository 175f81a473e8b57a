"""Hand out databases, load Django for the rungs that need it, and skip by name what this machine has no program for."""

import pathlib
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import pg, programs

# These rungs prove that the law and the programming model need no Django, so it is not loaded for them.
RUNGS_WITHOUT_DJANGO = frozenset({"unit", "property", "house"})
TESTS = pathlib.Path(__file__).resolve().parent

settings.register_profile("heddle", derandomize=True, deadline=None, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Search the same examples on every machine, unless a run asks for another profile, and hear Ctrl-C."""
    settings.load_profile(config.getoption("--hypothesis-profile", default=None) or "heddle")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that runs us in the background has us ignore Ctrl-C, and so would every program that a test starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_pycollect_makemodule(module_path: pathlib.Path) -> None:
    """Load Django before a test file that may import models."""
    if TESTS in module_path.parents and module_path.relative_to(TESTS).parts[0] not in RUNGS_WITHOUT_DJANGO:
        pg.set_up_django()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing, and say how to install it."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            refusal = programs.refusal(name)
            if refusal is not None:
                pytest.skip(refusal)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    """Give the address of a running server whose role may create databases."""
    with pg.cluster() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def postgres_template(postgres_cluster: str) -> str:
    """Give the name of the migrated template database."""
    return pg.make_template(postgres_cluster)


@pytest.fixture(scope="module")
def database(request: pytest.FixtureRequest, postgres_cluster: str, postgres_template: str) -> Iterator[pg.Database]:
    """Give this test file a migrated database of its own, with Django pointed at it."""
    label = request.path.stem.removeprefix("test_")
    with (
        pg.database(cluster_dsn=postgres_cluster, template=postgres_template, label=label) as made,
        pg.django_using(made),
    ):
        yield made


@pytest.fixture(scope="module")
def empty_database(request: pytest.FixtureRequest, postgres_cluster: str) -> Iterator[pg.Database]:
    """Give this test file a database without any table, for tests of migrations and of PostgreSQL itself."""
    label = request.path.stem.removeprefix("test_")
    with pg.database(cluster_dsn=postgres_cluster, template="template0", label=label) as made:
        yield made
