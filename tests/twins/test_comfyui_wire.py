"""The twin ``comfyui`` answers in the forms that ComfyUI's own example scripts read."""

import asyncio
import pathlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from heddle.twins.comfyui import twin
from heddle.twins.kit import faults, options, server

GRAPH: dict[str, Any] = {
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "ComfyUI"}},
}
LOOKS_MAX = 2_000


@pytest.fixture
async def client(tmp_path: pathlib.Path) -> AsyncIterator[aiohttp.ClientSession]:
    given = options.Options(ledger=tmp_path / "ledger.jsonl", plan=faults.Plan(seed=1, latency_s=0.01))
    async with server.Running(twin.ComfyuiTwin(given)) as there, aiohttp.ClientSession(there.url) as client:
        yield client


async def asked(client: aiohttp.ClientSession, path: str, **query: str) -> Any:
    async with client.get(path, params=query) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def told(client: aiohttp.ClientSession, path: str, body: object) -> tuple[int, Any]:
    async with client.post(path, json=body) as answer:
        return answer.status, await answer.json() if answer.content_type == "application/json" else None


async def ended(client: aiohttp.ClientSession, prompt_id: str) -> Any:
    for _ in range(LOOKS_MAX):
        history = await asked(client, f"/history/{prompt_id}")
        if prompt_id in history:
            return history[prompt_id]
        await asyncio.sleep(0.005)
    raise AssertionError("the job does not end")


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_basic_example_when_followed_then_a_picture_can_be_viewed(
    prefix: str, client: aiohttp.ClientSession
) -> None:
    status, answer = await told(client, f"{prefix}/prompt", {"prompt": GRAPH, "client_id": "me"})
    entry = await ended(client, answer["prompt_id"])

    assert status == 200
    assert set(answer) == {"prompt_id", "number", "node_errors"}
    assert entry["status"]["status_str"] == "success"
    assert entry["prompt"][1] == answer["prompt_id"]
    (image,) = entry["outputs"]["9"]["images"]
    assert image == {"filename": "ComfyUI_00001_.png", "subfolder": "", "type": "output"}
    async with client.get(f"{prefix}/view", params=image) as picture:
        assert (picture.status, picture.content_type) == (200, "image/png")


async def test_prompt_id_when_chosen_then_kept_if_canonical_and_else_refused(client: aiohttp.ClientSession) -> None:
    chosen = str(uuid.UUID(int=0xABC))

    taken = await told(client, "/prompt", {"prompt": GRAPH, "prompt_id": chosen})
    refused = await told(client, "/prompt", {"prompt": GRAPH, "prompt_id": chosen.upper()})

    assert taken[1]["prompt_id"] == chosen
    assert (refused[0], refused[1]["error"]["type"]) == (400, "invalid_prompt_id")


@pytest.mark.parametrize(
    ("graph", "kind", "nodes"),
    [
        ({"1": {"inputs": {}}}, "invalid_prompt", []),
        ({"1": {"class_type": "Strange", "inputs": {}}}, "missing_node_type", []),
        ({"5": GRAPH["5"]}, "prompt_no_outputs", []),
        ({"9": GRAPH["9"]}, "prompt_outputs_failed_validation", ["9"]),
        (
            {**GRAPH, "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 1}}},
            "prompt_outputs_failed_validation",
            ["5"],
        ),
    ],
)
async def test_graph_when_wrong_then_refused_in_comfyuis_words(
    graph: object, kind: str, nodes: list[str], client: aiohttp.ClientSession
) -> None:
    status, answer = await told(client, "/prompt", {"prompt": graph})

    assert (status, answer["error"]["type"], list(answer["node_errors"])) == (400, kind, nodes)


async def test_jobs_when_listed_then_each_with_its_state(client: aiohttp.ClientSession) -> None:
    _, answer = await told(client, "/prompt", {"prompt": GRAPH})
    await ended(client, answer["prompt_id"])

    listed = await asked(client, "/api/jobs", status="completed", limit="5")
    job = await asked(client, f"/api/jobs/{answer['prompt_id']}")

    assert [each["id"] for each in listed["jobs"]] == [answer["prompt_id"]]
    assert listed["pagination"] == {"offset": 0, "limit": 5, "total": 1, "has_more": False}
    assert (job["status"], job["outputs_count"]) == ("completed", 1)
    async with client.get("/api/jobs/nothing") as missing:
        assert missing.status == 404


async def test_upload_when_the_name_is_taken_by_other_bytes_then_another_name(client: aiohttp.ClientSession) -> None:
    names = []
    for data, overwrite in ((b"a", "false"), (b"a", "false"), (b"b", "false"), (b"c", "true")):
        form = aiohttp.FormData({"type": "input", "overwrite": overwrite})
        form.add_field("image", data, filename="cup.png", content_type="image/png")
        async with client.post("/upload/image", data=form) as answer:
            names.append((await answer.json())["name"])

    assert names == ["cup.png", "cup.png", "cup (1).png", "cup.png"]


async def test_server_when_asked_about_itself_then_tells(client: aiohttp.ClientSession) -> None:
    stats = await asked(client, "/system_stats")
    info = await asked(client, "/object_info/KSampler")
    waiting = await asked(client, "/prompt")

    assert stats["devices"][0]["type"] == "cuda"
    assert "seed" in info["KSampler"]["input"]["required"]
    assert waiting == {"exec_info": {"queue_remaining": 0}}


async def test_socket_when_a_client_has_a_job_then_told_from_its_start_to_its_end(
    client: aiohttp.ClientSession,
) -> None:
    async with client.ws_connect("/ws", params={"clientId": "me"}) as mine, client.ws_connect("/ws") as others:
        _, answer = await told(client, "/prompt", {"prompt": GRAPH, "client_id": "me"})
        news = [await mine.receive_json(timeout=10)]
        while news[-1]["type"] != "executing" or news[-1]["data"]["node"] is not None:
            news.append(await mine.receive_json(timeout=10))
        heard = [await others.receive_json(timeout=10) for _ in range(2)]

    kinds = [each["type"] for each in news if each["type"] != "status"]
    assert kinds == [
        *("execution_start", "execution_cached", "executing", "executing"),
        *("executed", "execution_success", "executing"),
    ]
    assert news[0]["data"]["sid"] == "me"
    assert {each["data"]["prompt_id"] for each in news if each["type"] != "status"} == {answer["prompt_id"]}
    assert [each["type"] for each in heard] == ["status", "status"]
    assert heard[1]["data"]["status"]["exec_info"]["queue_remaining"] == 1
