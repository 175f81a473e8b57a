"""The licences of everything in the lock file: permissive ones freely, others only by name and with the reason."""

import pathlib
import re
from collections.abc import Iterator
from importlib import metadata

from packaging import utils

ROOT = pathlib.Path(__file__).resolve().parents[2]
PERMISSIVE = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "PSF-2.0",
        "Python-2.0",
        "Zlib",
    }
)
# What older packages write in place of an identifier, in the field or as a classifier.
SPELLINGS = {
    "apache 2.0": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
WITH_REASON = {
    "certifi": ("MPL-2.0", "certificates, unchanged; of the vendors' clients in tests"),
    "fal-client": ("nothing", "its LICENSE file is Apache-2.0; a client in tests, not distributed with Heddle"),
    "hypothesis": ("MPL-2.0", "a tool of the tests; not distributed with Heddle"),
    "pathspec": ("MPL-2.0", "a tool of the type checker; not distributed with Heddle"),
    "zope-event": ("ZPL-2.1", "permissive; below a vendor's client in tests"),
    "zope-interface": ("ZPL-2.1", "permissive; below a vendor's client in tests"),
    "psycopg": ("LGPL-3.0-only", "used unchanged, as a library that the user can replace"),
    "psycopg-binary": ("LGPL-3.0-only", "used unchanged, as a library that the user can replace"),
    "psycopg-pool": ("LGPL-3.0-only", "used unchanged, as a library that the user can replace"),
}
TITLE_CHARACTERS = 400
FORBIDDEN_TITLE = re.compile(
    r"GNU\s+(AFFERO\s+)?GENERAL\s+PUBLIC\s+LICENSE|SERVER SIDE PUBLIC LICENSE|BUSINESS SOURCE LICENSE"
)


def _installed() -> Iterator[metadata.Distribution]:
    """Return the installed distributions that the lock file names."""
    lock = (ROOT / "requirements.lock").read_text()
    names = {utils.canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9][\w.-]*)==", lock, re.MULTILINE)}
    return (found for found in metadata.distributions() if utils.canonicalize_name(found.name) in names)


def _stated(distribution: metadata.Distribution) -> list[str]:
    """Return the identifiers of the licences stated: the expression, else the classifiers, else the field."""
    fields = distribution.metadata.json
    expression = fields.get("license_expression")
    if expression:
        return re.split(r"\s+(?:AND|OR)\s+|[()]", str(expression))
    marked = [line.rpartition(" :: ")[2] for line in fields.get("classifier", []) if line.startswith("License ::")]
    # Some put the whole text into the field; its title names it.
    words = marked or [str(fields.get("license", "nothing")).partition("\n")[0]]
    return [SPELLINGS.get(word.strip().lower(), word.strip()) for word in words]


def test_packages_then_each_has_a_licence_we_may_use() -> None:
    refused = {}
    for distribution in _installed():
        name = utils.canonicalize_name(distribution.name)
        allowed = PERMISSIVE | {WITH_REASON[name][0]} if name in WITH_REASON else PERMISSIVE
        others = [word for word in _stated(distribution) if word and word not in allowed]
        refused.update({name: others} if others else {})

    assert refused == {}


def test_packages_then_no_licence_file_says_otherwise() -> None:
    """The metadata is what somebody typed; the file is what binds."""
    guilty = [
        f"{distribution.name}: {path}"
        for distribution in _installed()
        for path in distribution.files or ()
        if re.match(r"licen[cs]e|copying", path.name, re.IGNORECASE) and path.suffix in {"", ".txt", ".md", ".rst"}
        if FORBIDDEN_TITLE.search(
            pathlib.Path(str(path.locate())).read_text(errors="replace")[:TITLE_CHARACTERS].upper()
        )
    ]

    assert guilty == []


def test_exceptions_then_each_is_still_needed() -> None:
    names = {utils.canonicalize_name(distribution.name) for distribution in _installed()}

    assert set(WITH_REASON) <= names
