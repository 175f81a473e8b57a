"""The ``kserve`` adapter and the twin understand each other, on good days and on bad ones."""

import collections
import dataclasses
import functools
import io
import pathlib
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from heddle.core import artifact, faults, identity, settle
from heddle.ports import provider
from heddle.twins.kit import server
from heddle.twins.kserve import twin
from tests.contract import provider_suite
from tests.integration import twin_caller

running = functools.partial(twin_caller.running, twin.KserveTwin, seed=1, latency_s=0.001)
made = functools.partial(twin_caller.made, "kserve", secret=None)


@pytest.fixture
async def there(tmp_path: pathlib.Path) -> AsyncIterator[server.Running]:
    async with running(tmp_path) as there:
        yield there


@pytest.fixture
def request_of(tmp_path: pathlib.Path) -> provider.ProviderRequest:
    return twin_caller.request(tmp_path, asked={}, model="segmenter")


async def sent(there: provider.Provider, request: provider.ProviderRequest, /, **changes: object) -> settle.Outcome:
    outcome = await there.send(dataclasses.replace(request, **changes))  # type: ignore[arg-type]
    await there.close()
    return outcome


@pytest.mark.parametrize("is_binary", [True, False])
async def test_segment_when_a_picture_is_sent_then_a_mask_of_its_size(
    is_binary: bool, there: server.Running, request_of: provider.ProviderRequest
) -> None:
    photo = await provider_suite.stored(request_of.artifacts, provider_suite.picture(size_px=(8, 6)))
    adapter = made(there.url, binary=is_binary, output_media="image/png")

    outcome = await sent(adapter, request_of, input={"image": photo.as_json(), "threshold": 0.5})

    assert isinstance(outcome, settle.Completed), outcome
    mask = await request_of.artifacts.read(artifact.Artifact.from_json(outcome.output["mask"]))
    with Image.open(io.BytesIO(mask)) as picture:
        assert picture.size == (8, 6)
    assert 0.0 < outcome.output["coverage"][0] < 1.0


async def test_bf16_when_sent_then_comes_back_rounded(
    there: server.Running, request_of: provider.ProviderRequest
) -> None:
    adapter = made(there.url, inputs={"values": {"tensor": "INPUT0", "datatype": "BF16"}})

    outcome = await sent(adapter, request_of, model="bf16_identity", input={"values": [1.0, 1.001, -2.5]})

    assert outcome == settle.Completed(output={"OUTPUT0": [1.0, 1.0, -2.5]})


async def test_sequence_when_its_inputs_are_named_then_the_server_keeps_its_total(
    there: server.Running, request_of: provider.ProviderRequest
) -> None:
    sequence = {"id": "session", "start": "is_first", "end": "is_last"}
    inputs = {"number": {"tensor": "INPUT", "datatype": "INT32"}}
    adapter = made(there.url, sequence=sequence, inputs=inputs, outputs={"OUTPUT": "total"}, paid=True)
    given = [{"is_first": True}, {}, {"is_last": True}]

    outcomes = [
        await adapter.send(
            dataclasses.replace(
                request_of, model="accumulator", attempt_id=f"att_{step}", input={"number": 2, "session": "s", **flags}
            )
        )
        for step, flags in enumerate(given)
    ]
    await adapter.close()

    assert [outcome.output for outcome in outcomes if isinstance(outcome, settle.Completed)] == [
        {"total": [2]},
        {"total": [4]},
        {"total": [6]},
    ]


async def test_time_when_it_is_too_short_then_the_server_gives_up_by_itself(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with running(tmp_path, latency_s=30.0) as there:
        adapter = made(there.url, send_timeout=True, priorities={"standard": 2})

        outcome = await sent(adapter, request_of, model="simple_identity", input={"INPUT0": ["a"]})

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_TRANSIENT
    assert "Request timeout expired" in provider_suite.message_of(outcome)


@pytest.mark.parametrize("operation", ["generate", "generate_stream"])
async def test_text_when_generated_then_whole_and_in_pieces(
    operation: str, there: server.Running, request_of: provider.ProviderRequest
) -> None:
    heard: list[identity.JsonValue] = []
    adapter = made(there.url, operation=operation, parameters={"max_tokens": 3})

    outcome = await sent(adapter, request_of, model="llm", input={"text_input": "Hi"}, on_delta=heard.append)

    assert isinstance(outcome, settle.Completed), outcome
    text = outcome.output["text_output"]
    assert len(text.split()) == 3
    assert "".join(map(str, heard)) == (text if operation == "generate_stream" else "")


async def test_stream_when_an_error_comes_after_the_first_words_then_no_result(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with running(tmp_path, lie=1.0) as there:
        adapter = made(there.url, operation="generate_stream")

        outcome = await sent(adapter, request_of, model="llm", input={"text_input": "Hi"})

    assert provider_suite.fault_of(outcome) is faults.Fault.PARTIAL


@pytest.mark.parametrize("cut_at_bytes", [0, 40, 200, 300])
async def test_stream_when_it_is_cut_anywhere_then_no_result(
    cut_at_bytes: int, tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with running(tmp_path, cut=1.0, cut_at_bytes=cut_at_bytes) as there:
        adapter = made(there.url, operation="generate_stream")

        outcome = await sent(adapter, request_of, model="llm", input={"text_input": "Hi"})

    fault = provider_suite.fault_of(outcome)
    assert fault is not None
    assert faults.FAULTS[fault].is_retryable


async def test_check_when_a_model_is_unloaded_then_named_with_the_reason(there: server.Running) -> None:
    assert isinstance(there.twin, twin.KserveTwin)
    there.twin._unloaded.add("llm")
    adapter = made(there.url, models=["simple", "llm"])

    trouble = await adapter.check()
    await adapter.close()

    assert trouble is not None
    assert "/v2/models/llm/ready answered 400" in trouble
    assert "UNAVAILABLE unloaded" in trouble


async def test_bad_day_when_every_fault_happens_then_each_outcome_is_one_that_may_be_tried_again(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    shares = dict.fromkeys(("throttled", "server_error", "cut", "wrong_type", "huge", "lie"), 0.12)
    async with running(tmp_path, **shares, failed=0.1, cut_at_bytes=30) as there:
        adapter = made(there.url, response_bytes_max=100_000)
        outcomes = [
            await adapter.send(
                dataclasses.replace(
                    request_of, model="simple_identity", attempt_id=f"att_{number}", input={"INPUT0": [f"{number}"]}
                )
            )
            for number in range(60)
        ]
        await adapter.close()
        sends = there.twin.requests.total()

    found = collections.Counter(
        "done" if isinstance(outcome, settle.Completed) else str(provider_suite.fault_of(outcome))
        for outcome in outcomes
    )
    assert sends == 60
    assert set(found) == {"done", "rejected_transient", "bad_output", "too_large"}, found
    assert twin_caller.books(tmp_path).paid_twice == ()
