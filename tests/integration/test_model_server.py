"""The example's model server speaks KServe V2 over a real socket: JSON and binary, in and out, and refuses by name."""

import asyncio
import base64
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time
import typing
from collections import abc

import aiohttp
import pytest

cv2 = pytest.importorskip("cv2", reason="the example needs the extra `demo`: pip install heddle[demo]")
pytest.importorskip("skimage", reason="the example needs the extra `demo`: pip install heddle[demo]")

import numpy as np  # noqa: E402

from examples.product_shoot import imaging, photos  # noqa: E402

WAIT_S = 30.0
MODEL = "/v2/models/segmenter"


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[str]:
    port_file = tmp_path_factory.mktemp("model-server") / "port"
    command = [sys.executable, "-m", "examples.servers.model_server", "--port", "0", "--port-file", str(port_file)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    program = subprocess.Popen(
        command, env=environment, cwd=pathlib.Path(__file__).parents[2], stderr=subprocess.DEVNULL
    )
    try:
        ends_at_s = time.monotonic() + WAIT_S
        while not port_file.exists():
            assert program.poll() is None, "the server ended before it listened"
            assert time.monotonic() < ends_at_s, "the server does not listen"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{int(port_file.read_text())}"
    finally:
        program.send_signal(signal.SIGTERM)
        assert program.wait(WAIT_S) == 0


@pytest.fixture
async def session(base_url: str) -> abc.AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(base_url, timeout=aiohttp.ClientTimeout(total=WAIT_S)) as opened:
        yield opened


@pytest.fixture(scope="module")
def coin() -> bytes:
    return next(photo.content for photo in photos.packaged_photos() if photo.name == "silver-coin")


def file_request(content: bytes, **changes: object) -> tuple[bytes, dict[str, str]]:
    """Build a request whose image is an encoded file behind the JSON."""
    element = struct.pack("<I", len(content)) + content
    image = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(element)}}
    header = json.dumps({"inputs": [image]} | changes).encode()
    return header + element, {"Inference-Header-Content-Length": str(len(header))}


async def infer(
    session: aiohttp.ClientSession, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    async with session.post(f"{MODEL}/infer", data=body, headers=headers) as answer:
        return answer.status, dict(answer.headers), await answer.read()


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v2/health/live", "live"),
        ("/v2/health/ready", "ready"),
        (f"{MODEL}/ready", "ready"),
        (MODEL, "platform"),
        (f"{MODEL}/versions/1", "inputs"),
        ("/v2", "extensions"),
    ],
)
async def test_server_when_asked_for_health_and_metadata_then_answers(
    session: aiohttp.ClientSession, path: str, field: str
) -> None:
    async with session.get(path) as answer:
        told = await answer.json()

    assert answer.status == 200
    assert told[field]


async def test_infer_when_file_is_sent_binary_then_mask_comes_as_json_with_the_id(
    session: aiohttp.ClientSession, coin: bytes
) -> None:
    status, _, content = await infer(session, *file_request(coin, id="call-7"))

    answer = json.loads(content)
    mask = np.asarray(answer["outputs"][0]["data"], dtype=np.uint8).reshape(answer["outputs"][0]["shape"])
    assert (status, answer["id"], answer["model_name"]) == (200, "call-7", "segmenter")
    assert mask.shape == imaging.decode_image(coin).shape[:2]
    assert set(np.unique(mask)) == {0, 255}


async def test_infer_when_tensor_is_binary_both_ways_then_agrees_with_json(
    session: aiohttp.ClientSession, coin: bytes
) -> None:
    image = imaging.decode_image(coin)[::2, ::2].copy()
    described = {"name": "image", "datatype": "UINT8", "shape": list(image.shape)}
    wanted = [{"name": "mask", "parameters": {"binary_data": True}}, {"name": "coverage"}]
    header = json.dumps(
        {"inputs": [described | {"parameters": {"binary_data_size": image.size}}], "outputs": wanted}
    ).encode()
    as_json = json.dumps({"inputs": [described | {"data": image.reshape(-1).tolist()}]}).encode()
    nested = json.dumps({"inputs": [described | {"data": image.tolist()}]}).encode()

    binary = await infer(session, header + image.tobytes(), {"Inference-Header-Content-Length": str(len(header))})
    flat_answer = json.loads((await infer(session, as_json, {}))[2])
    nested_answer = json.loads((await infer(session, nested, {}))[2])

    split_at = int(binary[1]["Inference-Header-Content-Length"])
    told = json.loads(binary[2][:split_at])
    mask = np.frombuffer(binary[2][split_at:], dtype=np.uint8)
    assert [output["name"] for output in told["outputs"]] == ["mask", "coverage"]
    assert told["outputs"][0]["parameters"]["binary_data_size"] == mask.size
    assert mask.tolist() == flat_answer["outputs"][0]["data"] == nested_answer["outputs"][0]["data"]
    assert told["outputs"][1]["data"][0] == pytest.approx(float(mask.mean()) / 255, abs=1e-4)


async def test_infer_when_png_is_asked_for_then_every_output_can_be_binary_by_default(
    session: aiohttp.ClientSession, coin: bytes
) -> None:
    request = file_request(coin, outputs=[{"name": "mask_png"}], parameters={"binary_data_output": True})

    _, headers, content = await infer(session, *request)

    png = content[int(headers["Inference-Header-Content-Length"]) + 4 :]
    assert imaging.decode_mask(png).shape == imaging.decode_image(coin).shape[:2]


async def test_infer_when_file_comes_as_base64_in_json_then_is_taken(
    session: aiohttp.ClientSession, coin: bytes
) -> None:
    image = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(coin).decode()]}
    body = json.dumps({"inputs": [image], "outputs": [{"name": "coverage"}]}).encode()

    status, _, content = await infer(session, body, {})

    assert (status, 0.2 < json.loads(content)["outputs"][0]["data"][0] < 0.8) == (200, True)


async def test_health_when_pictures_are_computed_then_loop_still_answers(
    session: aiohttp.ClientSession, coin: bytes
) -> None:
    busy = [asyncio.create_task(infer(session, *file_request(coin))) for _ in range(6)]

    async with session.get("/v2/health/live") as answer:
        live = answer.status
    done_before = sum(task.done() for task in busy)
    statuses = [status for status, _, _ in await asyncio.gather(*busy)]

    assert (live, statuses) == (200, [200] * 6)
    assert done_before < 6


def tensor(**changes: object) -> bytes:
    image: dict[str, typing.Any] = {"name": "image", "datatype": "UINT8", "shape": [16, 16, 3], "data": [0] * 768}
    return json.dumps({"inputs": [image | changes]}).encode()


@pytest.mark.parametrize(
    ("body", "headers", "named"),
    [
        (b"{", {}, "not JSON"),
        (b"[" * 50_000, {}, "not JSON"),
        (b"{}", {}, "inputs"),
        (tensor(name="photo"), {}, "image"),
        (tensor(shape=[16, 48]), {}, "UINT8 [height, width, 3]"),
        (tensor(shape=[16, -1, 3]), {}, "shape"),
        (tensor(shape=[10**9, 10**9, 3]), {}, "shape"),
        (tensor(data=[0, 1]), {}, "shape"),
        (tensor(data=[300] * 768), {}, "UINT8"),
        (tensor(data=["x"] * 768), {}, "UINT8"),
        (tensor(data=None), {}, "data"),
        (tensor(datatype="FP64"), {}, "datatype"),
        (tensor(shape=[8, 32, 3]), {}, "32 x 8"),
        (tensor(parameters={"binary_data_size": 5}), {}, "both"),
        (b"x", {"Inference-Header-Content-Length": "99"}, "Inference-Header-Content-Length"),
        (b"x", {"Inference-Header-Content-Length": "-1"}, "Inference-Header-Content-Length"),
        (*file_request(b"no picture"), "JPEG"),
        (*file_request(b"x", outputs=[{"name": "depth"}]), "depth"),
        (
            json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["%"]}]}).encode(),
            {},
            "base64",
        ),
    ],
)
async def test_infer_when_request_is_wrong_then_400_names_it(
    session: aiohttp.ClientSession, body: bytes, headers: dict[str, str], named: str
) -> None:
    status, _, content = await infer(session, body, headers)

    assert status == 400
    assert named in json.loads(content)["error"]


async def test_infer_when_model_is_unknown_then_404_in_the_same_form(session: aiohttp.ClientSession) -> None:
    async with session.post("/v2/models/other/infer", data=b"{}") as answer:
        told = await answer.json()

    assert (answer.status, "other" in told["error"]) == (404, True)


async def test_infer_when_body_is_too_large_then_413(session: aiohttp.ClientSession) -> None:
    async def endless() -> abc.AsyncIterator[bytes]:
        for _ in range(66):
            yield bytes(1024 * 1024)

    async with session.post(f"{MODEL}/infer", data=endless()) as answer:
        told = await answer.json()

    assert (answer.status, "larger" in told["error"]) == (413, True)
