"""The console's pages: who gets in, what they see, what the buttons do; nothing foreign or inline is in them."""

import datetime
import json
import pathlib
import re
import uuid

import django.db
import django.test
import pytest

from heddle import client, wiring
from heddle.console import words
from heddle.core import attempt, faults, ids, run, step
from heddle.ports import operators, records
from tests.unit.api import house

INPUT = {"photo": "plain", "scenes": ["<script>alert(1)</script>"]}
START = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.UTC)


def make_run(home: house.House, *, tenant: str = "acme") -> uuid.UUID:
    """Start a run with one failed and one waiting call, whose texts try to break out of the page."""
    run_id = home.heddle.submit("product_shoot", INPUT, tenant=tenant, labels={"brand": "<b>"}).run.id
    picture = home.heddle.upload(house.PNG, tenant=tenant).as_public_json()
    fault = faults.StepFault(fault=faults.Fault.THROTTLED, message="<img src=x onerror=alert(1)>", where="paint")
    tried = records.AttemptView(
        id="a",
        number=1,
        endpoint="paint",
        worker="w",
        state=attempt.AttemptState.REJECTED,
        handle=None,
        fault=fault,
        cost_nano_usd=5_000_000,
        started_at=START,
        sent_at=START,
        finished_at=START + datetime.timedelta(seconds=2),
    )
    home.doors.run_steps[run_id] = [
        records.StepView(
            ordinal=ordinal,
            kind=kind,
            name=f"<{kind.value}>",
            state=state,
            is_leased=False,
            parents=parents,
            input={"a": 1},
            output={"image": picture},
            fault=fault,
            note="<i>",
            created_at=START,
            due_at=None,
            finished_at=None,
            cost_nano_usd=5_000_000,
            attempts=(tried,) if ordinal == 1 else (),
        )
        for ordinal, kind, state, parents in [
            (1, step.StepKind.MODEL, step.StepState.FAILED, ()),
            (2, step.StepKind.SIGNAL, step.StepState.WAITING, (1,)),
        ]
    ]
    return run_id


def test_pages_when_not_logged_in_then_the_login_and_back_again(browser: django.test.Client, home: house.House) -> None:
    refused = browser.get("/console/models?x=1")
    wrong = browser.post("/console/login", {"key": "hd_nope"})
    entered = browser.post("/console/login", {"key": home.key, "next": "/console/models?x=1"})

    assert (refused.status_code, refused["Location"]) == (302, "/console/login?next=%2Fconsole%2Fmodels%3Fx%3D1")
    assert (wrong.status_code, b"not valid" in wrong.content) == (401, True)
    assert entered["Location"] == "/console/models?x=1"
    cookie = entered.cookies["heddle_console"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/console")
    assert home.key not in cookie.value


@pytest.mark.parametrize("following", ["https://evil.example/", "//evil.example/", "/console/\\evil", "/other", ""])
def test_login_when_asked_to_go_elsewhere_then_home(
    browser: django.test.Client, home: house.House, following: str
) -> None:
    assert browser.post("/console/login", {"key": home.key, "next": following})["Location"] == "/console/"


def test_session_when_the_key_is_revoked_then_it_ends(browser: django.test.Client, home: house.House) -> None:
    browser.post("/console/login", {"key": home.key})
    home.doors.keys.clear()
    home.heddle.keyring._remembered.clear()

    assert browser.get("/console/").status_code == 302


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"HTTP_HOST": "127.0.0.1:8700"}, 200),
        ({"HTTP_HOST": "localhost:8700"}, 200),
        ({"HTTP_HOST": "[::1]:8700", "REMOTE_ADDR": "::1"}, 200),
        ({"HTTP_HOST": "evil.example"}, 302),
        ({"HTTP_HOST": "127.0.0.1.evil.example"}, 302),
        ({"HTTP_HOST": "127.0.0.1", "REMOTE_ADDR": "10.0.0.9"}, 302),
        ({"HTTP_HOST": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "10.0.0.9"}, 302),
    ],
)
def test_development_when_the_browser_is_on_this_machine_then_no_login_and_else_one(
    browser: django.test.Client,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    environ: dict[str, str],
    status: int,
) -> None:
    from heddle import wiring

    here = house.build(environment="development", state_dir=str(tmp_path))
    (tmp_path / "dev.json").write_text(json.dumps({"api_key": here.key}))
    monkeypatch.setattr(wiring, "client", lambda: here.heddle)

    with django.test.override_settings(ALLOWED_HOSTS=["*"]):
        assert browser.get("/console/", **environ).status_code == status


def test_production_when_on_this_machine_then_a_login_all_the_same(browser: django.test.Client) -> None:
    assert browser.get("/console/", HTTP_HOST="127.0.0.1").status_code == 302


def test_runs_when_there_are_none_then_the_page_teaches(inside: django.test.Client) -> None:
    page = inside.get("/console/").content.decode()

    assert "No runs yet" in page
    assert "curl http://testserver/v1/runs" in page
    assert "approve_shoot" in page


def test_runs_when_listed_then_each_with_its_word_and_only_ones_own(
    inside: django.test.Client, home: house.House
) -> None:
    mine, foreign = make_run(home), make_run(home, tenant="globex")

    page = inside.get("/console/").content.decode()
    part = inside.get("/console/?part=1").content.decode()

    assert str(mine) in page
    assert str(foreign) not in page
    assert "Queued" in page
    assert str(mine) in part
    assert "<html" not in part
    assert str(mine) not in inside.get("/console/?state=failed").content.decode()


def test_runs_when_the_workflow_asked_for_holds_a_nul_then_the_database_never_sees_it(
    inside: django.test.Client, home: house.House
) -> None:
    mine = make_run(home)

    page = inside.get("/console/?workflow=product%00_shoot")

    assert page.status_code == 200
    assert str(mine) in page.content.decode()


class Desk:
    """Stand for what operators have: calls of unknown outcome, whoever asks."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def unknown_calls(self, *, tenant: records.Tenant, after: str | None, limit: int) -> operators.UnknownPage:
        self.asked.append((tenant.name, after))
        if after == "garbage":
            raise client.InvalidInput([client.Problem(field="cursor", message="is none")])
        call = operators.UnknownCall(
            attempt=ids.AttemptId(run_id=uuid.UUID(int=7), ordinal=12345, number=1),
            tenant=tenant.name,
            workflow="<shoot>",
            model="paint",
            endpoint="one",
            handle="<job>",
            price_nano_usd=40_000_000,
            since=START,
            is_looked_up=False,
            next_look_at=None,
        )
        return operators.UnknownPage(calls=(call,), following=call.attempt)


def test_unknown_when_calls_are_in_doubt_then_each_with_its_run_job_and_what_it_waits_for(
    inside: django.test.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk()
    monkeypatch.setattr(wiring, "operating", lambda: desk)

    page = inside.get("/console/unknown").content.decode()
    wrong = inside.get("/console/unknown?cursor=garbage")

    assert desk.asked == [("acme", None), ("acme", "garbage")]
    assert f"/console/runs/{uuid.UUID(int=7)}" in page
    assert "12345" in page
    assert "&lt;job&gt;" in page
    assert "$0.04" in page
    assert ">never<" in page
    assert f"?cursor={uuid.UUID(int=7)}.12345.1" in page
    assert wrong.status_code == 404


def test_runs_when_an_id_is_searched_then_its_page_or_a_word(inside: django.test.Client, home: house.House) -> None:
    run_id = make_run(home)

    assert inside.get(f"/console/?q={run_id}")["Location"] == f"/console/runs/{run_id}"
    assert "No run of yours" in inside.get("/console/?q=7").content.decode()


def test_run_when_shown_then_graph_timeline_calls_pictures_and_reason(
    inside: django.test.Client, home: house.House
) -> None:
    run_id = make_run(home)

    page = inside.get(f"/console/runs/{run_id}").content.decode()

    assert "The run is queued." in page
    assert page.count('class="node tone-') == 2
    assert page.count('<path d="M') == 1
    assert 'class="bar bar-try outcome-rejected' in page
    assert re.search(r'<img src="/console/artifacts/sha256:[0-9a-f]{64}" alt="Output of', page)
    assert "$0.005" in page
    assert 'data-live="/console/runs/' in page


def test_pages_when_texts_try_to_break_out_then_they_are_only_text_and_nothing_is_inline_or_foreign(
    inside: django.test.Client, home: house.House
) -> None:
    run_id = make_run(home)

    for path in ("/console/", f"/console/runs/{run_id}", "/console/models", "/console/login", "/console/runs/x"):
        response = inside.get(path)
        page = response.content.decode()
        policy = response["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "script-src 'self'" in policy
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert not re.search(r"<[a-z][^>]*\s(style|on[a-z]+)=", page)
        assert not re.search(r"<style|<script(?! src=)", page)
        assert not re.search(r"""(src|href|action)=["'](https?:)?//""", page)


def test_buttons_when_pressed_then_the_run_is_steered(inside: django.test.Client, home: house.House) -> None:
    run_id = make_run(home)
    path = f"/console/runs/{run_id}"

    signalled = inside.post(f"{path}/signal", {"name": "art_director", "payload": '"approved"'})
    malformed = inside.post(f"{path}/signal", {"name": "art_director", "payload": "{nope"})
    home.doors.signals_max = 1
    one_more = inside.post(f"{path}/signal", {"name": "art_director", "payload": '"approved"'})
    cancelled = inside.post(f"{path}/cancel")
    refused = inside.post(f"{path}/retry")

    assert [each["Location"] for each in (signalled, malformed, one_more, cancelled, refused)] == [
        f"{path}?said={said}" for said in ("signal", "bad-signal", "full-signals", "cancel", "no-retry")
    ]
    assert home.doors.signals == [(run_id, "art_director", "approved", None)]
    assert home.doors.found[run_id].cancel_requested_at is not None
    assert "asked to stop" in inside.get(cancelled["Location"]).content.decode()


def test_buttons_when_the_token_is_missing_then_403_and_nothing_happens(
    inside: django.test.Client, home: house.House
) -> None:
    run_id = make_run(home)
    strict = django.test.Client(enforce_csrf_checks=True)
    strict.cookies = inside.cookies

    refused = strict.post(f"/console/runs/{run_id}/cancel")

    assert refused.status_code == 403
    assert home.doors.found[run_id].cancel_requested_at is None


def test_buttons_when_the_key_may_only_read_then_none_are_shown_and_none_work(
    browser: django.test.Client, home: house.House
) -> None:
    run_id = make_run(home)
    reader, _ = home.heddle.create_key(tenant="acme", name="reader", scopes=frozenset({"read"}))
    browser.post("/console/login", {"key": reader})

    assert "Cancel run" not in browser.get(f"/console/runs/{run_id}").content.decode()
    assert browser.post(f"/console/runs/{run_id}/cancel").status_code == 403


def test_foreign_things_when_asked_for_then_404(inside: django.test.Client, home: house.House) -> None:
    run_id = make_run(home, tenant="globex")
    reference = next(iter(home.doors.owned.values()))

    assert inside.get(f"/console/runs/{run_id}").status_code == 404
    assert inside.post(f"/console/runs/{run_id}/cancel").status_code == 404
    assert inside.get(f"/console/artifacts/{reference.id}").status_code == 404


def test_artifact_when_owned_then_its_bytes(inside: django.test.Client, home: house.House) -> None:
    reference = home.heddle.upload(house.PNG, tenant="acme")

    response = inside.get(f"/console/artifacts/{reference.id}")

    assert b"".join(response.streaming_content) == house.PNG
    assert response["Content-Type"] == "image/png"


def test_pages_when_the_database_is_away_then_503_that_says_so(
    inside: django.test.Client, home: house.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(**_: object) -> list[records.RunView]:
        raise django.db.OperationalError("away")

    monkeypatch.setattr(home.doors, "runs", lost)

    response = inside.get("/console/")

    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert "Runs are safe" in response.content.decode()


@pytest.mark.parametrize("name", ["console.css", "console.js", "mark.svg"])
def test_assets_when_asked_then_kept_for_ever(browser: django.test.Client, name: str) -> None:
    response = browser.get(f"/console/static/{name}")

    assert response.status_code == 200
    assert "immutable" in response["Cache-Control"]


@pytest.mark.parametrize("name", ["urls.py", "..%2Fviews.py", "%2e%2e", "nothing.css"])
def test_assets_when_something_else_is_named_then_404(browser: django.test.Client, name: str) -> None:
    assert browser.get(f"/console/static/{name}").status_code == 404


def test_words_when_any_state_is_shown_then_it_has_a_word_a_tone_and_a_sentence() -> None:
    assert set(words.RUNS) == {state.value for state in run.RunState} | {"waiting", "cancelling"}
    assert set(words.STEPS) == {state.value for state in step.StepState} | {"leased"}
    assert set(words.ATTEMPT_TONES) == {state.value for state in attempt.AttemptState}
    for look in (*words.RUNS.values(), *words.STEPS.values()):
        assert look.word
        assert look.tone
        assert look.meaning.endswith(".")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.84, "840 ms"),
        (2.44, "2.4 s"),
        (42, "42 s"),
        (192, "3 min 12 s"),
        (18_120, "5 h 2 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_duration_when_written_then_with_two_units_at_most(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_run_when_it_has_more_calls_than_a_page_then_a_page_is_drawn_and_the_rest_is_said_and_linked(
    inside: django.test.Client, home: house.House
) -> None:
    run_id = home.heddle.submit("product_shoot", INPUT, tenant="acme").run.id
    home.doors.plan(run_id, calls=450)

    first, last = (inside.get(f"/console/runs/{run_id}{query}").content.decode() for query in ("", "?after=400"))

    assert [page.count('class="node tone-') for page in (first, last)] == [200, 50]
    assert [page.count('<li id="step-') for page in (first, last)] == [200, 50]
    assert "Calls 1 to 200: the graph, the timeline and the list below show these, and leave out 250 more." in first
    assert "Calls 401 to 450: the graph, the timeline and the list below show these, and leave out 400 more." in last
    assert f'href="/console/runs/{run_id}?after=200">Next calls' in first
    assert "Next calls" not in last
    assert f'href="/console/runs/{run_id}?after=399#step-400">400</a>' in last
    assert f'data-live="/console/runs/{run_id}?part=1&amp;after=400"' in last


@pytest.mark.parametrize("after", ["-1", "x", "²", "9" * 40])
def test_run_when_the_page_of_its_calls_is_no_number_then_the_first_page(
    inside: django.test.Client, home: house.House, after: str
) -> None:
    run_id = make_run(home)

    page = inside.get(f"/console/runs/{run_id}", {"after": after})

    assert (page.status_code, page.content.decode().count('<li id="step-')) == (200, 2)
