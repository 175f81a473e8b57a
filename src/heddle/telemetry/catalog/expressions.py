"""Read the names that a PromQL expression uses, as far as checking them against the catalogue needs.

Not a parser: it finds selectors (a name with its matchers) and grouping labels by their form, which suffices for
expressions that we write ourselves. Whether Prometheus accepts an expression is promtool's to say. Before it: nothing.
After: ``checks`` and ``generate``.
"""

import re
from dataclasses import dataclass
from typing import Final

SELECTOR: Final = re.compile(r"\b((?:heddle_|slo:)[a-zA-Z0-9_:]+)(?:\{([^}]*)\})?")
MATCHER: Final = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING: Final = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Hold one series name and its matchers as (label, operator, value)."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(expression: str) -> tuple[Selector, ...]:
    """Give every selector of our own series in an expression, in order."""
    return tuple(
        Selector(name=match.group(1), matchers=tuple(MATCHER.findall(match.group(2) or "")))
        for match in SELECTOR.finditer(expression)
    )


def grouping_labels(expression: str) -> frozenset[str]:
    """Give every label that an aggregation or a vector match names."""
    names = (name.strip() for match in GROUPING.finditer(expression) for name in match.group(1).split(","))
    return frozenset(name for name in names if name)


def with_matcher(expression: str, matcher: str) -> str:
    """Add one matcher to every selector of our own metrics."""

    def add(match: re.Match[str]) -> str:
        inner = f"{match.group(2)},{matcher}" if match.group(2) else matcher
        return f"{match.group(1)}{{{inner}}}"

    return SELECTOR.sub(add, expression)
