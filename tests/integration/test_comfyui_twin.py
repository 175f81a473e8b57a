"""The ``comfyui`` adapter and the twin understand each other, on good days and on bad ones."""

import dataclasses
import functools
import pathlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from heddle.core import artifact, faults, run, settle
from heddle.ports import provider
from heddle.providers.comfyui import wire
from heddle.twins.comfyui import twin
from heddle.twins.kit import server
from tests.contract import provider_suite
from tests.integration import twin_caller
from tests.twins import invented

RUN = "01926f3e-0000-7000-8000-000000000001"
GRAPH: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": "{input.seed}", "steps": 20, "cfg": "{input.cfg?}", "latent_image": ["5", 0]},
    },
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "shots/a"}},
    "12": {"class_type": "PreviewAny", "inputs": {"source": ["3", 0]}},
}
QUICK: Mapping[str, Any] = {"seed": 1, "latency_s": 0.001}
SLOW: Mapping[str, Any] = {"seed": 1, "latency_s": 60.0}
LOOKS_MAX = 2_000
made = functools.partial(
    twin_caller.made,
    "comfyui",
    secret=None,
    graph=GRAPH,
    outputs={"image": "9", "words": "12/text"},
    poll_after_s=0.05,
)


def made_twin(folder: pathlib.Path, plan: Mapping[str, Any] = QUICK) -> twin.ComfyuiTwin:
    return twin.ComfyuiTwin(invented.given(folder, **plan))


@pytest.fixture
def request_of(tmp_path: pathlib.Path) -> provider.ProviderRequest:
    return twin_caller.request(tmp_path, asked={"seed": 7, "cfg": 7.5}, attempt_id=f"{RUN}.1.1", model="product_shot")


@pytest.fixture
async def there(tmp_path: pathlib.Path) -> AsyncIterator[server.Running]:
    async with server.Running(made_twin(tmp_path)) as there:
        yield there


def handle_of(outcome: settle.Outcome) -> str:
    assert isinstance(outcome, settle.Accepted), outcome
    return outcome.handle


async def test_graph_when_it_runs_then_its_picture_and_words_are_kept(
    there: server.Running, request_of: provider.ProviderRequest
) -> None:
    adapter = made(there.url)

    outcome = await twin_caller.finished(adapter, handle_of(await adapter.send(request_of)), request_of)
    await adapter.close()

    assert isinstance(outcome, settle.Completed), outcome
    picture = artifact.Artifact.from_json(outcome.output["image"])
    assert (await request_of.artifacts.read(picture)).startswith(b"\x89PNG")
    assert outcome.output["words"][0].startswith("a picture of")


async def test_photo_when_in_the_input_then_stored_and_found_by_the_graph(
    there: server.Running, request_of: provider.ProviderRequest
) -> None:
    photo = await provider_suite.stored(request_of.artifacts, provider_suite.picture())
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "{input.photo}"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "shot"}},
    }
    adapter = made(there.url, graph=graph, outputs={})
    request = dataclasses.replace(request_of, input={"photo": photo.as_json()})

    outcome = await twin_caller.finished(adapter, handle_of(await adapter.send(request)), request)
    await adapter.close()

    assert isinstance(outcome, settle.Completed), outcome
    assert len(outcome.output["files"]) == 1


async def test_graph_when_a_value_is_out_of_range_then_refused_naming_the_node(
    there: server.Running, request_of: provider.ProviderRequest
) -> None:
    adapter = made(there.url)

    outcome = await adapter.send(dataclasses.replace(request_of, input={"seed": 7, "cfg": 101}))
    await adapter.close()

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
    assert "node 3 (KSampler) Value 101 bigger than max of 100.0" in provider_suite.message_of(outcome)


async def test_graph_when_one_of_two_outputs_is_refused_then_nothing_of_it_runs(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    standing = made_twin(tmp_path, SLOW)
    graph = {**GRAPH, "20": {"class_type": "PreviewImage", "inputs": {}}}
    async with server.Running(standing) as there:
        adapter = made(there.url, graph=graph)
        outcome = await adapter.send(request_of)
        left = await adapter.lookup(request_of)
        await adapter.close()

    assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
    assert "node 20 (PreviewImage) Required input is missing: images" in provider_suite.message_of(outcome)
    assert isinstance(left, settle.Absent | settle.Accepted)
    assert standing.queue.pending == []


async def test_send_when_its_answer_is_cut_off_then_the_job_is_found_and_not_made_twice(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with server.Running(made_twin(tmp_path, {**QUICK, "cut": 1.0})) as there:
        adapter = made(there.url)
        lost = await adapter.send(request_of)
        found = await adapter.lookup(request_of)
        outcome = await twin_caller.finished(adapter, handle_of(found), request_of)
        await adapter.close()

    assert isinstance(lost, settle.Unknown)
    assert isinstance(outcome, settle.Completed), outcome
    assert twin_caller.books(tmp_path).paid == 1


async def test_next_attempt_when_the_first_was_left_behind_then_its_job_is_taken_over(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with server.Running(made_twin(tmp_path, SLOW)) as there:
        adapter = made(there.url)
        first = handle_of(await adapter.send(request_of))
        second = handle_of(await adapter.send(dataclasses.replace(request_of, attempt_id=f"{RUN}.1.2")))
        other = handle_of(
            await adapter.send(dataclasses.replace(request_of, attempt_id=f"{RUN}.1.3", input={"seed": 8, "cfg": 1}))
        )
        await adapter.close()

    assert first == second != other
    assert twin_caller.books(tmp_path).paid == 2


async def test_job_when_the_server_restarts_then_absent_and_made_anew(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with server.Running(made_twin(tmp_path, SLOW)) as there:
        port = int(there.url.rpartition(":")[2])
        adapter = made(there.url)
        handle = handle_of(await adapter.send(request_of))
    reborn = twin.ComfyuiTwin(dataclasses.replace(invented.given(tmp_path, **QUICK), port=port))
    async with server.Running(reborn):
        lost = await adapter.poll(handle, request_of)
        again = dataclasses.replace(request_of, attempt_id=f"{RUN}.1.2")
        outcome = await twin_caller.finished(adapter, handle_of(await adapter.send(again)), again)
        await adapter.close()

    assert lost == settle.Absent()
    assert isinstance(outcome, settle.Completed), outcome


async def test_queue_when_full_then_places_are_told_and_an_interactive_run_goes_first(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with server.Running(made_twin(tmp_path, SLOW)) as there:
        adapter = made(there.url)
        handles = []
        for ordinal, priority in enumerate(
            (run.Priority.STANDARD, run.Priority.STANDARD, run.Priority.BATCH, run.Priority.INTERACTIVE), start=1
        ):
            request = dataclasses.replace(request_of, attempt_id=f"{RUN}.{ordinal}.1", priority=priority)
            handles.append(handle_of(await adapter.send(request)))
        notes = [await adapter.poll(handle, request_of) for handle in handles]
        await adapter.close()

    assert [note.note for note in notes if isinstance(note, settle.StillRunning)] == [
        "running",
        "queued, 2 before it",
        "queued, 3 before it",
        "queued, 1 before it",
    ]


async def test_cancel_when_running_or_waiting_then_over_and_the_next_one_runs(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    standing = made_twin(tmp_path, SLOW)
    async with server.Running(standing) as there:
        adapter = made(there.url)
        running, waiting = [
            handle_of(await adapter.send(dataclasses.replace(request_of, attempt_id=f"{RUN}.{ordinal}.1")))
            for ordinal in (1, 2)
        ]
        said = [await adapter.cancel(handle, request_of) for handle in (waiting, running, waiting)]
        outcomes = [await twin_caller.finished(adapter, handle, request_of) for handle in (running, waiting)]
        await adapter.close()

    assert said == [True, True, False]
    assert provider_suite.fault_of(outcomes[0]) is faults.Fault.CANCELLED
    assert outcomes[1] == settle.Absent()
    assert standing.queue.running is None


async def test_paid_job_when_taken_out_of_the_queue_then_absent_if_the_server_remembers_an_older_one(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    async with server.Running(made_twin(tmp_path, SLOW)) as there:
        adapter = made(there.url, paid=True)
        old, late = f"{RUN}.1.1", "ffffffff-ffff-7000-8000-000000000001.1.1"
        await adapter.send(dataclasses.replace(request_of, attempt_id=old))
        waiting = [dataclasses.replace(request_of, attempt_id=each) for each in (f"{RUN}.2.1", late)]
        handles = [handle_of(await adapter.send(request)) for request in waiting]
        said = [await adapter.cancel(handle, request_of) for handle in handles]
        outcomes = [await adapter.poll(handle, request) for handle, request in zip(handles, waiting, strict=True)]
        await adapter.close()

    assert said == [True, True]
    assert isinstance(outcomes[0], settle.Unknown)
    assert outcomes[1] == settle.Absent()


async def test_check_when_paid_then_the_server_takes_our_ids(there: server.Running) -> None:
    adapter = made(there.url, paid=True)

    assert await adapter.check() is None
    await adapter.close()


async def test_bad_day_when_every_fault_happens_then_each_graph_runs_once_or_says_why_not(
    tmp_path: pathlib.Path, request_of: provider.ProviderRequest
) -> None:
    shares = dict.fromkeys(("throttled", "server_error", "cut", "wrong_type"), 0.15)
    standing = made_twin(tmp_path, {**QUICK, **shares, "failed": 0.2, "ask_failed": 0.2, "cut_at_bytes": 10})
    ends: dict[str, settle.Outcome] = {}
    async with server.Running(standing) as there:
        adapter = made(there.url)
        for ordinal in range(1, 61):
            request = dataclasses.replace(
                request_of, attempt_id=f"{RUN}.{ordinal}.1", input={"seed": ordinal, "cfg": 7}
            )
            outcome = await adapter.send(request)
            for _ in range(LOOKS_MAX):
                if isinstance(outcome, settle.Unknown):
                    outcome = await adapter.lookup(request)
                elif isinstance(outcome, settle.Accepted):
                    outcome = await twin_caller.finished(adapter, outcome.handle, request)
                else:
                    break
            ends[wire.prompt_id(request.attempt_id)] = outcome
        await adapter.close()

    paid = twin_caller.books(tmp_path).payments
    assert set(paid.values()) == {1}
    for prompt_id, outcome in ends.items():
        was_worked_on = isinstance(outcome, settle.Completed) or (
            isinstance(outcome, settle.Faulted) and "OutOfMemoryError" in outcome.fault.message
        )
        assert was_worked_on == (prompt_id in paid), outcome
        assert isinstance(outcome, settle.Completed | settle.Faulted | settle.Absent)
    assert sum(isinstance(outcome, settle.Completed) for outcome in ends.values()) > 20
