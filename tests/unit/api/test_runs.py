"""Runs over HTTP: what is answered first, what a replay repeats, what may be asked of a run."""

import json
import uuid
from typing import Any

import django.db
import django.test
import pytest

from heddle.api import events as api_events
from heddle.core import run
from heddle.ports import records
from tests.unit.api import fake_doors, house

INPUT = {"photo": "plain", "scenes": ["beach"]}


def post(web: django.test.Client, path: str, body: Any, **headers: str) -> Any:
    return web.post(path, data=json.dumps(body), content_type="application/json", headers=headers)


def start(web: django.test.Client, **headers: str) -> Any:
    return post(web, "/v1/runs", {"workflow": "product_shoot", "input": INPUT}, **headers)


def test_start_when_valid_then_202_with_location_and_the_run(web: django.test.Client, home: house.House) -> None:
    response = start(web)

    body = response.json()
    assert (response.status_code, body["state"], body["cost"], body["version"]) == (202, "queued", "0.00", 1)
    assert response["Location"] == f"/v1/runs/{body['id']}" == body["links"]["self"]
    assert uuid.UUID(body["id"]) in home.doors.found


def test_start_when_everything_is_given_then_it_reaches_the_store(web: django.test.Client, home: house.House) -> None:
    body = {
        "workflow": "product_shoot",
        "input": INPUT,
        "priority": "batch",
        "deadline_s": 7200,
        "start_at": "2026-11-21T14:00:00+01:00",
        "labels": {"brand": "acme"},
        "max_cost_usd": "1.50",
    }

    response = post(web, "/v1/runs", body, traceparent=f"00-{'a' * 32}-{'b' * 16}-01")

    assert response.status_code == 202
    (new,) = home.doors.new.values()
    assert (new.priority, new.deadline_s, new.max_cost_nano_usd) == (run.Priority.BATCH, 7200, 1_500_000_000)
    assert new.start_at is not None
    assert new.start_at.isoformat() == "2026-11-21T13:00:00+00:00"
    assert new.labels == {"brand": "acme"}
    assert new.traceparent is not None


def test_start_when_sent_again_then_the_first_answer_is_repeated_byte_for_byte(
    web: django.test.Client, home: house.House
) -> None:
    first = start(web, idempotency_key="k1")
    home.doors.move(uuid.UUID(first.json()["id"]), state=run.RunState.SUCCEEDED, shown_state="succeeded")

    again = start(web, idempotency_key="k1", prefer="wait=5")

    assert (again.status_code, again.content, again["Location"]) == (202, first.content, first["Location"])
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first
    assert len(home.doors.found) == 1


def test_start_when_the_first_answer_was_lost_then_the_replay_says_the_same(
    web: django.test.Client, home: house.House
) -> None:
    first = start(web, idempotency_key="k1")
    home.doors.answers.clear()

    again = start(web, idempotency_key="k1")

    assert (again.status_code, again.content, again["Idempotent-Replayed"]) == (202, first.content, "true")


def test_start_when_the_body_differs_only_in_form_then_it_is_a_replay(web: django.test.Client) -> None:
    start(web, idempotency_key="k1")
    spaced = '{ "input": {"scenes": ["beach"], "photo": "plain"}, "workflow": "product_shoot", "priority": "standard" }'

    again = web.post("/v1/runs", data=spaced, content_type="application/json", headers={"idempotency-key": "k1"})

    assert again["Idempotent-Replayed"] == "true"


def test_start_when_the_key_comes_with_another_body_then_422(web: django.test.Client, home: house.House) -> None:
    start(web, idempotency_key="k1")

    response = post(
        web, "/v1/runs", {"workflow": "product_shoot", "input": {**INPUT, "note": "x"}}, idempotency_key="k1"
    )

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_mismatch")
    assert len(home.doors.found) == 1


def test_start_when_the_first_is_still_admitted_then_409_and_retry_after(
    web: django.test.Client, home: house.House
) -> None:
    home.doors.busy.add("k1")

    response = start(web, idempotency_key="k1")

    assert (response.status_code, response["Retry-After"], response.json()["code"]) == (409, "1", "idempotency_busy")


def test_start_when_finished_within_the_wait_then_200_and_replays_repeat_that(
    web: django.test.Client, home: house.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(delay_s: float) -> None:
        (run_id,) = home.doors.found
        home.doors.move(run_id, state=run.RunState.SUCCEEDED, shown_state="succeeded", output=[1])

    monkeypatch.setattr("heddle.api.runs.pause", finish)

    first = start(web, idempotency_key="k1", prefer="respond-async, wait=30")
    again = start(web, idempotency_key="k1")

    assert (first.status_code, first.json()["output"], first["Preference-Applied"]) == (200, [1], "wait=30")
    assert (again.status_code, again.content) == (200, first.content)


def test_start_when_every_waiting_place_is_taken_then_it_is_accepted_without_waiting(
    web: django.test.Client, home: house.House
) -> None:
    from heddle.api import room

    with room.room().places.taken() as is_held:
        response = start(web, prefer="wait=30")

    assert is_held
    assert response.status_code == 202
    assert "Preference-Applied" not in response


def test_any_call_when_the_database_is_away_before_the_key_is_known_then_503(
    web: django.test.Client, home: house.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(**_: object) -> None:
        raise django.db.OperationalError("away")

    monkeypatch.setattr(home.doors, "api_key", lost)

    assert {web.get(path).json()["code"] for path in ("/v1/runs", "/v1/workflows")} == {"database_unavailable"}


def test_start_when_the_database_is_away_then_503_and_retry_after(
    web: django.test.Client, home: house.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(new: records.NewRun) -> records.Submission:
        raise django.db.OperationalError("connection refused at 10.0.0.7")

    monkeypatch.setattr(home.doors, "submit", lost)

    response = start(web)

    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert 1 <= int(response["Retry-After"]) <= 5
    assert b"10.0.0.7" not in response.content


def test_start_when_code_fails_then_500_without_its_text(
    web: django.test.Client, home: house.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(new: records.NewRun) -> records.Submission:
        raise ZeroDivisionError("a private detail")

    monkeypatch.setattr(home.doors, "submit", broken)

    response = start(web)

    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert b"private" not in response.content


def test_batch_when_some_items_are_bad_then_each_has_its_outcome_in_order(
    web: django.test.Client, home: house.House
) -> None:
    good = {"workflow": "product_shoot", "input": INPUT}
    items = [
        good,
        {**good, "inptu": {}},
        {**good, "workflow": "none"},
        {**good, "idempotency_key": "a"},
        {**good, "idempotency_key": "a"},
        {**good, "idempotency_key": "a", "priority": "batch"},
        7,
    ]

    response = post(web, "/v1/runs/batch", {"items": items})

    outcomes = response.json()["items"]
    assert response.status_code == 200
    assert [each["status"] for each in outcomes] == [202, 422, 422, 202, 202, 422, 422]
    assert [each.get("replayed") for each in outcomes] == [False, None, None, False, True, None, None]
    assert outcomes[3]["run"]["id"] == outcomes[4]["run"]["id"]
    assert outcomes[1]["problem"]["errors"][0]["field"] == "inptu"
    assert outcomes[5]["problem"]["code"] == "idempotency_mismatch"
    assert len(home.doors.found) == 2


def test_batch_when_the_header_is_sent_then_400(web: django.test.Client) -> None:
    response = post(web, "/v1/runs/batch", {"items": [{}]}, idempotency_key="k")

    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_not_allowed")


def test_list_when_paged_then_every_run_comes_once_newest_first(web: django.test.Client) -> None:
    started = [start(web).json()["id"] for _ in range(5)]

    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        page = web.get(f"/v1/runs?limit=2{cursor}").json()
        seen += [each["id"] for each in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == started[::-1]
    assert page["next_cursor"] is None
    assert "input" not in page["items"][0]


def test_list_when_filtered_then_only_what_fits(web: django.test.Client) -> None:
    start(web)
    post(web, "/v1/runs", {"workflow": "approve_shoot", "input": INPUT, "labels": {"brand": "x"}})

    assert len(web.get("/v1/runs?workflow=approve_shoot").json()["items"]) == 1
    assert len(web.get("/v1/runs?label=brand:x&state=queued").json()["items"]) == 1
    assert web.get("/v1/runs?state=failed").json()["items"] == []


def test_show_when_foreign_or_unknown_or_no_id_then_the_same_404(web: django.test.Client, home: house.House) -> None:
    foreign = home.heddle.submit("product_shoot", INPUT, tenant="globex").run.id

    answers = [web.get(f"/v1/runs/{name}") for name in (foreign, uuid.uuid4(), "7", "%00")]

    assert {each.status_code for each in answers} == {404}
    assert len({each.content for each in answers}) == 1
    for verb in ("cancel", "retry", "signals/x"):
        assert post(web, f"/v1/runs/{foreign}/{verb}", {}).status_code == 404
    for part in ("steps", "why", "events"):
        assert web.get(f"/v1/runs/{foreign}/{part}").status_code == 404


def test_cancel_when_running_then_202_and_again_202_and_when_over_200(
    web: django.test.Client, home: house.House
) -> None:
    run_id = start(web).json()["id"]

    first = web.post(f"/v1/runs/{run_id}/cancel")
    second = web.post(f"/v1/runs/{run_id}/cancel")
    home.doors.move(uuid.UUID(run_id), state=run.RunState.CANCELLED, shown_state="cancelled")
    third = web.post(f"/v1/runs/{run_id}/cancel")

    assert [each.status_code for each in (first, second, third)] == [202, 202, 200]
    assert first.json()["cancel_requested_at"] == second.json()["cancel_requested_at"] == "2026-11-21T12:00:00.000000Z"


def test_retry_when_not_failed_then_409_and_when_failed_202(web: django.test.Client, home: house.House) -> None:
    run_id = start(web).json()["id"]

    refused = web.post(f"/v1/runs/{run_id}/retry")
    home.doors.move(uuid.UUID(run_id), state=run.RunState.FAILED, shown_state="failed")
    taken = web.post(f"/v1/runs/{run_id}/retry")

    assert (refused.status_code, refused.json()["code"]) == (409, "run_not_retryable")
    assert (taken.status_code, taken.json()["id"], taken.json()["state"]) == (202, run_id, "running")


def test_signal_when_sent_twice_under_one_key_then_kept_once_and_when_over_409(
    web: django.test.Client, home: house.House
) -> None:
    run_id = start(web).json()["id"]
    path = f"/v1/runs/{run_id}/signals/art_director"

    assert post(web, path, "approved", idempotency_key="s").status_code == 202
    assert post(web, path, "approved", idempotency_key="s").status_code == 202
    assert web.generic("POST", path).status_code == 202
    assert [(name, payload) for _, name, payload, _ in home.doors.signals] == [
        ("art_director", "approved"),
        ("art_director", None),
    ]
    home.doors.move(uuid.UUID(run_id), state=run.RunState.SUCCEEDED)
    assert post(web, path, "late").json()["code"] == "run_terminal"


def test_signal_when_the_run_has_too_many_then_409_names_the_bound(web: django.test.Client, home: house.House) -> None:
    run_id = start(web).json()["id"]
    home.doors.signals_max = 1
    path = f"/v1/runs/{run_id}/signals/art_director"
    assert post(web, path, "approved").status_code == 202

    refused = post(web, path, "approved")

    assert (refused.status_code, refused.json()["code"]) == (409, "signals_full")
    assert refused.json()["detail"].startswith(
        f"Run {run_id} keeps as many signals that it has not taken as it may, 1 ("
    )
    assert len(home.doors.signals) == 1


def test_signal_when_its_name_has_a_slash_then_it_is_taken_whole(web: django.test.Client, home: house.House) -> None:
    run_id = start(web).json()["id"]

    assert post(web, f"/v1/runs/{run_id}/signals/brand%2Feditor", "yes").status_code == 202

    assert [name for _, name, _, _ in home.doors.signals] == ["brand/editor"]


def test_why_when_asked_then_one_sentence(web: django.test.Client) -> None:
    run_id = start(web).json()["id"]

    assert web.get(f"/v1/runs/{run_id}/why").json() == {
        "why": "The run is queued.",
        "chain": [{"cause": "ending", "detail": "the run is queued"}],
        "eta": None,
    }


def event(seq: int, name: str) -> records.EventView:
    return records.EventView(seq=seq, name=name, ordinal=None, at=fake_doors.BORN_AT, detail={"a": seq})


def test_events_when_the_run_is_over_then_the_stream_tells_all_and_ends(
    web: django.test.Client, home: house.House
) -> None:
    run_id = start(web).json()["id"]
    home.doors.run_events[uuid.UUID(run_id)] = [event(1, "run.queued"), event(2, "run.succeeded")]
    home.doors.move(uuid.UUID(run_id), state=run.RunState.SUCCEEDED)

    response = web.get(f"/v1/runs/{run_id}/events", headers={"last-event-id": "1"})
    text = b"".join(response.streaming_content).decode()

    assert response["Content-Type"].startswith("text/event-stream")
    assert "id: 2\nevent: run.succeeded\ndata: {" in text
    assert "id: 1" not in text
    assert text.endswith('event: end\ndata: {"state":"succeeded"}\n\n')
    assert web.get(f"/v1/runs/{run_id}/events", headers={"last-event-id": "2"}).status_code == 204


def test_events_when_every_place_is_taken_then_503_and_a_closed_stream_frees_its_place(
    web: django.test.Client, home: house.House
) -> None:
    run_id = start(web).json()["id"]

    held = web.get(f"/v1/runs/{run_id}/events")
    refused = web.get(f"/v1/runs/{run_id}/events")
    held.close()
    taken = web.get(f"/v1/runs/{run_id}/events")
    taken.close()

    assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (503, "busy", "1")
    assert taken.status_code == 200


def test_events_when_next_cursor_is_passed_as_cursor_then_the_page_after_it(
    web: django.test.Client, home: house.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_events, "PAGE_EVENTS", 2)
    run_id = start(web).json()["id"]
    home.doors.run_events[uuid.UUID(run_id)] = [event(seq, "step.settled") for seq in (1, 2, 3, 4)]

    def page(**query: object) -> dict[str, Any]:
        path, accept = f"/v1/runs/{run_id}/events", {"accept": "application/json"}
        found: dict[str, Any] = web.get(path, query, headers=accept).json()
        return found

    first = page()
    second = page(cursor=first["next_cursor"])

    assert [each["seq"] for each in first["items"]] == [1, 2]
    assert ([each["seq"] for each in second["items"]], second["next_cursor"]) == ([3, 4], None)


def test_events_when_json_is_asked_for_then_one_page(web: django.test.Client, home: house.House) -> None:
    run_id = start(web).json()["id"]
    home.doors.run_events[uuid.UUID(run_id)] = [event(1, "run.queued")]

    response = web.get(f"/v1/runs/{run_id}/events", headers={"accept": "application/json"})

    assert response.json()["items"][0]["seq"] == 1
