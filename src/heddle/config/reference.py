"""Write the reference of the settings: ``python -m heddle.config.reference > docs/reference/settings.md``.

The declarations in ``settings`` are the only source; this module reads their groups, units, ranges and sentences and
refuses to know what any of them does. Before it: a person, or the test that keeps the page current. After: the page.
"""

import ast
import dataclasses
import inspect
import re
import sys
import typing
from typing import Any, Final

from heddle.config import settings

_HEAD: Final = """\
<!-- Written by `python -m heddle.config.reference`. Change src/heddle/config/settings.py, not this file. -->

# Settings

A setting `x` is read from the variable `HEDDLE_X` of the environment; without one from Django's `HEDDLE = {"x": …}`,
which only a host project has; without either it has its default. `DATABASE_URL` is read as `HEDDLE_DATABASE_URL` unless
that is set. An unknown setting, or a value out of range, stops the start with one sentence that names it.

What runs where and when (models, endpoints, scopes, routes, tenants, schedules) is no setting; it is in `heddle.toml`,
which [adding a model](../howto/add-a-model.md) and [scheduling runs](../howto/schedule-runs.md) describe.
"""
_GROUP: Final = re.compile(r"^    # (.+)$")


def markdown() -> str:
    """Give the page: one table for each group of settings, in the order of their declaration."""
    fields = {field.name: field for field in dataclasses.fields(settings.Settings)}
    types = typing.get_type_hints(settings.Settings)
    parts = [_HEAD]
    for group, names in _groups().items():
        parts.append(f"\n## {group}\n\n| Setting | Default | May be | Meaning |\n| --- | --- | --- | --- |\n")
        parts.extend(_row(fields[name], types[name]) for name in names)
    return "".join(parts)


def _groups() -> dict[str, list[str]]:
    """Give the names of the settings under the comment that stands above them in the source."""
    source = inspect.getsource(settings)
    body = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "Settings")
    named = {node.lineno: node.target.id for node in body.body if _is_field(node)}
    groups: dict[str, list[str]] = {}
    group = "Settings"
    for number, line in enumerate(source.splitlines(), start=1):
        if not body.lineno <= number <= (body.end_lineno or 0):
            continue
        found = _GROUP.match(line)
        if found:
            group = found.group(1)
        if number in named:
            groups.setdefault(group, []).append(named[number])
    return groups


def _is_field(node: ast.stmt) -> typing.TypeGuard[Any]:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def _row(field: "dataclasses.Field[Any]", kind: type) -> str:
    return f"| `{field.name}` | {_default(field)} | {_range(field, kind)} | {field.metadata['sentence']} |\n"


def _default(field: "dataclasses.Field[Any]") -> str:
    value = field.default
    if value == "":
        return "empty"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if isinstance(value, int | float):
        return " ".join(filter(None, (_number(value), field.metadata["unit"])))
    return f"`{value}`"


def _range(field: "dataclasses.Field[Any]", kind: type) -> str:
    choices = field.metadata.get("choices")
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    low, high = field.metadata.get("low"), field.metadata.get("high")
    if low is not None and high is not None:
        return f"{_number(low)} to {_number(high)}"
    return "`true`, `false`" if kind is bool else "text"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}" if value < 1e6 else f"{value:,.0f}"


if __name__ == "__main__":
    sys.stdout.write(markdown())
