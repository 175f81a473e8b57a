"""The ``comfyui`` adapter submits: the suite, filled graphs, stored inputs, refusals, looking back."""

import dataclasses
import json
import pathlib
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest

from heddle.core import faults, run, settle
from heddle.ports import provider
from heddle.providers import registry
from heddle.store import blobs
from tests.contract import comfyui_replies as recorded
from tests.contract import provider_suite, scripted_server, tenant_artifacts


class ComfyuiReplies(provider_suite.ProviderSuite):
    adapter = "comfyui"
    call = ("POST", "/prompt")
    done_outcome = settle.Accepted
    malformed_outcome = None
    too_large_outcome = None

    def replies(self) -> provider_suite.Replies:
        return provider_suite.Replies(
            done=scripted_server.json_reply(200, recorded.TAKEN),
            refused=scripted_server.json_reply(400, recorded.INVALID),
            limited=scripted_server.json_reply(429, {"error": "slow down"}, headers={"Retry-After": "7"}),
            ambiguous=scripted_server.reply(502, b"Bad Gateway", media_type="text/plain"),
            malformed=provider_suite.page(),
            cut_inside=scripted_server.cut_inside(200, json.dumps(recorded.TAKEN).encode()),
            too_large=scripted_server.reply(200, b'{"a": "' + b"x" * (64 * 1024**2 + 1) + b'"}'),
            echoing=scripted_server.json_reply(401, {"error": f"bad token {provider_suite.SECRET}"}),
        )


class TestComfyui(ComfyuiReplies):
    options: ClassVar[Mapping[str, Any]] = {"graph": recorded.GRAPH}


class TestComfyuiPaid(ComfyuiReplies):
    options: ClassVar[Mapping[str, Any]] = {"graph": recorded.GRAPH, "paid": True}


@pytest.fixture
async def server() -> AsyncIterator[scripted_server.ScriptedServer]:
    async with scripted_server.ScriptedServer() as server:
        yield server


@pytest.fixture
def artifacts(tmp_path: pathlib.Path) -> tenant_artifacts.TenantArtifacts:
    store = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=1_000_000, pixels_max=1_000)
    return tenant_artifacts.TenantArtifacts(store)


@pytest.fixture
def request_of(artifacts: tenant_artifacts.TenantArtifacts) -> provider.ProviderRequest:
    return recorded.request_for(artifacts)


# Submitting


async def test_graph_when_submitted_then_filled_with_values_of_their_types_under_our_id(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    server.script(scripted_server.json_reply(200, recorded.TAKEN))
    there = recorded.made(server.url)

    outcome = await there.send(request_of)
    await there.close()

    body = server.requests[0].json
    assert body["prompt"]["3"]["inputs"] == {"seed": 7, "steps": 20, "model": ["4", 0]}
    assert body["prompt"]["6"]["inputs"]["text"] == "espresso on marble"
    assert body["prompt"]["9"]["inputs"]["filename_prefix"] == "att_0190"
    assert body["prompt_id"] == str(uuid.UUID(body["prompt_id"])) == recorded.TAKEN["prompt_id"]
    assert "front" not in body
    assert outcome == settle.Accepted(handle=recorded.handle_of(server, body["prompt_id"]), poll_after_s=1.0)


async def test_interactive_run_when_submitted_then_goes_to_the_front(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    server.script(scripted_server.json_reply(200, recorded.TAKEN))
    there = recorded.made(server.url)

    await there.send(dataclasses.replace(request_of, priority=run.Priority.INTERACTIVE))
    await there.close()

    assert server.requests[0].json["front"] is True


async def test_files_when_in_the_input_then_stored_first_and_named_in_the_graph(
    server: scripted_server.ScriptedServer,
    request_of: provider.ProviderRequest,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    png = provider_suite.picture()
    photo = await provider_suite.stored(artifacts, png)
    name = f"{photo.sha256}.png"
    server.script(
        scripted_server.json_reply(200, {"name": name, "subfolder": "heddle", "type": "input"}),
        scripted_server.json_reply(200, recorded.TAKEN),
    )
    graph = {**recorded.GRAPH, "10": {"class_type": "LoadImage", "inputs": {"image": "{input.photo}"}}}
    there = recorded.made(server.url, graph=graph)

    given = {**request_of.input, "photo": photo.as_json(), "again": photo.as_json()}
    outcome = await there.send(dataclasses.replace(request_of, input=given))
    await there.close()

    upload, submission = server.requests
    assert isinstance(outcome, settle.Accepted)
    assert (upload.method, upload.path) == ("POST", "/upload/image")
    assert upload.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert png in upload.body
    assert f'name="image"; filename="{name}"'.encode() in upload.body
    assert submission.json["prompt"]["10"]["inputs"]["image"] == f"heddle/{name}"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (scripted_server.reply(413, b"", media_type="text/plain"), faults.Fault.TOO_LARGE),
        (scripted_server.reply(500, b"", media_type="text/plain"), faults.Fault.REJECTED_TRANSIENT),
        (scripted_server.cut(), faults.Fault.REJECTED_TRANSIENT),
        (scripted_server.json_reply(200, {"name": "other.png", "subfolder": ""}), faults.Fault.UNCLASSIFIED),
        (scripted_server.json_reply(200, {}), faults.Fault.REJECTED_TRANSIENT),
    ],
    ids=range(5),
)
async def test_upload_when_it_fails_then_nothing_is_submitted(
    answer: scripted_server.Answer,
    expected: faults.Fault,
    server: scripted_server.ScriptedServer,
    request_of: provider.ProviderRequest,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    photo = await provider_suite.stored(artifacts, provider_suite.picture())
    server.script(answer)
    graph = {"10": {"class_type": "LoadImage", "inputs": {"image": "{input.photo}"}}}
    there = recorded.made(server.url, graph=graph)

    outcome = await there.send(dataclasses.replace(request_of, input={"photo": photo.as_json()}))
    await there.close()

    assert provider_suite.fault_of(outcome) is expected
    assert "nothing was submitted" in provider_suite.message_of(outcome)
    assert scripted_server.paths(server.requests) == [("POST", "/upload/image")]


async def test_graph_when_refused_then_the_node_is_named(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    server.script(scripted_server.json_reply(400, recorded.INVALID))
    there = recorded.made(server.url)

    outcome = await there.send(request_of)
    await there.close()

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
    assert "node 3 (KSampler) Value 99 bigger than max: cfg" in provider_suite.message_of(outcome)


async def test_graph_when_refused_in_part_then_the_job_is_stopped_and_the_node_named(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    server.script(
        scripted_server.json_reply(200, {**recorded.TAKEN, "node_errors": recorded.NODE_ERRORS}),
        scripted_server.json_reply(200, {"cancelled": True}),
    )
    there = recorded.made(server.url)

    outcome = await there.send(request_of)
    await there.close()

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
    assert "node 3 (KSampler)" in provider_suite.message_of(outcome)
    assert server.requests[1].path == f"/api/jobs/{recorded.TAKEN['prompt_id']}/cancel"


async def test_input_when_a_placeholder_finds_nothing_then_refused_and_nothing_sent(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    there = recorded.made(server.url)

    outcome = await there.send(dataclasses.replace(request_of, input={"seed": 7}))
    await there.close()

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
    assert server.requests == []


async def test_file_when_the_graph_does_not_name_it_then_it_stays_here(
    server: scripted_server.ScriptedServer,
    request_of: provider.ProviderRequest,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    photo = await provider_suite.stored(artifacts, provider_suite.picture())
    server.script(scripted_server.json_reply(200, recorded.TAKEN))
    there = recorded.made(server.url)

    await there.send(dataclasses.replace(request_of, input={**request_of.input, "photo": photo.as_json()}))
    await there.close()

    assert scripted_server.paths(server.requests) == [("POST", "/prompt")]


# Looking before another attempt


async def test_second_attempt_when_the_first_ones_job_is_queued_then_taken_over(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    pending = recorded.item(3, recorded.FIRST_ID, digest=recorded.digest_of_request())
    server.script(scripted_server.json_reply(200, {"queue_running": [], "queue_pending": [pending]}))
    there = recorded.made(server.url)

    outcome = await there.send(dataclasses.replace(request_of, attempt_id=recorded.SECOND))
    await there.close()

    assert outcome == settle.Accepted(handle=recorded.handle_of(server), poll_after_s=1.0)
    assert scripted_server.paths(server.requests) == [("GET", "/queue")]


async def test_second_attempt_when_the_first_ones_job_has_ended_then_its_result_is_taken_over(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    server.script(
        scripted_server.json_reply(200, recorded.EMPTY),
        recorded.history(recorded.FIRST_ID, digest=recorded.digest_of_request()),
    )
    there = recorded.made(server.url)

    outcome = await there.send(dataclasses.replace(request_of, attempt_id=recorded.SECOND))
    await there.close()

    assert outcome == settle.Accepted(handle=recorded.handle_of(server), poll_after_s=0.0)


@pytest.mark.parametrize(
    "found",
    [
        recorded.history(recorded.FIRST_ID, digest="of another graph"),
        recorded.history(recorded.FIRST_ID, digest=recorded.digest_of_request(), status_str="error"),
        scripted_server.json_reply(200, {}),
    ],
    ids=["another graph", "failed", "absent"],
)
async def test_second_attempt_when_the_first_left_nothing_of_use_then_submitted_under_its_own_id(
    found: scripted_server.Answer,
    server: scripted_server.ScriptedServer,
    request_of: provider.ProviderRequest,
) -> None:
    taken = scripted_server.json_reply(200, {**recorded.TAKEN, "prompt_id": recorded.SECOND_ID})
    server.script(scripted_server.json_reply(200, recorded.EMPTY), found, taken)
    there = recorded.made(server.url)

    outcome = await there.send(dataclasses.replace(request_of, attempt_id=recorded.SECOND))
    await there.close()

    assert server.requests[2].json["prompt_id"] == recorded.SECOND_ID
    assert outcome == settle.Accepted(handle=recorded.handle_of(server, recorded.SECOND_ID), poll_after_s=1.0)


async def test_second_attempt_when_the_server_cannot_be_asked_then_nothing_is_submitted(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    server.script(scripted_server.reply(503, b"", media_type="text/plain"))
    there = recorded.made(server.url)

    outcome = await there.send(dataclasses.replace(request_of, attempt_id=recorded.SECOND))
    await there.close()

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_TRANSIENT
    assert len(server.requests) == 1


async def test_lookup_when_in_queue_history_or_neither_then_accepted_or_absent(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    prompt_id = recorded.TAKEN["prompt_id"]
    empty = scripted_server.json_reply(200, recorded.EMPTY)
    server.script(
        scripted_server.json_reply(200, {"queue_running": [recorded.item(1, str(prompt_id))], "queue_pending": []}),
        empty,
        recorded.history(str(prompt_id)),
        empty,
        scripted_server.json_reply(200, {}),
        scripted_server.reply(502, b"", media_type="text/plain"),
    )
    there = recorded.made(server.url)

    outcomes = [await there.lookup(request_of) for _ in range(4)]
    await there.close()

    handle = recorded.handle_of(server, str(prompt_id))
    assert outcomes[:3] == [
        settle.Accepted(handle=handle, poll_after_s=1.0),
        settle.Accepted(handle=handle, poll_after_s=0.0),
        settle.Absent(),
    ]
    assert isinstance(outcomes[3], settle.Unknown)


# Configuration


async def test_check_when_paid_then_asks_for_a_server_that_takes_our_ids(
    server: scripted_server.ScriptedServer,
) -> None:
    up = scripted_server.json_reply(200, {"system": {}})
    server.script(
        up, scripted_server.reply(404, b"", media_type="text/plain"), up, scripted_server.json_reply(200, {"jobs": []})
    )
    there = recorded.made(server.url, paid=True)

    troubles = [await there.check(), await there.check()]
    await there.close()

    assert "no /api/jobs" in (troubles[0] or "")
    assert troubles[1] is None


def test_graph_when_a_file_then_read_once_at_the_start(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(recorded.GRAPH))

    assert recorded.made("http://h", graph=str(path)).capabilities.lookup_bound_s == 10.0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"graph": None}, "graph is missing"),
        ({"graph": "/nowhere/graph.json"}, "cannot be read"),
        ({"graph": {"nodes": [], "links": []}}, "Export (API)"),
        ({"graph": {"3": {"inputs": {}}}}, "'3'"),
        ({"graph": {"3": {"class_type": "A", "inputs": {"a": "{inputs.a}"}}}}, "no template"),
        ({"outputs": {"image": "99"}}, "outputs.image"),
        ({"outputs": {"image": "9 / images"}}, "outputs.image"),
        ({"graf": {}}, "graf"),
    ],
    ids=str,
)
def test_options_when_one_is_wrong_then_the_refusal_names_it(options: dict[str, Any], named: str) -> None:
    with pytest.raises(registry.EndpointRefused, match=r"\[endpoints.there\]") as refused:
        recorded.made("http://h", **options)

    assert named in str(refused.value)
