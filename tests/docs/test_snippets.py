"""The Python that documents show is run, page by page, as one module; pages on Django on a real database."""

import asyncio
import importlib.util
import pathlib
import sys
import types
import warnings
from collections.abc import Iterator

import django.test
import pytest

from heddle import wiring
from heddle.program import registry
from heddle.program.errors import WorkflowWarning
from tests import pg
from tests.docs import markdown

# These pages use names of a project that the reader has, or its database; each has a test of its own below.
ON_DJANGO = {"docs/howto/submit-in-a-transaction.md", "docs/howto/add-to-a-django-project.md", "CONTRIBUTING.md"}
# This page asks a gateway that runs; tests/integration/test_gateway_page.py runs it before one.
ON_GATEWAY = {"docs/howto/switch-from-openai.md"}
PAGES = [
    markdown.name(path)
    for path in markdown.written_by_hand()
    if markdown.blocks(path, "python") and markdown.name(path) not in ON_DJANGO | ON_GATEWAY
]


def run_page(page: str, folder: pathlib.Path, **names: object) -> types.ModuleType:
    """Run the Python of a page as one module, its lines numbered as in the page, what it registers forgotten after."""
    lines = [""] * len((markdown.ROOT / page).read_text(encoding="utf-8").splitlines())
    for block in markdown.blocks(markdown.ROOT / page, "python"):
        for number, line in enumerate(block.text.splitlines(), start=block.line - 1):
            lines[number] = line
    path = folder / f"page_{pathlib.Path(page).stem.replace('-', '_').lower()}.py"
    path.write_text("\n".join(lines), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__.update(names)
    sys.modules[path.stem] = module
    try:
        with registry.isolated(is_empty=True), warnings.catch_warnings():
            warnings.simplefilter("error", WorkflowWarning)
            spec.loader.exec_module(module)
    finally:
        del sys.modules[path.stem]
    return module


@pytest.fixture
def host(database: pg.Database, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pg.Database]:
    """Be a host project: the client that the wiring makes, on this file's database, its files in the test's folder."""
    made = (wiring.house_settings, wiring.database_address, wiring.blobs, wiring.client)
    monkeypatch.setenv("HEDDLE_STATE_DIR", str(tmp_path / "state"))
    for each in made:
        each.cache_clear()
    yield database
    for each in made:
        each.cache_clear()


@pytest.mark.parametrize("page", PAGES)
def test_page_when_its_python_is_run_then_it_does_what_it_says(page: str, tmp_path: pathlib.Path) -> None:
    module = run_page(page, tmp_path)

    assert module.__file__


def test_pages_then_none_of_those_for_authors_is_left_out() -> None:
    shown = {page for page in PAGES if page.startswith(("README", "docs/"))}

    assert {"README.md", "docs/tutorial.md", "docs/howto/compose-workflows.md", "docs/howto/add-a-model.md"} <= shown
    assert {"docs/howto/ask-a-person.md", "docs/howto/test-workflows.md"} <= shown


def test_page_on_transactions_when_run_then_rows_and_runs_stand_and_fall_together(
    host: pg.Database, tmp_path: pathlib.Path
) -> None:
    module = run_page("docs/howto/submit-in-a-transaction.md", tmp_path)

    with host.connect() as connection:
        found = connection.execute("select input ->> 'name', labels from heddle_run order by id").fetchall()
        users = connection.execute("select username from auth_user").fetchall()
    assert found == [("ada", {"user": str(module.user.pk)}), ("grace", {})]
    assert users == [("ada",)]


def test_page_on_projects_when_run_then_the_doors_are_reached_where_it_says(
    host: pg.Database, tmp_path: pathlib.Path
) -> None:
    page = "docs/howto/add-to-a-django-project.md"
    module = run_page(page, tmp_path, INSTALLED_APPS=[], MIDDLEWARE=["host"], urlpatterns=[])
    urls = types.ModuleType("host_urls")
    urls.__dict__["urlpatterns"] = module.urlpatterns

    with django.test.override_settings(ROOT_URLCONF=urls, MIDDLEWARE=module.MIDDLEWARE[:1]):
        answer = django.test.Client().get("/heddle/healthz")
        console = django.test.Client().get("/heddle/console/login")

    assert module.INSTALLED_APPS == ["heddle"]
    assert answer.status_code == 200
    assert "Content-Security-Policy" in answer.headers
    assert console.status_code == 200


def test_page_on_projects_when_its_settings_are_read_then_heddle_takes_them(tmp_path: pathlib.Path) -> None:
    from heddle.config import settings

    page = "docs/howto/add-to-a-django-project.md"
    module = run_page(page, tmp_path, INSTALLED_APPS=[], MIDDLEWARE=[], urlpatterns=[])

    assert settings.load(environ={}, django=module.HEDDLE).environment == "production"


def test_page_on_projects_when_its_logging_is_set_then_what_workers_tell_is_shown(tmp_path: pathlib.Path) -> None:
    from heddle.telemetry import recorder

    page = "docs/howto/add-to-a-django-project.md"
    module = run_page(page, tmp_path, INSTALLED_APPS=[], MIDDLEWARE=[], urlpatterns=[])

    (logger,) = module.LOGGING["loggers"]
    assert f"{recorder.LOGGER_NAME}.".startswith(f"{logger}.")


def test_page_on_projects_when_its_step_is_called_then_it_is_a_plain_function(tmp_path: pathlib.Path) -> None:
    page = "docs/howto/add-to-a-django-project.md"
    module = run_page(page, tmp_path, INSTALLED_APPS=[], MIDDLEWARE=[], urlpatterns=[])

    assert module.shout(text="hello") == "HELLO"
    assert asyncio.iscoroutinefunction(module.announce.function)


def test_ledger_query_when_asked_then_the_database_understands_it(host: pg.Database) -> None:
    statements = [block.text for block in markdown.blocks(markdown.ROOT / "docs" / "money.md", "sql")]

    with host.connect() as connection:
        answers = [connection.execute(statement.encode()).fetchall() for statement in statements]

    assert answers == [[]]
