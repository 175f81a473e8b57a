"""One `heddle up` that all of these use: it waits for a person, serves several tenants, refuses what is wrong."""

import dataclasses
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import replicate

from examples.product_shoot import photos
from tests.acceptance import program

pytestmark = pytest.mark.slow

PATIENCE_S = 600.0
UNKNOWN_RUN = "01900000-0000-7000-8000-000000000000"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that is up, the process that keeps it so, and where it says it is."""

    installed: program.Program
    process: subprocess.Popen[str]
    dev: dict[str, Any]

    def wait_shown(self, run_id: str, shown_state: str) -> dict[str, Any]:
        """Wait until a run is shown in a state, and give the run."""
        seen: dict[str, Any] = {}

        def is_shown() -> bool:
            seen.update(self.installed.api(f"/v1/runs/{run_id}") or {})
            return bool(seen.get("shown_state") == shown_state)

        self.installed.wait(is_shown, process=self.process, what=f"{shown_state} run {run_id}")
        return seen

    def wait_why(self, run_id: str, sentence: str) -> str:
        """Wait until the reason that a run waits begins with a sentence, and give that."""
        path = f"/v1/runs/{run_id}/why"
        self.installed.wait(
            lambda: str((self.installed.api(path) or {}).get("why", "")).startswith(sentence),
            process=self.process,
            what=sentence,
        )
        return sentence


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with program.installed() as made:
        (made.folder / "cup.jpg").write_bytes(photos.packaged_photos()[0].content)
        (made.folder / "words.txt").write_text("these are words and no picture")
        process = made.start("up")
        yield Service(installed=made, process=process, dev=made.wait_up(process))


def test_gateway_when_the_vendors_clients_change_their_address_then_the_examples_models_answer(
    service: Service,
) -> None:
    gateway, key = service.dev["gateway_url"], service.dev["api_key"]
    given = {"prompt": "a beach at noon", "seed": 1, "width": 256, "height": 256}
    asked: dict[str, Any] = {"model": "writer", "messages": [{"role": "user", "content": "One line about this cup."}]}

    with openai.OpenAI(base_url=gateway, api_key=key) as client:
        names = [each.id for each in client.models.list()]
        answer = client.chat.completions.create(**asked)
        pieces = list(client.chat.completions.create(**asked, stream=True))
    studio = replicate.Client(api_token=key, base_url=gateway.removesuffix("/v1"))
    picture = studio.run("shoot/backdrop", input=given)

    assert {"backdrop", "writer"} <= set(names)
    assert answer.choices[0].message.content
    assert "".join(each.choices[0].delta.content or "" for each in pieces if each.choices)
    assert picture["image"].startswith(gateway)


@pytest.mark.parametrize(("verdict", "delivered"), [("approved", 1), ("rejected", 0)])
def test_approve_shoot_when_a_person_decides_then_the_run_ends_by_what_was_decided(
    service: Service, verdict: str, delivered: int
) -> None:
    installed = service.installed
    given = json.dumps({"scenes": ["pastel studio"], "patience_s": PATIENCE_S})
    key = {"Idempotency-Key": f"art-director-{verdict}"}

    submitted = installed.run(
        *("runs", "submit", "approve_shoot", "--artifact", "photo=cup.jpg", "--input", given, "--json")
    )
    run_id = submitted.json()["id"]
    signals = f"/v1/runs/{run_id}/signals/art_director"
    asked = service.wait_why(run_id, "It waits for the signal 'art_director'")
    waiting = service.wait_shown(run_id, "waiting")
    shown = installed.run("runs", "show", run_id)
    sent = [installed.post(signals, verdict, headers=key) for _ in range(2)]
    ended = service.wait_shown(run_id, "succeeded")
    too_late = installed.post(signals, verdict, headers={"Idempotency-Key": "another"})
    steps = installed.api(f"/v1/runs/{run_id}/steps")["items"]

    assert submitted.status == 0, submitted.err
    assert waiting["state"] == "running"
    assert waiting["output"] is None
    assert asked in shown.out
    assert [status for status, _ in sent] == [202, 202]
    assert len(ended["output"]) == delivered
    assert [(step["kind"], step["name"], step["state"]) for step in steps if step["ordinal"]] == [
        ("workflow", "product_shoot", "succeeded"),
        ("signal", "art_director", "succeeded"),
    ]
    assert too_late[0] == 409
    assert too_late[1]["code"] == "run_terminal"


def test_approve_shoot_when_nobody_decides_in_time_then_nothing_is_delivered(service: Service) -> None:
    submitted = service.installed.run(
        *("runs", "submit", "approve_shoot", "--artifact", "photo=cup.jpg"),
        *("--input", '{"scenes": ["pastel studio"], "patience_s": 0.5}', "--watch", "--json"),
        timeout_s=120,
    )

    assert submitted.status == 0, submitted.err
    assert submitted.json()["state"] == "succeeded"
    assert submitted.json()["output"] == []


def test_run_when_a_photo_is_no_photo_then_it_fails_with_the_place_named_and_the_service_lives(
    service: Service,
) -> None:
    failed = service.installed.run(
        *("runs", "submit", "product_shoot", "--artifact", "photo=words.txt", "--input", '{"scenes": ["sea"]}'),
        *("--watch", "--json"),
        timeout_s=60,
    )

    assert failed.status == 1
    assert failed.json()["error"]["fault"] == "code_raised"
    assert "PhotoRefused" in failed.json()["error"]["message"]
    assert service.process.poll() is None


def test_runs_when_what_is_asked_cannot_be_then_each_is_refused_and_the_place_named(service: Service) -> None:
    unknown = service.installed.run("runs", "submit", "no_such_workflow")
    untyped = service.installed.run("runs", "submit", "product_shoot", "--input", '{"photo": 7, "scenes": ["sea"]}')
    missing = service.installed.run("runs", "show", UNKNOWN_RUN)

    assert unknown.status == 4
    assert "no_such_workflow" in unknown.err
    assert untyped.status == 4
    assert "photo" in untyped.err
    assert missing.status == 4
    assert service.process.poll() is None


def test_up_when_one_is_up_already_then_the_second_refuses_in_one_sentence(service: Service) -> None:
    second = service.installed.run("up")

    assert second.status == 2
    assert second.err.splitlines()[-1].startswith("heddle: Heddle is up in")
    assert service.process.poll() is None
    assert service.installed.dev() == service.dev


def test_keys_create_then_the_key_works_and_its_scopes_hold(service: Service) -> None:
    installed = service.installed
    made = installed.run("keys", "create", "--tenant", "acme", "--name", "reports", "--scopes", "read", "--json").json()
    own = {"HEDDLE_API_URL": service.dev["api_url"], "HEDDLE_API_KEY": made["key"]}

    listed = installed.run("runs", "list", "--json", environ=own)
    refused = installed.run("runs", "submit", "approve_shoot", environ=own)
    stranger = installed.run("runs", "list", environ={**own, "HEDDLE_API_KEY": "hd_" + "x" * 43})

    assert json.loads(listed.out)["items"] == []
    assert refused.status == 4
    assert "scope" in refused.err
    assert stranger.status == 4
