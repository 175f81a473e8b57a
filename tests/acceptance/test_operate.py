"""An operator works on a service that is up: holds an endpoint, stops many runs, sees who did what."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from examples.product_shoot import photos
from tests.acceptance import program

pytestmark = pytest.mark.slow

RUNS = 5


@pytest.fixture(scope="module")
def service() -> Iterator[program.Program]:
    with program.installed() as made:
        (made.folder / "cup.jpg").write_bytes(photos.packaged_photos()[0].content)
        process = made.start("up")
        made.wait_up(process)
        yield made


def wait_for_a_person(service: program.Program) -> list[str]:
    given = json.dumps({"scenes": ["pastel studio"], "patience_s": 600})
    words = ("runs", "submit", "approve_shoot", "--artifact", "photo=cup.jpg", "--input", given, "--json")
    return [service.run(*words, "--label", "shoot=spring").json()["id"] for _ in range(RUNS)]


def endpoint(service: program.Program) -> dict[str, Any]:
    found: dict[str, Any] = service.api("/v1/endpoints")["items"][0]
    return found


def test_operator_when_an_endpoint_is_drained_and_resumed_then_it_is_shown_and_audited(
    service: program.Program,
) -> None:
    name = endpoint(service)["name"]

    drained = service.run("drain", "endpoint", name, "--timeout-s", "60")
    while_paused = endpoint(service)
    resumed = service.run("resume", "endpoint", name)
    again = service.run("resume", "endpoint", name)
    unknown = service.run("pause", "endpoint", "nobody")
    told = json.loads(service.run("audit", "--json").out)

    assert (drained.status, drained.out.strip()) == (0, f"endpoint {name}: drained"), drained.err
    assert while_paused["paused"]
    assert (resumed.out.strip(), again.out.strip()) == (f"endpoint {name}: goes on", f"endpoint {name}: was not paused")
    assert (unknown.status, unknown.err.strip()) == (2, "heddle: there is no endpoint 'nobody'")
    assert [(each["action"], each["subject"]) for each in told[:2]] == [
        ("resume", f"endpoint {name}"),
        ("pause", f"endpoint {name}"),
    ]


def test_operator_when_many_runs_are_cancelled_by_a_label_then_all_of_them_end(service: program.Program) -> None:
    made = wait_for_a_person(service)
    words = ("runs", "cancel", "--label", "shoot=spring")

    dry = service.run(*words, "--dry-run")
    both = service.run(*words, made[0])
    done = service.run(*words, "--json")

    assert dry.out.startswith(f"cancel: {RUNS} runs of "), dry.err
    assert both.status == 2
    assert done.status == 0, done.err
    assert (done.json()["state"], done.json()["changed"]) == ("done", RUNS)
    states = [service.api(f"/v1/runs/{run_id}") for run_id in made]
    assert {state["shown_state"] for state in states} <= {"cancelled", "cancelling"}


def test_operator_when_history_is_young_then_retention_has_nothing_to_remove(service: program.Program) -> None:
    shown = service.run("retention")

    assert shown.status == 0, shown.err
    assert shown.out.startswith("0 weeks may go, 0 are kept beyond their time")


def test_operator_when_the_signing_secret_is_rotated_then_it_is_printed_once_and_audited(
    service: program.Program,
) -> None:
    made = service.run("webhooks", "rotate")
    listed = service.run("webhooks", "list", "--json")
    unknown = service.run("webhooks", "redeliver", "msg_1")
    no_run = service.run("webhooks", "list", "--run", "x")
    no_tenant = service.run("webhooks", "list", "--tenant", "nobdy")
    told = service.run("audit", "--json")

    assert made.out.startswith("whsec_"), made.err
    assert listed.json() == []
    assert (unknown.status, unknown.err.strip()) == (2, "heddle: there is no event 'msg_1'")
    assert (no_run.status, no_run.out) == (2, "")
    assert "'x', which is no run's id" in no_run.err
    assert (no_tenant.status, "there is no tenant 'nobdy'" in no_tenant.err) == (2, True)
    assert "webhooks.rotate" in [each["action"] for each in json.loads(told.out)]
    assert made.out.strip() not in told.out
