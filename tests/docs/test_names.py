"""Documents name only what exists: files, settings, variables, commands, calls, tables, metrics."""

import dataclasses
import pathlib
import re
import shlex
import urllib.parse

import pytest
from django.core import management

from heddle.cli import commands
from heddle.config import deployment, settings
from heddle.providers import registry
from heddle.telemetry.catalog import metrics, runbooks
from heddle.twins import registry as twins
from tests.docs import generated, markdown

DOCUMENTS = [markdown.name(path) for path in markdown.documents()]
BY_HAND = [markdown.name(path) for path in markdown.written_by_hand()]
NOT_SETTINGS = {"HEDDLE_X", "HEDDLE_API_URL", "HEDDLE_API_KEY", "HEDDLE_TEST_INSTALL"}
QUOTED = re.compile(r"`([a-z_]+)` \(([\d,.]+)(?: (KiB|MiB))?")
UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2}
SECRETS = {
    "VENDOR_API_KEY": "secret",
    "FAL_KEY": "secret",
    "BACKDROP_API_KEY": "secret",
    "BACKDROP_WEBHOOK_SECRET": "whsec_c2VjcmV0",
}


def _path(document: str) -> pathlib.Path:
    return markdown.ROOT / document


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_when_they_lead_into_the_checkout_then_their_files_and_headings_exist(document: str) -> None:
    broken = []
    for link in markdown.links(_path(document)):
        target, _, anchor = urllib.parse.unquote(link).partition("#")
        if urllib.parse.urlsplit(link).scheme:
            continue
        file = (_path(document).parent / target).resolve() if target else _path(document)
        if not file.exists() or (anchor and anchor not in markdown.anchors(file)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("document", BY_HAND)
def test_variables_when_named_then_each_is_a_setting(document: str) -> None:
    known = {f"HEDDLE_{field.name.upper()}" for field in dataclasses.fields(settings.Settings)} | NOT_SETTINGS

    named = set(re.findall(r"\bHEDDLE_[A-Z_]+\b", _path(document).read_text(encoding="utf-8")))

    assert named <= known


@pytest.mark.parametrize("document", BY_HAND)
def test_commands_when_shown_then_the_command_line_takes_them(document: str) -> None:
    refused = []
    for line in markdown.shell_lines(_path(document)):
        words = shlex.split(re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line), comments=True)
        if words[:1] == ["heddle"]:
            try:
                commands._parser().parse_args(words[1:])
            except SystemExit as error:
                refused += [line] if error.code else []

    assert refused == []


def test_commands_of_runbooks_when_their_variables_are_filled_in_then_the_command_line_takes_them() -> None:
    given = {"STEP": "1"}
    lines = {
        re.sub(r"\$(\w+)", lambda found: given.get(found[1], found[1].lower()), command.line)
        for runbook in runbooks.ALL
        for action in (*runbook.diagnosis, *runbook.mitigation, *runbook.verification)
        for command in action.commands
        if command.line.startswith("heddle ")
    }

    refused = []
    for line in sorted(lines):
        try:
            commands._parser().parse_args(shlex.split(line)[1:])
        except SystemExit as error:
            refused += [line] if error.code else []

    assert refused == []
    assert len(lines) >= 15


@pytest.mark.parametrize("document", BY_HAND)
def test_commands_when_named_in_a_sentence_then_they_exist(document: str) -> None:
    known = {name for name, _ in generated.all_commands(commands._parser())}
    groups = {" ".join(name.split()[:2]) for name in known}
    named = {code for code in markdown.inline_code(_path(document)) if re.match(r"heddle [a-z]", code)}

    each = {(code, one) for code in named for one in _alternatives(code.removesuffix(" …"))}
    unknown = {
        code for code, one in each if one not in groups and not any(f"{one} ".startswith(f"{name} ") for name in known)
    }

    assert unknown == set()


def _alternatives(code: str) -> list[str]:
    """Give `heddle spend show` and `heddle spend import` of `heddle spend show|import`."""
    words = code.split()
    return [" ".join([*words[:2], one, *words[3:]]) for one in words[2].split("|")] if len(words) > 2 else [code]


@pytest.mark.parametrize("document", BY_HAND)
def test_tables_and_metrics_when_named_then_they_exist(document: str) -> None:
    migrations = sorted((markdown.ROOT / "src" / "heddle" / "migrations").glob("*.sql"))
    sql = "\n".join(path.read_text(encoding="utf-8") for path in migrations)
    tables = set(re.findall(r"create (?:table|view|sequence) (heddle_\w+)", sql))
    commands_of_manage = {"heddle_migrate", "heddle_worker"}
    numbers = {metric.name for metric in metrics.ALL}

    named = {code for code in markdown.inline_code(_path(document)) if re.fullmatch(r"heddle_[a-z_]+", code)}

    assert named - tables - numbers - commands_of_manage - {"heddle_"} == set()


def test_http_page_when_compared_with_the_description_then_it_has_every_call() -> None:
    from heddle.api import urls

    described = {
        (method.upper(), path) for path, methods in urls.api.get_openapi_schema()["paths"].items() for method in methods
    }

    page = _path("docs/reference/http.md").read_text(encoding="utf-8")
    written = set(re.findall(r"^\| `(GET|POST|PATCH|PUT|DELETE) (/v1/\S+)` \|", page, re.MULTILINE))

    assert written == described


@pytest.mark.parametrize("document", BY_HAND)
def test_requests_when_shown_then_their_calls_exist(document: str) -> None:
    page = _path("docs/reference/http.md").read_text(encoding="utf-8")
    templates = re.findall(r"^\| `([A-Z]+) (/\S+)` \|", page, re.MULTILINE)
    calls = [(method, re.compile(re.sub(r"\{\w+\}", "[^/]+", path))) for method, path in templates]

    shown = [
        (found[1] or "GET", found[2])
        for line in markdown.shell_lines(_path(document))
        if (found := re.match(r'curl (?:-X (\w+) )?"\$HEDDLE_API_URL(/[^"]+)"', line))
    ]

    assert [
        each for each in shown if not any(each[0] == method and path.fullmatch(each[1]) for method, path in calls)
    ] == []


@pytest.mark.parametrize("document", BY_HAND)
def test_commands_of_a_host_project_when_shown_then_django_has_them(document: str) -> None:
    words = [line.split() for line in markdown.shell_lines(_path(document))]

    shown = {each[2] for each in words if each[:2] == ["python", "manage.py"]}

    assert shown <= set(management.get_commands())


@pytest.mark.parametrize("document", BY_HAND)
def test_deployments_when_shown_then_they_are_taken_and_their_endpoints_can_be_made(document: str) -> None:
    for block in markdown.blocks(_path(document), "toml"):
        found = deployment.parse(block.text, file=document)

        assert all(registry.build(each, SECRETS) for each in found.endpoints.values())


@pytest.mark.parametrize("document", BY_HAND)
def test_defaults_when_quoted_behind_a_setting_then_they_are_its_default(document: str) -> None:
    limits = dataclasses.asdict(settings.Settings())
    quoted = QUOTED.findall(_path(document).read_text(encoding="utf-8"))

    wrong = [
        f"{name} is {limits[name]}"
        for name, number, unit in quoted
        if name in limits and float(number.replace(",", "")) * UNITS[unit] != limits[name]
    ]

    assert wrong == []


def test_readme_when_it_counts_adapters_and_twins_then_there_are_so_many() -> None:
    text = _path("README.md").read_text(encoding="utf-8")

    counted = [int(number) for number in re.findall(r"\b(\d+) (?:\[adapters\]|twins\b)", text)]

    assert counted == [len(registry.ADAPTERS), len(twins.TWINS)]


def test_readme_then_it_leads_to_every_howto() -> None:
    linked = {link.partition("#")[0] for link in markdown.links(_path("README.md"))}

    assert {markdown.name(path) for path in (markdown.ROOT / "docs" / "howto").glob("*.md")} <= linked
