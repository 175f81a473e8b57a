"""Locked requirements: hashes for every package, no host, no path of one machine, all that the project asks for."""

import pathlib
import re
import tomllib

import pytest
from packaging import requirements, specifiers, utils

from tests.vendors import environments

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCKS = (
    "requirements.lock",
    "requirements-uv.txt",
    "bench/peers/requirements.txt",
    "bench/peers/requirements-arq.txt",
    "bench/gateway/requirements.txt",
    *(f"tests/vendors/requirements-{name}.txt" for name in environments.NAMES),
)
ENTRY = re.compile(
    r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)((?: ;[^\\\n]*)?) ?((?:\\\n {4}--hash=sha256:[0-9a-f]{64} ?)*)$", re.MULTILINE
)
# Hosts of package indexes and addresses of local ones; documentation may link to a project's page, never to an index.
INDEX_HOSTS = (
    "pypi.org/simple",
    "files.pythonhosted.org",
    "test.pypi.org",
    "--index-url",
    "--extra-index-url",
    "--find-links",
)
MACHINE_PATH = re.compile(r"(?<![\w.}/-])/(?:home|root|Users|work|opt|mnt|srv)/[\w.-]+")
CONFIGURATION = (
    *LOCKS,
    "Makefile",
    "pyproject.toml",
    ".ci/run",
    ".github/workflows/ci.yml",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
)


def _entries(name: str) -> list[tuple[str, str, str, str]]:
    return ENTRY.findall((ROOT / name).read_text())


@pytest.mark.parametrize("name", LOCKS)
def test_lock_then_every_line_is_a_pinned_package_with_hashes(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = _entries(name)
    starts = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]

    assert len(entries) == len(starts)
    assert [package for package, _, _, hashes in entries if not hashes] == []


@pytest.mark.parametrize("name", CONFIGURATION)
def test_file_then_it_names_no_index_and_no_path_of_one_machine(name: str) -> None:
    text = (ROOT / name).read_text()

    assert [host for host in INDEX_HOSTS if host in text] == []
    assert MACHINE_PATH.findall(text) == []


def test_docs_then_they_name_no_index_and_no_path_of_one_machine() -> None:
    guilty = [
        path.relative_to(ROOT).as_posix()
        for folder in ("docs", "ops", "examples", "src")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".md", ".toml", ".yml", ".yaml", ".py"}
        and (MACHINE_PATH.search(path.read_text()) or any(host in path.read_text() for host in INDEX_HOSTS))
    ]

    assert guilty == []


def test_lock_then_it_holds_a_version_of_each_requirement_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
    ]
    locked: dict[str, list[str]] = {}
    for package, version, _, _ in _entries("requirements.lock"):
        locked.setdefault(utils.canonicalize_name(package), []).append(version)

    missing = [
        line
        for line in wanted
        for requirement in [requirements.Requirement(line)]
        for versions in [locked.get(utils.canonicalize_name(requirement.name), [])]
        if not versions or list(specifiers.SpecifierSet(str(requirement.specifier)).filter(versions)) != versions
    ]

    assert missing == []


def test_lock_then_python_3_11_gets_the_long_term_django_and_later_ones_the_newest() -> None:
    versions = {
        marker.strip(" ;"): version
        for package, version, marker, _ in _entries("requirements.lock")
        if package == "django"
    }

    assert versions.keys() == {"python_full_version < '3.12'", "python_full_version >= '3.12'"}
    assert versions["python_full_version < '3.12'"].startswith("5.2.")
    assert versions["python_full_version >= '3.12'"].startswith("6.1")
