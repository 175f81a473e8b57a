"""What the catalogue says is logged or counted is written somewhere: a reader of it waits for no line in vain."""

import ast
import pathlib

import pytest

from heddle.telemetry.catalog import events, metrics, records

SOURCE = pathlib.Path(__file__).parents[2] / "src" / "heddle"
CATALOGUE = SOURCE / "telemetry" / "catalog"


def names_used() -> set[str]:
    """Give each ``events.NAME`` and ``metrics.NAME`` that the code outside the catalogue speaks of."""
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        if CATALOGUE in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found.add(f"{node.value.id}.{node.attr}")
    return found


@pytest.mark.parametrize(
    ("module", "kind"), [(events, records.Event), (metrics, records.Metric)], ids=["events", "metrics"]
)
def test_catalogue_when_it_names_something_then_code_writes_it(module: object, kind: type) -> None:
    place = "events" if module is events else "metrics"
    listed = {name for name, value in vars(module).items() if isinstance(value, kind)}
    used = {name.partition(".")[2] for name in names_used() if name.startswith(f"{place}.")}

    assert len(listed) > 40
    assert sorted(listed - used) == []
