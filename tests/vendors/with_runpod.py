"""Ask as runpod-python does: jobs, waiting, streams, cancelling, purging and the endpoint's own state."""

import asyncio
from typing import Any

import runpod
from runpod import http_client
from runpod.endpoint.asyncio import asyncio_runner

from tests.vendors import steps

WAIT_S = 10
ENDPOINT = "abc123"


def endpoint(asked: steps.Asked, name: str, *, key: str | None = None) -> runpod.Endpoint:
    runpod.endpoint_url_base = f"{asked.urls[name]}/v2"
    return runpod.Endpoint(ENDPOINT, api_key=key or asked.key)


def run(asked: steps.Asked) -> Any:
    job = endpoint(asked, "twin").run({"prompt": "dusk", "seed": 7})
    output = job.output(timeout=WAIT_S)
    return {"output": sorted(output), "seed": output["seed"], "status": job.status()}


def run_sync(asked: steps.Asked) -> Any:
    return sorted(endpoint(asked, "twin").run_sync({"input": {"prompt": "dawn"}}, timeout=WAIT_S))


def stream(asked: steps.Asked) -> Any:
    job = endpoint(asked, "twin").run({"prompt": "noon"})
    return {"chunks": list(job.stream()), "output": sorted(job.output(timeout=WAIT_S))}


def health(asked: steps.Asked) -> Any:
    return endpoint(asked, "twin").health()


def run_async(asked: steps.Asked) -> Any:
    async def work() -> Any:
        async with http_client.AsyncClientSession() as session:
            job = await there(asked, "twin", session).run({"prompt": "later"})
            return {"output": sorted(await job.output(timeout=WAIT_S)), "status": await job.status()}

    return asyncio.run(work())


def cancel(asked: steps.Asked) -> Any:
    job = endpoint(asked, "long").run({"prompt": "never"})
    return {"before": job.status(), "answer": job.cancel()["status"], "status": job.status()}


def cancel_async(asked: steps.Asked) -> Any:
    async def work() -> Any:
        async with http_client.AsyncClientSession() as session:
            job = await there(asked, "long", session).run({"prompt": "nor this"})
            return (await job.cancel())["status"]

    return asyncio.run(work())


def purge(asked: steps.Asked) -> Any:
    job = endpoint(asked, "long").run({"prompt": "nor that"})
    return {"answer": endpoint(asked, "long").purge_queue(), "status": job.status()}


def failed(asked: steps.Asked) -> Any:
    job = endpoint(asked, "failing").run({"prompt": "too large"})
    return {"output": job.output(timeout=WAIT_S), "status": job.status()}


def wrong_key(asked: steps.Asked) -> Any:
    return endpoint(asked, "twin", key="another").run({"prompt": "x"})


def unknown_job(asked: steps.Asked) -> Any:
    client = endpoint(asked, "twin").rp_client
    return runpod.endpoint.Job(ENDPOINT, "60902e6c-08a1-426e-9cb9-9eaec90f5e2b-u1", client).status()


def policy(asked: steps.Asked) -> Any:
    return endpoint(asked, "twin").run({"input": {"prompt": "x"}, "policy": {"executionTimeout": 1}})


def there(asked: steps.Asked, name: str, session: Any) -> asyncio_runner.Endpoint:
    runpod.endpoint_url_base = f"{asked.urls[name]}/v2"
    return asyncio_runner.Endpoint(ENDPOINT, session, api_key=asked.key)


if __name__ == "__main__":
    steps.main(
        *(run, run_sync, stream, run_async, health),
        *(cancel, cancel_async, purge, failed, wrong_key, unknown_job, policy),
    )
