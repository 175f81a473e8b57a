"""`heddle runs show` shows a page of a run's calls and says where the next one begins."""

import json
from typing import Any

import pytest

from heddle import cli
from heddle.cli import complaints, remote

RUN: dict[str, Any] = {
    "id": "run-1",
    "workflow": "shoot",
    "version": 1,
    "state": "succeeded",
    "shown_state": "succeeded",
    "steps": {"done": 120, "total": 120, "attempts": 120, "retries": 0},
    "cost": "0.00",
    "continued_last": None,
    "degraded": False,
}
CALL = {
    "ordinal": 51,
    "kind": "step",
    "name": "paint",
    "state": "succeeded",
    "attempts": [],
    "cost": "0",
    "fault": None,
}


class Service:
    """Answer with one run and one page of its calls; keep what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def get(self, path: str, **query: Any) -> Any:
        """Answer."""
        self.asked.append((path, query))
        return {"items": [CALL], "next_cursor": "AAAAMw"} if path.endswith("/steps") else RUN


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service()
    monkeypatch.setattr(remote, "here", lambda: service)
    return service


def test_show_when_there_are_more_calls_then_a_page_is_asked_for_and_the_next_is_named(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.main(["runs", "show", "run-1", "--limit", "1", "--cursor", "AAAAMg"])

    shown = capsys.readouterr()
    assert status == complaints.Exit.DONE
    assert ("/v1/runs/run-1/steps", {"limit": 1, "cursor": "AAAAMg"}) in service.asked
    assert "paint" in shown.out
    assert "1 of 120 calls; more: --cursor AAAAMw" in shown.err


def test_show_when_json_is_asked_for_then_the_cursor_is_in_it(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["runs", "show", "run-1", "--json"])

    written = json.loads(capsys.readouterr().out)
    assert ([each["ordinal"] for each in written["calls"]], written["next_cursor"]) == ([51], "AAAAMw")
    assert service.asked[-1][1] == {"limit": 50, "cursor": None}
