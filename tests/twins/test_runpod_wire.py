"""RunPod's twin answers what runpod-python reads, per its published source, and what the documentation shows."""

import pathlib

import aiohttp

from heddle.twins.kit import options, server
from heddle.twins.runpod import twin
from tests.twins import invented

# runpod-python, runpod/endpoint/helpers.py, read 2026-11-29: the states after which its Job asks no more.
FINAL_STATES = {"COMPLETED", "FAILED", "TIMED_OUT"}


async def test_run_and_status_when_asked_as_the_client_does_then_the_fields_it_reads_are_there(
    tmp_path: pathlib.Path,
) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {options.DEFAULT_API_KEY}"}
    async with (
        server.Running(twin.RunPodTwin(invented.given(tmp_path))) as running,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        base = f"{running.url}/v2/abc123"
        async with session.post(f"{base}/run", json={"input": {"prompt": "x"}}) as answer:
            started = await answer.json()
        async with session.post(f"{base}/runsync", json={"input": {"prompt": "y"}}) as answer:
            waited = await answer.json()
        async with session.get(f"{base}/status/{waited['id']}") as answer:
            asked = await answer.json()
        async with session.get(f"{base}/health") as answer:
            health = await answer.json()
        async with session.post(f"{base}/cancel/{waited['id']}", json=None) as answer:
            cancelled = await answer.json()

    assert set(started) == {"id", "status"}
    assert started["status"] == "IN_QUEUE"
    assert waited["status"] in FINAL_STATES
    assert set(waited) == {"id", "status", "delayTime", "executionTime", "output"}
    assert asked == waited
    assert set(health) == {"jobs", "workers"}
    assert set(health["jobs"]) == {"completed", "failed", "inProgress", "inQueue", "retried"}
    assert cancelled == {"id": waited["id"], "status": "COMPLETED"}


async def test_purge_when_jobs_are_queued_then_they_are_cancelled_and_counted(tmp_path: pathlib.Path) -> None:
    headers = {"Authorization": options.DEFAULT_API_KEY}  # the documentation's examples give the bare key
    given = invented.given(tmp_path, latency_s=600)
    async with (
        server.Running(twin.RunPodTwin(given)) as running,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        base = f"{running.url}/v2/abc123"
        for number in range(2):
            async with session.post(f"{base}/run", json={"input": {"seed": number}}) as answer:
                assert answer.status == 200
        async with session.post(f"{base}/purge-queue") as answer:
            assert await answer.json() == {"removed": 2, "status": "completed"}


async def test_run_when_the_policy_is_out_of_range_then_refused_and_unpaid(tmp_path: pathlib.Path) -> None:
    async with server.Running(twin.RunPodTwin(invented.given(tmp_path))) as running:
        policy = {"executionTimeout": 5_000}
        status, _ = await invented.post(f"{running.url}/v2/abc123/run", {"input": {}, "policy": policy})

    assert status == 400
