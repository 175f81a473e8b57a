"""Know which files are generated, compare them with what they should be, and write them.

Files are named relative to the root of the checkout. Nothing else in those folders is touched, but for runbooks of
alerts that are gone. Before it: the writers beside it. After: ``__main__`` and the test that keeps the files current.
"""

from pathlib import Path
from typing import Final

from heddle.telemetry.catalog import dashboards
from heddle.telemetry.generate import docs, grafana, prometheus_rules

RUNBOOKS: Final = Path("docs/runbooks")
RULES: Final = Path("ops/prometheus/rules.yml")
DASHBOARD: Final = Path("ops/grafana/heddle.json")
REFERENCE: Final = Path("docs/reference/telemetry.md")


def expected(*, runbook_base: str) -> dict[Path, str]:
    """Give the text of every generated file by its path."""
    files = {
        RULES: prometheus_rules.render(runbook_base=runbook_base),
        DASHBOARD: grafana.render(dashboards.OVERVIEW),
        REFERENCE: docs.reference(),
    }
    return files | {RUNBOOKS / name: text for name, text in docs.runbook_pages().items()}


def stale(*, root: Path, runbook_base: str) -> tuple[Path, ...]:
    """Give the paths that are missing, differ, or belong to an alert that is gone."""
    files = expected(runbook_base=runbook_base)
    differing = [path for path, text in files.items() if _text(root / path) != text]
    return (*differing, *_leftovers(root, files))


def write(*, root: Path, runbook_base: str) -> tuple[Path, ...]:
    """Write what is stale and remove what is left over; give the paths that changed."""
    files = expected(runbook_base=runbook_base)
    changed = stale(root=root, runbook_base=runbook_base)
    for path in changed:
        target = root / path
        if path in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(files[path], encoding="utf-8")
        else:
            target.unlink()
    return changed


def _leftovers(root: Path, files: dict[Path, str]) -> list[Path]:
    found = (path.relative_to(root) for path in sorted((root / RUNBOOKS).glob("Heddle*.md")))
    return [path for path in found if path not in files]


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
