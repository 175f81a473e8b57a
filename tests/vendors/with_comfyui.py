"""Ask as clients of ComfyUI do: Comfy's own SDK through Comfy's own proxy, and comfy-api-simplified directly."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import comfy_sdk
from comfy_api_simplified import ComfyApiWrapper
from comfy_api_simplified.comfy_workflow_wrapper import ComfyWorkflowWrapper

from tests.vendors import steps

START_S = 60.0
PROXIES: dict[str, str] = {}
GRAPH: dict[str, Any] = {
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 512, "height": 512, "batch_size": 1},
        "_meta": {"title": "Canvas"},
    },
    "9": {
        "class_type": "SaveImage",
        "inputs": {"images": ["5", 0], "filename_prefix": "ComfyUI"},
        "_meta": {"title": "Save Image"},
    },
}
WRONG: dict[str, Any] = {"9": GRAPH["9"]}


def graph(prefix: str) -> dict[str, Any]:
    return {**GRAPH, "9": {**GRAPH["9"], "inputs": {**GRAPH["9"]["inputs"], "filename_prefix": prefix}}}


def wrapper(asked: steps.Asked, name: str = "twin") -> ComfyApiWrapper:
    return ComfyApiWrapper(asked.urls[name])


def waited_for(asked: steps.Asked) -> Any:
    images = wrapper(asked).queue_and_wait_images(ComfyWorkflowWrapper(graph("waited")), "Save Image")
    return {name: data[:4].hex() for name, data in images.items()}


def polled(asked: steps.Asked) -> Any:
    there = wrapper(asked, "slow")
    queued = there.queue_prompt(graph("polled"))
    place = there.get_queue_size_before(queued["prompt_id"])
    for _ in range(1_000):
        found = there.get_history(queued["prompt_id"])
        if found:
            return {"place": place, "status": found[queued["prompt_id"]]["status"]["status_str"]}
        time.sleep(0.01)
    return "never ended"


def uploaded(asked: steps.Asked) -> Any:
    path = pathlib.Path("cup.png")
    path.write_bytes(b"\x89PNG cup")
    told = wrapper(asked).upload_image(path, subfolder="given")
    return {**told, "data": wrapper(asked).get_image("cup.png", "given", "input")[:8].hex()}


def looked_at(asked: steps.Asked) -> Any:
    there = wrapper(asked)
    return {
        "nodes": sorted(there.get_object_info("SaveImage")),
        "devices": len(there.get_system_stats()["devices"]),
        "embeddings": there.get_embeddings(),
        "queue": sorted(there.get_queue()),
    }


def interrupted(asked: steps.Asked) -> Any:
    there = wrapper(asked, "long")
    queued = there.queue_prompt(graph("interrupted"))
    while not there.get_queue()["queue_running"]:
        time.sleep(0.01)
    there.interrupt()
    while not there.get_history(queued["prompt_id"]):
        time.sleep(0.01)
    return [kind for kind, _ in there.get_history(queued["prompt_id"])[queued["prompt_id"]]["status"]["messages"]]


def wrong(asked: steps.Asked) -> Any:
    return wrapper(asked).queue_prompt(WRONG)


def failing(asked: steps.Asked) -> Any:
    return wrapper(asked, "failing").queue_and_wait_images(ComfyWorkflowWrapper(graph("failing")), "Save Image")


def sdk(asked: steps.Asked) -> Any:
    with comfy(asked, "twin") as client:
        job = client.run(client.workflows.from_json(graph("sdk")))
        events = [type(event).__name__ for event in client.jobs.get(job.id).events()]
        output = job.get_outputs("9")[0]
        return {"status": job.status, "name": output.name, "starts": output.to_bytes()[:4].hex(), "events": events[0]}


def sdk_followed(asked: steps.Asked) -> Any:
    with comfy(asked, "slow") as client:
        job = client.submit(client.workflows.from_json(graph("followed")))
        events = [type(event).__name__ for event in job.events()]
        return {"events": sorted(set(events)), "status": job.refresh().status}


def sdk_with_an_asset(asked: steps.Asked) -> Any:
    with comfy(asked, "twin") as client:
        flow = client.workflows.from_json(
            {
                "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
                "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "asset"}},
            }
        )
        flow.set_input("1", "image", client.assets.from_bytes(b"\x89PNG lamp", filename="lamp.png"))
        return client.run(flow).status


def sdk_cancelled(asked: steps.Asked) -> Any:
    with comfy(asked, "long") as client:
        job = client.submit(client.workflows.from_json(graph("cancelled")))
        job.cancel()
        for _ in range(1_000):
            if job.refresh().status == "canceled":
                break
            time.sleep(0.01)
        return job.status


def sdk_failing(asked: steps.Asked) -> Any:
    with comfy(asked, "failing") as client:
        return client.run(client.workflows.from_json(graph("failed"))).status


def sdk_wrong(asked: steps.Asked) -> Any:
    with comfy(asked, "twin") as client:
        return client.submit(client.workflows.from_json(WRONG)).status


def comfy(asked: steps.Asked, name: str) -> comfy_sdk.Comfy:
    """Give Comfy's client of a server, which speaks to it through Comfy's proxy."""
    os.environ["COMFY_BASE_URL"] = PROXIES[name]
    return comfy_sdk.Comfy()


@contextlib.contextmanager
def proxied(urls: Mapping[str, str]) -> Iterator[None]:
    """Put Comfy's proxy in front of every server, all of them started at once."""
    started = []
    for name, url in urls.items():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        command = [sys.executable, "-m", "comfy_api_proxy.cli", "run", "--comfyui", url, "--port", str(port)]
        started.append(subprocess.Popen([*command, "--state-dir", f"proxy-{name}"], stdout=subprocess.DEVNULL))
        PROXIES[name] = f"http://127.0.0.1:{port}"
    try:
        for url in PROXIES.values():
            wait_for(f"{url}/api/v2/health")
        yield
    finally:
        for proxy in started:
            proxy.terminate()
        for proxy in started:
            proxy.wait(timeout=START_S)


def wait_for(url: str) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    with proxied(steps.read().urls):
        steps.main(
            *(waited_for, polled, uploaded, looked_at, interrupted, wrong, failing),
            *(sdk, sdk_followed, sdk_with_an_asset, sdk_cancelled, sdk_failing, sdk_wrong),
        )
