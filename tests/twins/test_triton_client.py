"""NVIDIA's own client works against the twin ``kserve``: that is the proof that the twin speaks Triton."""

import asyncio
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

blocking = pytest.importorskip("tritonclient.http", reason="pip install tritonclient[http]")
tritonhttp = pytest.importorskip("tritonclient.http.aio", reason="pip install tritonclient[http]")

from tritonclient.utils import InferenceServerException  # noqa: E402 - there only when the client is

from heddle.twins.kit import faults, options, server  # noqa: E402
from heddle.twins.kserve import twin  # noqa: E402

PLAN = faults.Plan(seed=1, latency_s=0.001)


def running(tmp_path: pathlib.Path, plan: faults.Plan = PLAN) -> server.Running:
    return server.Running(twin.KserveTwin(options.Options(ledger=tmp_path / "ledger.jsonl", plan=plan)))


@pytest.fixture
async def client(tmp_path: pathlib.Path) -> AsyncIterator[Any]:
    async with (
        running(tmp_path) as there,
        tritonhttp.InferenceServerClient(there.url.removeprefix("http://")) as client,
    ):
        yield client


def inputs(*, is_binary: bool) -> list[Any]:
    made = []
    for name, first in (("INPUT0", 0), ("INPUT1", 1)):
        tensor = tritonhttp.InferInput(name, [1, 16], "INT32")
        tensor.set_data_from_numpy(np.arange(first, first + 16, dtype=np.int32).reshape(1, 16), binary_data=is_binary)
        made.append(tensor)
    return made


async def test_health_when_asked_then_live_ready_and_per_model(client: Any) -> None:
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("simple")
    assert not await client.is_model_ready("nothing")


async def test_metadata_when_asked_then_as_triton_gives_it(client: Any) -> None:
    told = await client.get_server_metadata()
    model = await client.get_model_metadata("simple", model_version="1")
    config = await client.get_model_config("accumulator")

    assert "binary_tensor_data" in told["extensions"]
    assert model["inputs"][0] == {"name": "INPUT0", "datatype": "INT32", "shape": [1, 16]}
    assert "sequence_batching" in config


@pytest.mark.parametrize("is_binary_in", [True, False])
@pytest.mark.parametrize("is_binary_out", [True, False])
async def test_infer_when_tensors_go_either_way_then_added_and_subtracted(
    is_binary_in: bool, is_binary_out: bool, client: Any
) -> None:
    wanted = [tritonhttp.InferRequestedOutput(name, binary_data=is_binary_out) for name in ("OUTPUT0", "OUTPUT1")]

    result = await client.infer("simple", inputs(is_binary=is_binary_in), outputs=wanted, request_id="req-1")

    assert result.get_response()["id"] == "req-1"
    assert result.as_numpy("OUTPUT0").tolist() == [[2 * number + 1 for number in range(16)]]
    assert result.as_numpy("OUTPUT1").tolist() == [[-1] * 16]


async def test_infer_when_no_outputs_are_named_then_all_come(client: Any) -> None:
    result = await client.infer("simple", inputs(is_binary=True), request_compression_algorithm="gzip")

    assert result.as_numpy("OUTPUT1").tolist() == [[-1] * 16]


async def test_bytes_when_sent_then_come_back(client: Any) -> None:
    words = np.array(["lamp", "ü", ""], dtype=np.object_)
    tensor = tritonhttp.InferInput("INPUT0", [3], "BYTES")
    tensor.set_data_from_numpy(words)

    result = await client.infer("simple_identity", [tensor])

    assert [word.decode() for word in result.as_numpy("OUTPUT0")] == ["lamp", "ü", ""]


async def test_blocking_client_when_used_then_answers_now_and_later(tmp_path: pathlib.Path) -> None:
    def work(url: str) -> list[list[list[int]]]:
        with blocking.InferenceServerClient(url, concurrency=2) as client:
            now = client.infer("simple", [blocking_input(name) for name in ("INPUT0", "INPUT1")])
            later = client.async_infer("simple", [blocking_input(name) for name in ("INPUT0", "INPUT1")])
            return [result.as_numpy("OUTPUT0").tolist() for result in (now, later.get_result())]

    async with running(tmp_path) as there:
        answers = await asyncio.to_thread(work, there.url.removeprefix("http://"))

    assert answers == [[[2] * 16]] * 2


def blocking_input(name: str) -> Any:
    tensor = blocking.InferInput(name, [1, 16], "INT32")
    tensor.set_data_from_numpy(np.ones((1, 16), dtype=np.int32))
    return tensor


async def test_sequence_when_followed_then_totals_and_a_start_is_needed(
    client: Any,
) -> None:
    async def add(number: int, **flags: Any) -> int:
        tensor = tritonhttp.InferInput("INPUT", [1], "INT32")
        tensor.set_data_from_numpy(np.array([number], dtype=np.int32))
        result = await client.infer("accumulator", [tensor], sequence_id=42, **flags)
        return int(result.as_numpy("OUTPUT")[0])

    with pytest.raises(InferenceServerException, match="START flag"):
        await add(1)
    totals = [await add(1, sequence_start=True), await add(2), await add(3, sequence_end=True)]

    assert totals == [1, 3, 6]


async def test_timeout_when_shorter_than_the_work_then_refused_as_unavailable(tmp_path: pathlib.Path) -> None:
    async with (
        running(tmp_path, faults.Plan(seed=1, latency_s=0.5)) as there,
        tritonhttp.InferenceServerClient(there.url.removeprefix("http://")) as client,
    ):
        with pytest.raises(InferenceServerException, match="Request timeout expired") as refused:
            await client.infer("simple", inputs(is_binary=True), priority=1, timeout=1_000)

    assert refused.value.status() == "503"


@pytest.mark.parametrize(
    ("model", "names", "sentence"),
    [("nothing", ["INPUT0"], "unknown model"), ("simple", ["INPUT0"], "missing required input")],
)
async def test_infer_when_refused_then_the_client_reads_the_error(
    model: str, names: list[str], sentence: str, client: Any
) -> None:
    chosen = [tensor for tensor in inputs(is_binary=True) if tensor.name() in names]

    with pytest.raises(InferenceServerException, match=sentence):
        await client.infer(model, chosen)


async def test_repository_when_a_model_is_unloaded_then_not_ready_and_listed_so(
    client: Any,
) -> None:
    await client.unload_model("simple")

    index = {each["name"]: each for each in await client.get_model_repository_index()}
    assert (index["simple"]["state"], index["simple"]["reason"]) == ("UNAVAILABLE", "unloaded")
    assert not await client.is_model_ready("simple")
    await client.load_model("simple")
    assert await client.is_model_ready("simple")


async def test_statistics_when_asked_then_inferences_are_counted(client: Any) -> None:
    await client.infer("simple", inputs(is_binary=True))

    told = await client.get_inference_statistics("simple")

    assert told["model_stats"][0]["inference_count"] == 1
    assert await client.get_system_shared_memory_status() == []
    assert (await client.get_log_settings())["log_info"] is True
