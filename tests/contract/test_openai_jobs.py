"""What the ``openai`` adapter makes of jobs: background responses, videos, batches, and pictures behind links."""

import base64
import json
import re
from typing import Any

import pytest

from heddle.core import artifact, faults, settle
from heddle.ports import provider
from tests.contract import openai_replies, provider_suite, scripted_server, tenant_artifacts
from tests.contract.test_openai_adapter import artifacts, made, polled, request, sent, server

__all__ = ["artifacts", "server"]

BATCH = {"id": "batch_1", "object": "batch", "status": "validating", "metadata": {"heddle_attempt": "att_0190"}}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}],
    "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
}


async def cancelled(url: str, handle: str, asked: provider.ProviderRequest, /, **options: Any) -> bool:
    adapter = made(url, **options)
    is_cancelled = await adapter.cancel(handle, asked)
    await adapter.close()
    return is_cancelled


async def test_response_when_in_the_background_then_accepted_polled_and_cancelled(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    asked = request(artifacts, {"input": "hi", "background": True}, on_delta=lambda piece: None)
    server.script(
        scripted_server.json_reply(200, {**RESPONSE, "status": "queued", "output": []}),
        scripted_server.json_reply(200, {**RESPONSE, "status": "in_progress", "output": []}),
        scripted_server.json_reply(200, RESPONSE),
        scripted_server.json_reply(200, {**RESPONSE, "status": "cancelled"}),
    )

    accepted = await sent(server.url, asked, operation="responses")
    assert isinstance(accepted, settle.Accepted)
    running = await polled(server.url, accepted.handle, asked, operation="responses")
    done = await polled(server.url, accepted.handle, asked, operation="responses", list_prices=True)
    is_cancelled = await cancelled(server.url, accepted.handle, asked, operation="responses")

    assert accepted.handle == f"{server.url}/responses/resp_1"
    assert running == settle.StillRunning(poll_after_s=2.0, note="in_progress")
    assert isinstance(done, settle.Completed)
    assert (done.output, done.cost_nano_usd) == (RESPONSE, 10 * 150 + 5 * 600)
    assert is_cancelled
    assert "stream" not in server.requests[0].json


async def test_response_when_streamed_then_the_one_at_its_end_counts(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    delta = {"type": "response.output_text.delta", "delta": "hi"}
    last = {"type": "response.completed", "response": RESPONSE}
    server.script(openai_replies.stream(delta, last))
    heard: list[Any] = []

    outcome = await sent(server.url, request(artifacts, {"input": "hi"}, on_delta=heard.append), operation="responses")

    assert isinstance(outcome, settle.Completed)
    assert (outcome.output, heard) == (RESPONSE, [delta, last])


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("failed", "server_error", faults.Fault.REJECTED_TRANSIENT),
        ("failed", "invalid_prompt", faults.Fault.REJECTED_PERMANENT),
        ("failed", "brand_new", faults.Fault.UNCLASSIFIED),
        ("cancelled", None, faults.Fault.CANCELLED),
    ],
)
async def test_response_when_it_ended_badly_then_by_its_code_and_billed(
    status: str,
    code: str | None,
    expected: faults.Fault,
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(scripted_server.json_reply(200, {**RESPONSE, "status": status, "error": {"code": code}}))

    outcome = await polled(
        server.url,
        f"{server.url}/responses/resp_1",
        request(artifacts, {"input": "hi"}),
        operation="responses",
        list_prices=True,
    )

    assert isinstance(outcome, settle.Faulted)
    assert (outcome.fault.fault, outcome.billed_nano_usd) == (expected, 4_500)


@pytest.mark.parametrize("operation", ["responses", "videos", "batch", "images_generate"])
async def test_poll_when_the_handle_leads_elsewhere_then_nothing_is_asked(
    operation: str, server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    asked = request(artifacts, {})

    outcome = await polled(server.url, "https://elsewhere.example/v1/videos/video_1", asked, operation=operation)
    is_cancelled = await cancelled(server.url, "https://elsewhere.example/v1/x/1", asked, operation=operation)

    assert isinstance(outcome, settle.Unknown)
    assert not is_cancelled
    assert server.requests == []


async def test_video_when_done_then_its_file_is_copied_once_it_is_there(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    picture = await provider_suite.stored(artifacts, provider_suite.picture())
    asked = request(artifacts, {"prompt": "steam", "seconds": 4, "input_reference": picture.as_json()})
    job = {"id": "video_1", "object": "video", "status": "completed", "progress": 100}
    file = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(100)
    handle = f"{server.url}/videos/video_1"
    server.script(
        scripted_server.json_reply(200, {**job, "status": "queued"}),
        scripted_server.json_reply(200, {**job, "status": "in_progress", "progress": 40}),
        scripted_server.json_reply(200, job),
        scripted_server.reply(503, b""),
        scripted_server.json_reply(200, job),
        scripted_server.reply(200, file, media_type="video/mp4"),
    )

    accepted = await sent(server.url, asked, operation="videos", poll_after_s=0.5)
    outcomes = [await polled(server.url, handle, asked, operation="videos", poll_after_s=0.5) for _ in range(3)]

    assert isinstance(accepted, settle.Accepted)
    assert accepted.handle == handle
    assert outcomes[0] == settle.StillRunning(poll_after_s=0.5, note="in_progress, 40 %")
    assert isinstance(outcomes[1], settle.StillRunning)
    assert isinstance(outcomes[2], settle.Completed), outcomes[2]
    assert await artifacts.read(artifact.Artifact.from_json(outcomes[2].output["video"])) == file
    form = server.requests[0]
    assert form.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert re.findall(rb'name="([a-z_]+)"(; filename="[a-z_0-9.]+")?', form.body) == [
        (b"model", b""),
        (b"prompt", b""),
        (b"seconds", b""),
        (b"input_reference", b'; filename="input_reference_0.png"'),
    ]
    assert provider_suite.picture() in form.body


async def test_video_when_failed_then_by_its_code(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    error = {"code": "moderation_blocked", "message": "no"}
    server.script(scripted_server.json_reply(200, {"id": "video_1", "status": "failed", "error": error}))

    outcome = await polled(server.url, f"{server.url}/videos/video_1", request(artifacts, {}), operation="videos")

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT


async def test_pictures_when_in_the_answer_then_stored_in_their_places(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    picture = provider_suite.picture()
    usage = {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110}
    data = [{"b64_json": base64.b64encode(picture).decode(), "revised_prompt": "better"}]
    server.script(scripted_server.json_reply(200, {"created": 1, "data": data, "usage": usage}))
    mask = await provider_suite.stored(artifacts, picture)
    given = {"prompt": "x", "image": [mask.as_json(), mask.as_json()], "mask": mask.as_json(), "n": 1}

    outcome = await sent(server.url, request(artifacts, given), operation="images_edit")

    assert isinstance(outcome, settle.Completed), outcome
    (shown,) = outcome.output["data"]
    assert shown["revised_prompt"] == "better"
    assert await artifacts.read(artifact.Artifact.from_json(shown["image"])) == picture
    assert (outcome.told.tokens, outcome.told.images) == (110, 1)
    assert server.requests[0].path == "/images/edits"
    assert server.requests[0].body.count(b'name="image[]"; filename=') == 2


async def test_pictures_when_their_link_fails_then_fetched_later_and_not_bought_again(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    picture = provider_suite.picture()
    asked = request(artifacts, {"prompt": "x"})
    server.script(
        scripted_server.json_reply(200, {"created": 1, "data": [{"url": f"{server.url}/files/1.png"}]}),
        scripted_server.reply(503, b""),
        scripted_server.reply(200, picture, media_type="image/png"),
    )

    accepted = await sent(server.url, asked, operation="images_generate")
    assert isinstance(accepted, settle.Accepted), accepted
    outcome = await polled(server.url, accepted.handle, asked, operation="images_generate")

    assert isinstance(outcome, settle.Completed), outcome
    assert artifact.is_artifact(outcome.output["data"][0]["image"])
    assert scripted_server.paths(server.requests) == [
        ("POST", "/images/generations"),
        ("GET", "/files/1.png"),
        ("GET", "/files/1.png"),
    ]


async def test_batch_when_sent_then_its_lines_are_uploaded_and_it_carries_our_mark(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(
        scripted_server.json_reply(200, {"id": "file-1", "object": "file"}), scripted_server.json_reply(200, BATCH)
    )
    given = {"requests": [{"messages": openai_replies.COMPLETION["choices"]}, {"messages": []}]}

    outcome = await sent(server.url, request(artifacts, given), operation="batch")

    assert isinstance(outcome, settle.Accepted), outcome
    assert outcome.handle == f"{server.url}/batches/batch_1"
    upload, begun = server.requests
    lines = [json.loads(line) for line in upload.body.splitlines() if line.startswith(b"{")]
    assert [(line["custom_id"], line["url"], line["body"]["model"]) for line in lines] == [
        ("0", "/v1/chat/completions", "gpt-4o-mini"),
        ("1", "/v1/chat/completions", "gpt-4o-mini"),
    ]
    assert begun.json == {
        "input_file_id": "file-1",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"heddle_attempt": "att_0190"},
    }


@pytest.mark.parametrize("answer", [scripted_server.cut(), scripted_server.reply(500, b"")], ids=["cut", "500"])
async def test_batch_when_its_upload_is_lost_then_nothing_was_begun(
    answer: scripted_server.Answer,
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(answer)

    outcome = await sent(server.url, request(artifacts, {"requests": [{}]}), operation="batch")

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_TRANSIENT
    assert scripted_server.paths(server.requests) == [("POST", "/files")]


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([{"data": [{"id": "batch_2"}], "has_more": True}, {"data": [BATCH], "has_more": False}], settle.Accepted),
        ([{"data": [{"id": "batch_2", "metadata": None}], "has_more": False}], settle.Absent),
        ([{"data": [], "has_more": False}], settle.Absent),
        ([{"error": {"message": "sorry"}}], settle.Unknown),
        ([{"data": [{"id": "batch_2"}], "has_more": True}], settle.Unknown),
    ],
    ids=["second page", "absent", "empty", "unreadable", "never ending"],
)
async def test_batch_when_looked_up_then_found_by_our_mark_or_proven_absent(
    pages: list[Any],
    expected: type,
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(*(scripted_server.json_reply(200, page) for page in pages))

    adapter = made(server.url, operation="batch")
    outcome = await adapter.lookup(request(artifacts, {}))
    await adapter.close()

    assert type(outcome) is expected
    assert len(server.requests) <= 20


async def test_batch_when_over_then_its_files_are_artifacts(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    over = {**BATCH, "status": "completed", "output_file_id": "file-2", "error_file_id": "file-3"}
    server.script(
        scripted_server.json_reply(200, over),
        scripted_server.reply(200, b'{"custom_id":"0"}\n', media_type="application/octet-stream"),
        scripted_server.reply(200, b'{"custom_id":"1"}\n', media_type="application/octet-stream"),
    )

    outcome = await polled(server.url, f"{server.url}/batches/batch_1", request(artifacts, {}), operation="batch")

    assert isinstance(outcome, settle.Completed), outcome
    results = artifact.Artifact.from_json(outcome.output["results"])
    assert await artifacts.read(results) == b'{"custom_id":"0"}\n'
    assert [path for _, path in scripted_server.paths(server.requests)][1:] == [
        "/files/file-2/content",
        "/files/file-3/content",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "expired"}, faults.Fault.DEADLINE),
        ({"status": "cancelled"}, faults.Fault.CANCELLED),
        ({"status": "failed", "errors": {"data": [{"code": "token_limit_exceeded"}]}}, faults.Fault.THROTTLED),
        ({"status": "failed", "errors": {"data": [{"code": "empty_file"}]}}, faults.Fault.REJECTED_PERMANENT),
    ],
)
async def test_batch_when_it_ended_badly_then_said_why(
    changes: dict[str, Any],
    expected: faults.Fault,
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(scripted_server.json_reply(200, {**BATCH, **changes}))

    outcome = await polled(server.url, f"{server.url}/batches/batch_1", request(artifacts, {}), operation="batch")

    assert provider_suite.fault_of(outcome) is expected


async def test_batch_when_cancelled_midway_then_what_was_done_is_charged_and_its_results_are_named(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    over = {**BATCH, "status": "cancelled", "output_file_id": "file-2"}
    results = b'{"custom_id":"0"}\n'
    server.script(
        scripted_server.json_reply(200, over),
        scripted_server.reply(200, results, media_type="application/octet-stream"),
    )

    outcome = await polled(server.url, f"{server.url}/batches/batch_1", request(artifacts, {}), operation="batch")

    assert isinstance(outcome, settle.Faulted), outcome
    assert (outcome.fault.fault, outcome.billed_nano_usd) == (faults.Fault.CANCELLED, None)
    stored = await artifacts.write(results, media_type="text/plain")
    assert stored.id in outcome.fault.message


async def test_poll_when_it_tells_nothing_then_asked_again(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(
        scripted_server.cut(),
        scripted_server.reply(500, b"", headers={"Retry-After": "120"}),
        provider_suite.page(),
        scripted_server.reply(404, b""),
    )
    handle = f"{server.url}/batches/batch_1"

    outcomes = [await polled(server.url, handle, request(artifacts, {}), operation="batch") for _ in range(4)]

    assert [type(each) for each in outcomes] == [*[settle.StillRunning] * 3, settle.Unknown]
    assert isinstance(outcomes[1], settle.StillRunning)
    assert outcomes[1].poll_after_s == 120.0
