"""Write docs/providers.md from the adapters themselves: what each declares, charges and makes of errors.

Nothing on the page is written by hand. Before it: ``DECLARATIONS``, each adapter's ``prices.toml`` and ``faults``.
After it: ``generated``, which writes the page and holds it to this.
"""

import enum
import importlib
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, Final

from heddle.core import faults
from heddle.ports import provider
from heddle.providers import prices, registry, statuses
from heddle.twins import registry as twins

INTRODUCTION: Final = """\
# Providers

What each adapter of `[endpoints.X]` offers, what it makes of its provider's errors, and what is known of prices. How
one is configured stands in the page that its chapter leads to; [add a provider](howto/add-a-provider.md) says how to
write another.

The class is what the provider offers against paying twice: **A** takes an idempotency key or a job id of ours, **B**
can be asked afterwards by our reference, **C** neither; [money](money.md) says what follows. A *twin* is a local server
of the provider's API with faults from a seed, for tests and demonstrations: `heddle twin --help`.
"""
TABLES: Final[Mapping[str, str]] = {
    "FAULTS": "Answers",
    "KEYED_FAULTS": "Answers with an `idempotency_header`",
    "SUBMIT_FAULTS": "Answers to a submission",
    "JOB_FAULTS": "Jobs that failed",
    "ENDED": "Jobs by the state they ended in",
    "CODES": "Codes",
}
FACTS: Final[Mapping[str, str]] = {
    "callback": "Callbacks",
    "cancel": "Cancel",
    "deadline": "Deadline",
    "priority": "Priority",
    "queue_position": "Queue position",
    "limits": "Limits told",
}
PARTS: Final[Mapping[str, str]] = {
    "price_usd": "a call",
    "input_usd_per_mtok": "1 M tokens in",
    "cached_input_usd_per_mtok": "1 M cached",
    "output_usd_per_mtok": "1 M tokens out",
    "image_usd": "an image",
    "second_usd": "a second",
}


def page(head: str) -> str:
    """Give the whole page."""
    chapters = [_chapter(name, declared) for name, declared in registry.DECLARATIONS.items()]
    return "\n".join([f"{head}{INTRODUCTION}", _overview(), *chapters, _statuses()])


def _overview() -> str:
    head = ("Adapter", "What it calls", "Class", "Callbacks", "Cancel", "Streams", "Twin")
    rows = [
        (
            f"[{name}](#{name})",
            each.title,
            each.idempotency.value,
            _yes(each.callback),
            _yes(each.cancel),
            _yes(each.is_streamed),
            _yes(name in twins.TWINS),
        )
        for name, each in registry.DECLARATIONS.items()
    ]
    lines = [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]
    return "\n".join([*lines, ""])


def _chapter(name: str, declared: provider.Declaration) -> str:
    facts = [
        ("Operations", ", ".join(declared.operations)),
        ("Against paying twice", f"class {declared.idempotency.value}. {declared.guarantee}"),
        *((label, getattr(declared, field)) for field, label in FACTS.items()),
        ("Results are kept", _duration(declared.result_ttl_s)),
        ("Largest inline value", _size(declared.inline_bytes_max)),
        ("Source", declared.source),
    ]
    rows = [f"| {label} | {_cell(text)} |" for label, text in facts if text]
    lines = [f"## {name}", "", f"{declared.title}. [Options](../src/heddle/providers/{name}/README.md).", ""]
    lines += ["| | |", "| --- | --- |", *rows, ""]
    return "\n".join([*lines, *_price_table(name), *_fault_tables(name)])


def _price_table(name: str) -> Iterator[str]:
    text = resources.files("heddle.providers").joinpath(name, "prices.toml").read_text("utf-8")
    prices.parse(text, place=name)
    raw = tomllib.loads(text)
    models: Mapping[str, Mapping[str, str]] = raw["models"]
    if not models:
        yield f"List prices: {raw['source']}.\n"
        return
    columns = [part for part in PARTS if any(part in each for each in models.values())]
    yield f"List prices in USD, read {raw['read_on']} from {raw['source']}:\n"
    yield "| Model | " + " | ".join(PARTS[part] for part in columns) + " |"
    yield "| --- |" + " ---: |" * len(columns)
    for model, each in models.items():
        shown = "every other" if model == prices.ANY_MODEL else f"`{model}`"
        yield f"| {shown} | " + " | ".join(each.get(part, "") for part in columns) + " |"
    yield ""


def _fault_tables(name: str) -> Iterator[str]:
    module = importlib.import_module(f"heddle.providers.{name}.faults")
    for constant, table in vars(module).items():
        if not constant.isupper() or not _is_table(table):
            continue
        yield f"{TABLES.get(constant, constant.capitalize().replace('_', ' '))}:\n"
        yield "| What comes | Fault |"
        yield "| --- | --- |"
        yield from (f"| {_key(key)} | `{fault.value}` |" for key, fault in table.items())
        yield ""


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(each, faults.Fault) for each in value.values())


def _key(key: Any) -> str:
    if isinstance(key, enum.Enum):
        return f"`{key.value}`"
    parts = key if isinstance(key, tuple) else (key,)
    return " ".join(f"`{part}`" for part in parts if part != "") or "anything else"


def _statuses() -> str:
    rows = [f"| {status} | `{fault.value}` |" for status, fault in sorted(statuses.STATUS_FAULTS.items())]
    rows += ["| any other 4xx | `rejected_permanent` |", "| anything else | `sent_unknown` |"]
    head = (
        "## What no table names\n\nStatuses, for every adapter. `sent_unknown` proves no refusal: the outcome of a "
        "call that costs money is then *unknown*, and\na free one may be tried again. What each fault means stands in "
        "[faults](reference/faults.md).\n\n| Status | Fault |\n| --- | --- |"
    )
    return "\n".join([head, *rows, ""])


def _yes(value: object) -> str:
    return "yes" if value else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return (
        f"{seconds / 86_400:g} d"
        if seconds >= 86_400
        else f"{seconds / 3_600:g} h"
        if seconds >= 3_600
        else f"{seconds:g} s"
    )


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return ""
    is_binary = size_bytes % 1_024 == 0
    unit, name = (1_024, "Ki") if is_binary else (1_000, "k")
    return (
        f"{size_bytes / unit**2:g} {'MiB' if is_binary else 'MB'}"
        if size_bytes >= unit**2
        else f"{size_bytes / unit:g} {name}B"
    )
