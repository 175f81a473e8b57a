"""The ``comfyui`` adapter follows jobs: queue and history, ended jobs, their files, stopping them."""

import dataclasses
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from heddle.core import artifact, faults, settle
from heddle.ports import provider
from heddle.store import blobs
from tests.contract import comfyui_replies as recorded
from tests.contract import provider_suite, scripted_server, tenant_artifacts


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


# Following a job


async def test_poll_when_queued_then_tells_how_many_are_before_it(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    pending = [
        recorded.item(5, "c"),
        recorded.item(3, recorded.FIRST_ID),
        recorded.item(2, "b"),
    ]
    server.script(
        scripted_server.json_reply(200, {}),
        scripted_server.json_reply(200, {"queue_running": [recorded.item(1, "a")], "queue_pending": pending}),
    )
    there = recorded.made(server.url)

    outcome = await there.poll(recorded.handle_of(server), request_of)
    await there.close()

    assert outcome == settle.StillRunning(poll_after_s=1.0, note="queued, 2 before it", is_queued=True)


async def test_poll_when_it_ends_between_two_questions_then_found_all_the_same(
    server: scripted_server.ScriptedServer,
    request_of: provider.ProviderRequest,
) -> None:
    server.script(
        scripted_server.json_reply(200, {}),
        scripted_server.json_reply(200, recorded.EMPTY),
        recorded.history(recorded.FIRST_ID),
        scripted_server.reply(200, provider_suite.picture(), media_type="image/png"),
    )
    there = recorded.made(server.url, outputs={"image": "9"})

    outcome = await there.poll(recorded.handle_of(server), request_of)
    await there.close()

    assert isinstance(outcome, settle.Completed), outcome
    assert artifact.Artifact.from_json(outcome.output["image"]).media_type == "image/png"
    assert server.requests[3].path == "/view?filename=a+b.png&subfolder=x&type=output"


async def test_poll_when_in_neither_queue_nor_history_then_absent(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    nothing = scripted_server.json_reply(200, {})
    server.script(nothing, scripted_server.json_reply(200, recorded.EMPTY), nothing)
    there = recorded.made(server.url)

    outcome = await there.poll(recorded.handle_of(server), request_of)
    await there.close()

    assert outcome == settle.Absent()


BEGAN_MS = 0x01926F3E0000  # in recorded.RUN


@pytest.mark.parametrize(
    ("jobs", "is_proof"),
    [
        ({"jobs": [{"id": "a", "create_time": BEGAN_MS - 60_001}]}, True),
        ({"jobs": [{"id": "a", "create_time": BEGAN_MS - 59_999}]}, False),
        ({"jobs": [{"id": "a"}]}, False),
        ({"jobs": []}, False),
        ({}, False),
    ],
    ids=range(5),
)
async def test_paid_job_when_in_neither_then_absent_only_if_no_restart_can_have_forgotten_it(
    jobs: object, is_proof: bool, server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    request = dataclasses.replace(request_of, attempt_id=recorded.SECOND)
    nothing, empty = scripted_server.json_reply(200, {}), scripted_server.json_reply(200, recorded.EMPTY)
    told = scripted_server.json_reply(200, jobs)
    server.script(nothing, empty, nothing, told, empty, nothing, told)
    there = recorded.made(server.url, paid=True)

    outcomes = [await there.poll(recorded.handle_of(server), request), await there.lookup(request)]
    await there.close()

    assert [isinstance(outcome, settle.Absent) for outcome in outcomes] == [is_proof] * 2
    assert [isinstance(outcome, settle.Unknown) for outcome in outcomes] == [not is_proof] * 2


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("torch.OutOfMemoryError", faults.Fault.REJECTED_TRANSIENT),
        ("ValueError", faults.Fault.REJECTED_PERMANENT),
        ("custom_nodes.Strange", faults.Fault.UNCLASSIFIED),
    ],
)
async def test_poll_when_a_node_raised_then_classified_by_its_type_and_named(
    kind: str,
    expected: faults.Fault,
    server: scripted_server.ScriptedServer,
    request_of: provider.ProviderRequest,
) -> None:
    raised = {"node_id": "3", "node_type": "KSampler", "exception_type": kind, "exception_message": "no room\n"}
    server.script(
        recorded.history(recorded.FIRST_ID, outputs={}, status_str="error", messages=[["execution_error", raised]])
    )
    there = recorded.made(server.url)

    outcome = await there.poll(recorded.handle_of(server), request_of)
    await there.close()

    assert provider_suite.fault_of(outcome) is expected
    assert f"node 3 (KSampler) raised {kind}: no room" in provider_suite.message_of(outcome)


async def test_poll_when_interrupted_then_cancelled(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    server.script(
        recorded.history(recorded.FIRST_ID, outputs={}, status_str="error", messages=[["execution_interrupted", {}]])
    )
    there = recorded.made(server.url)

    outcome = await there.poll(recorded.handle_of(server), request_of)
    await there.close()

    assert provider_suite.fault_of(outcome) is faults.Fault.CANCELLED


async def test_outputs_when_chosen_then_one_file_all_files_and_plain_lists(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    shown = {"filename": "p.png", "subfolder": "", "type": "temp"}
    outputs = {**recorded.SAVED, "6": {"text": ["a caption"], "gifs": [shown, shown]}}
    picture = scripted_server.reply(200, provider_suite.picture(), media_type="image/png")
    server.script(recorded.history(recorded.FIRST_ID, outputs=outputs), picture)
    there = recorded.made(server.url, outputs={"image": "9", "frames": "6[]", "caption": "6/text"})

    outcome = await there.poll(recorded.handle_of(server), request_of)
    await there.close()

    assert isinstance(outcome, settle.Completed), outcome
    assert list(outcome.output) == ["image", "frames", "caption"]
    assert outcome.output["frames"] == [outcome.output["image"]] * 2
    assert outcome.output["caption"] == ["a caption"]


@pytest.mark.parametrize(
    ("outputs", "chosen"),
    [
        ({}, {"image": "9"}),
        ({"9": {"images": recorded.SAVED["9"]["images"] * 2}}, {"image": "9"}),
        ({"9": {}}, {"words": "9/text"}),
        ({"9": {"images": recorded.SAVED["9"]["images"] * 65}}, {}),
        ({"9": {"images": [{"filename": 7}]}}, {}),
    ],
    ids=range(5),
)
async def test_outputs_when_they_are_not_as_chosen_then_bad_output(
    outputs: dict[str, Any],
    chosen: dict[str, str],
    server: scripted_server.ScriptedServer,
    request_of: provider.ProviderRequest,
) -> None:
    server.script(recorded.history(recorded.FIRST_ID, outputs=outputs))
    there = recorded.made(server.url, outputs=chosen)

    outcome = await there.poll(recorded.handle_of(server), request_of)
    await there.close()

    assert provider_suite.fault_of(outcome) is faults.Fault.BAD_OUTPUT
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        scripted_server.reply(500, b"", media_type="text/plain"),
        scripted_server.cut(),
        scripted_server.cut_inside(200, provider_suite.picture(), media_type="image/png"),
        provider_suite.page(),
    ],
    ids=range(4),
)
async def test_file_when_it_does_not_arrive_whole_then_fetched_at_the_next_poll(
    answer: scripted_server.Answer,
    server: scripted_server.ScriptedServer,
    request_of: provider.ProviderRequest,
) -> None:
    server.script(recorded.history(recorded.FIRST_ID), answer)
    there = recorded.made(server.url)

    outcome = await there.poll(recorded.handle_of(server), request_of)
    await there.close()

    assert isinstance(outcome, settle.StillRunning), outcome


async def test_handle_when_of_another_server_then_refused_and_nobody_asked(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    there = recorded.made(server.url)

    polled = await there.poll(f"http://127.0.0.1:9/history/{recorded.FIRST_ID}", request_of)
    was_cancelled = await there.cancel("no address", request_of)
    await there.close()

    assert isinstance(polled, settle.Unknown)
    assert was_cancelled is False
    assert server.requests == []


# Stopping


async def test_cancel_when_the_server_stops_jobs_by_id_then_one_request(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    server.script(scripted_server.json_reply(200, {"cancelled": True}))
    there = recorded.made(server.url)

    was_cancelled = await there.cancel(recorded.handle_of(server), request_of)
    await there.close()

    assert was_cancelled is True
    assert scripted_server.paths(server.requests) == [("POST", f"/api/jobs/{recorded.FIRST_ID}/cancel")]


@pytest.mark.parametrize(
    ("queue", "path", "body"),
    [
        (
            {"queue_running": [], "queue_pending": [recorded.item(1, recorded.FIRST_ID)]},
            "/queue",
            {"delete": [recorded.FIRST_ID]},
        ),
        (
            {"queue_running": [recorded.item(1, recorded.FIRST_ID)], "queue_pending": []},
            "/interrupt",
            {"prompt_id": recorded.FIRST_ID},
        ),
    ],
    ids=["pending", "running"],
)
async def test_cancel_when_the_server_is_older_then_out_of_the_queue_or_interrupted(
    queue: object,
    path: str,
    body: object,
    server: scripted_server.ScriptedServer,
    request_of: provider.ProviderRequest,
) -> None:
    missing = scripted_server.reply(405, b"", media_type="text/plain")
    server.script(missing, scripted_server.json_reply(200, queue), scripted_server.reply(200, b""))
    there = recorded.made(server.url)

    was_cancelled = await there.cancel(recorded.handle_of(server), request_of)
    await there.close()

    assert was_cancelled is True
    assert (server.requests[2].path, server.requests[2].json) == (path, body)


async def test_cancel_when_the_job_is_over_then_no(
    server: scripted_server.ScriptedServer, request_of: provider.ProviderRequest
) -> None:
    missing = scripted_server.reply(404, b"", media_type="text/plain")
    server.script(missing, scripted_server.json_reply(200, recorded.EMPTY))
    there = recorded.made(server.url)

    was_cancelled = await there.cancel(recorded.handle_of(server), request_of)
    await there.close()

    assert was_cancelled is False
