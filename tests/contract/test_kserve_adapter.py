"""The ``kserve`` adapter keeps the promises of the port, in JSON and in binary tensors."""

import json
import pathlib
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest

from heddle.config import deployment
from heddle.core import artifact, faults, settle
from heddle.ports import provider
from heddle.providers import registry
from heddle.store import blobs
from tests.contract import provider_suite, scripted_server, tenant_artifacts

DONE = {
    "model_name": "relight",
    "id": "att_0190",
    "outputs": [{"name": "score", "shape": [1], "datatype": "FP32", "data": [0.5]}],
}


class KserveReplies(provider_suite.ProviderSuite):
    adapter = "kserve"
    call = ("POST", "/v2/models/relight/infer")

    def replies(self) -> provider_suite.Replies:
        return provider_suite.Replies(
            done=scripted_server.json_reply(200, DONE),
            refused=scripted_server.json_reply(400, {"error": "unexpected shape for input 'image'"}),
            limited=scripted_server.json_reply(429, {"error": "queue full"}, headers={"Retry-After": "7"}),
            ambiguous=scripted_server.json_reply(500, {"error": "inference failed"}),
            malformed=provider_suite.page(),
            cut_inside=scripted_server.cut_inside(200, json.dumps(DONE).encode()),
            too_large=scripted_server.reply(200, b"x" * 2_000_000, media_type="application/octet-stream"),
            echoing=scripted_server.json_reply(401, {"error": f"bad token {provider_suite.SECRET}"}),
        )


class TestKserve(KserveReplies):
    options: ClassVar[Mapping[str, Any]] = {"response_bytes_max": 1_000_000}


class TestKserveJson(KserveReplies):
    options: ClassVar[Mapping[str, Any]] = {"response_bytes_max": 1_000_000, "binary": False}


@pytest.fixture
async def server() -> AsyncIterator[scripted_server.ScriptedServer]:
    async with scripted_server.ScriptedServer() as server:
        yield server


@pytest.fixture
def artifacts(tmp_path: pathlib.Path) -> tenant_artifacts.TenantArtifacts:
    store = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=1_000_000, pixels_max=1_000)
    return tenant_artifacts.TenantArtifacts(store)


async def send(
    url: str, artifacts: provider.ArtifactReader, given: dict[str, Any], /, **options: object
) -> settle.Outcome:
    endpoint = deployment.Endpoint(name="there", adapter="kserve", url=url, scopes=("there",), options=options)
    made = registry.build(endpoint, {})
    outcome = await made.send(
        provider.ProviderRequest(
            attempt_id="att_0190",
            idempotency_key="key_1",
            model="segmenter",
            input=given,
            timeout_s=20.0,
            artifacts=artifacts,
        )
    )
    await made.close()
    return outcome


def binary_reply(outputs: list[dict[str, Any]], data: bytes, *, stated: int | None = None) -> scripted_server.Answer:
    head = json.dumps({"id": "att_0190", "outputs": outputs}).encode()
    length = len(head) if stated is None else stated
    return scripted_server.reply(
        200,
        head + data,
        media_type="application/octet-stream",
        headers={"Inference-Header-Content-Length": str(length)},
    )


async def test_picture_when_sent_binary_then_a_raw_rgb_tensor(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, DONE))
    photo = await provider_suite.stored(artifacts, provider_suite.picture(size_px=(8, 6)))

    await send(server.url, artifacts, {"image": photo.as_json(), "threshold": 0.5, "note": None})

    (request,) = server.requests
    length = int(request.headers["inference-header-content-length"])
    head, data = json.loads(request.body[:length]), request.body[length:]
    assert head["id"] == "att_0190"
    assert head["inputs"] == [
        {"name": "image", "shape": [6, 8, 3], "datatype": "UINT8", "parameters": {"binary_data_size": 144}},
        {"name": "threshold", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}},
    ]
    assert data[144:] == struct.pack("<f", 0.5)


async def test_inputs_when_sent_as_json_then_named_typed_and_shaped_as_configured(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, DONE))
    inputs = {"points": {"tensor": "POINTS", "datatype": "FP64", "shape": [1, 2, 2]}}

    await send(
        server.url,
        artifacts,
        {"points": [[1, 2], [3, 4]], "words": ["a", "ü"], "flags": [True, False]},
        binary=False,
        inputs=inputs,
        model_name="other",
        model_version="3",
    )

    (request,) = server.requests
    assert request.path == "/v2/models/other/versions/3/infer"
    assert request.json["inputs"] == [
        {"name": "POINTS", "shape": [1, 2, 2], "datatype": "FP64", "data": [1.0, 2.0, 3.0, 4.0]},
        {"name": "words", "shape": [2], "datatype": "BYTES", "data": ["a", "ü"]},
        {"name": "flags", "shape": [2], "datatype": "BOOL", "data": [True, False]},
    ]


@pytest.mark.parametrize("is_binary", [True, False])
async def test_mask_when_pictures_are_asked_for_then_stored_as_png(
    is_binary: bool, server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    described = {"name": "mask", "shape": [2, 3], "datatype": "UINT8"}
    pixels = [0, 255, 0, 255, 0, 255]
    replies = {
        True: binary_reply([{**described, "parameters": {"binary_data_size": 6}}], bytes(pixels)),
        False: scripted_server.json_reply(200, {"id": "att_0190", "outputs": [{**described, "data": pixels}]}),
    }
    server.script(replies[is_binary])

    outcome = await send(server.url, artifacts, {"x": 1}, output_media="image/png", outputs={"mask": "cutout"})

    assert isinstance(outcome, settle.Completed)
    mask = artifact.Artifact.from_json(outcome.output["cutout"])
    assert mask.media_type == "image/png"
    assert (await artifacts.read(mask)).startswith(b"\x89PNG")


async def test_tensors_when_answered_binary_then_nested_lists_of_their_shape(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    words = b"".join(struct.pack("<I", len(word)) + word for word in (b"cat", "ü".encode()))
    outputs: list[dict[str, Any]] = [
        {"name": "boxes", "shape": [2, 2], "datatype": "INT16", "parameters": {"binary_data_size": 8}},
        {"name": "labels", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(words)}},
        {"name": "half", "shape": [1], "datatype": "FP16", "data": [0.5]},
    ]
    server.script(binary_reply(outputs, struct.pack("<4h", 1, -2, 3, 4) + words))

    outcome = await send(server.url, artifacts, {"x": 1})

    assert outcome == settle.Completed(output={"boxes": [[1, -2], [3, 4]], "labels": ["cat", "ü"], "half": [0.5]})


def one(**changes: object) -> dict[str, Any]:
    return {"id": "att_0190", "outputs": [{"name": "y", "shape": [2], "datatype": "INT32", "data": [1, 2], **changes}]}


@pytest.mark.parametrize(
    "answer",
    [
        scripted_server.json_reply(200, {**one(), "id": "att_other"}),
        scripted_server.json_reply(200, {"outputs": []}),
        scripted_server.json_reply(200, {"id": "att_0190"}),
        scripted_server.json_reply(200, one(shape=[3])),
        scripted_server.json_reply(200, one(shape=[-1])),
        scripted_server.json_reply(200, one(shape=[2**20, 2**20, 2**20])),
        scripted_server.json_reply(200, one(datatype="INT7")),
        scripted_server.json_reply(200, one(data=[1, 2**40])),
        scripted_server.json_reply(200, one(data=["a", "b"])),
        scripted_server.json_reply(200, one(data=None)),
        scripted_server.json_reply(200, one(datatype="FP32", data=[1, 10**400])),
        scripted_server.reply(
            200, b'{"id": "att_0190", "outputs": [{"name": "y", "shape": [1], "datatype": "FP32", "data": [NaN]}]}'
        ),
        binary_reply([{"name": "y", "shape": [2], "datatype": "UINT8", "parameters": {"binary_data_size": 3}}], b"ab"),
        binary_reply([{"name": "y", "shape": [2], "datatype": "UINT8", "parameters": {"binary_data_size": 2}}], b"abc"),
        binary_reply([{"name": "y", "shape": [3], "datatype": "UINT8", "parameters": {"binary_data_size": 2}}], b"ab"),
        binary_reply(
            [{"name": "y", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}}], b"\xff\0\0\0a"
        ),
        binary_reply([], b"", stated=10**6),
    ],
    ids=range(17),
)
async def test_answer_when_it_does_not_add_up_then_bad_output(
    answer: scripted_server.Answer, server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(answer)

    outcome = await send(server.url, artifacts, {"x": 1})

    assert provider_suite.fault_of(outcome) is faults.Fault.BAD_OUTPUT


@pytest.mark.parametrize(
    "given",
    [
        {"x": [[1, 2], [3]]},
        {"x": [1, [2]]},
        {"x": [1, "a"]},
        {"x": [True, 2]},
        {"x": {"a": 1}},
        {"x": [2**70]},
        {"x": [[[[[[[[[1]]]]]]]]]},
        {"x": []},
    ],
    ids=str,
)
async def test_input_when_it_is_no_tensor_then_rejected_naming_it_and_nothing_sent(
    given: dict[str, Any], server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    outcome = await send(server.url, artifacts, given)

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
    assert "x " in provider_suite.message_of(outcome)
    assert server.requests == []


async def test_file_when_no_picture_then_sent_as_bytes_and_refused_in_json(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.json_reply(200, DONE))
    sound = await provider_suite.stored(artifacts, b"RIFF\x04\0\0\0WAVE\xff\xfe")

    await send(server.url, artifacts, {"sound": sound.as_json()})
    refused = await send(server.url, artifacts, {"sound": sound.as_json()}, binary=False)

    (request,) = server.requests
    assert request.body.endswith(struct.pack("<I", 14) + b"RIFF\x04\0\0\0WAVE\xff\xfe")
    assert provider_suite.fault_of(refused) is faults.Fault.REJECTED_PERMANENT


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"inputs": {"x": {"datatype": "FLOAT"}}}, "inputs.x.datatype"),
        ({"inputs": {"x": {"shape": [0]}}}, "inputs.x.shape"),
        ({"inputs": {"x": 1}}, "inputs.x"),
        ({"outputs": {"y": 1}}, "outputs.y"),
        ({"output_media": "image/gif"}, "none, image/png"),
        ({"payed": True}, "payed"),
    ],
    ids=str,
)
def test_options_when_one_is_wrong_then_the_refusal_names_it(options: Mapping[str, Any], named: str) -> None:
    endpoint = deployment.Endpoint(name="there", adapter="kserve", url="http://h", scopes=("there",), options=options)

    with pytest.raises(registry.EndpointRefused, match=r"\[endpoints.there\]") as refused:
        registry.build(endpoint, {})

    assert named in str(refused.value)
