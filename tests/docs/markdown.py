"""Read the documents: their files, fenced blocks, links and headings.

Just enough of Markdown for what the tests hold true; it renders nothing. Before it: the files. After it: the tests.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_INLINE_CODE = re.compile(r"`([^`\n]+)`")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: its language and its text; line is where its text begins, from 1."""

    language: str
    text: str
    line: int


def documents() -> list[pathlib.Path]:
    """List every document of the house, generated ones included."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def written_by_hand() -> list[pathlib.Path]:
    """List the documents that people write: not the runbooks, which have a test of their own."""
    return [path for path in documents() if "runbooks" not in path.parts]


def name(path: pathlib.Path) -> str:
    """Give a document's path inside the checkout."""
    return path.relative_to(ROOT).as_posix()


def blocks(path: pathlib.Path, *languages: str) -> list[Block]:
    """List the fenced blocks of some languages, in order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(language=found[1], text=found[2], line=text.count("\n", 0, found.start(2)) + 1)
        for found in _FENCE.finditer(text)
        if found[1] in languages
    ]


def prose(path: pathlib.Path) -> str:
    """Give a document without its fenced blocks."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def links(path: pathlib.Path) -> list[str]:
    """List what a document links to, pictures included."""
    return _LINK.findall(_INLINE_CODE.sub("", prose(path)))


def anchors(path: pathlib.Path) -> set[str]:
    """Give the anchors of a document's headings, as GitHub makes them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(path)))
    return {heading.strip().replace(" ", "-") for heading in plain}


def inline_code(path: pathlib.Path) -> set[str]:
    """Give what stands between backticks."""
    return set(_INLINE_CODE.findall(prose(path)))


def shell_lines(path: pathlib.Path) -> Iterator[str]:
    """Give the commands of a document's shell blocks, continued lines joined."""
    for block in blocks(path, "console", "sh", "shell"):
        yield from (line.strip() for line in block.text.replace("\\\n", " ").splitlines() if line.strip())
