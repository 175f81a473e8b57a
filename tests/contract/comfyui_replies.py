"""Recorded replies of a ComfyUI server, and an adapter and a request to meet them with."""

import json
from typing import Any

from heddle.config import deployment
from heddle.ports import provider
from heddle.providers import registry
from heddle.providers.comfyui import wire
from tests.contract import scripted_server

GRAPH: dict[str, Any] = {
    "3": {"class_type": "KSampler", "inputs": {"seed": "{input.seed}", "steps": 20, "model": ["4", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "{input.prompt}", "clip": ["4", 1]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "{attempt_id}"}},
}
RUN = "01926f3e-0000-7000-8000-000000000001"
SECOND = f"{RUN}.3.2"
FIRST_ID, SECOND_ID = wire.prompt_id(f"{RUN}.3.1"), wire.prompt_id(SECOND)
TAKEN = {"prompt_id": wire.prompt_id("att_0190"), "number": 4, "node_errors": {}}
NODE_ERRORS = {
    "3": {
        "class_type": "KSampler",
        "errors": [{"type": "value_bigger_than_max", "message": "Value 99 bigger than max", "details": "cfg"}],
        "dependent_outputs": ["9"],
    }
}
INVALID = {
    "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": ""},
    "node_errors": NODE_ERRORS,
}
SAVED = {"9": {"images": [{"filename": "a b.png", "subfolder": "x", "type": "output"}]}}
EMPTY: dict[str, Any] = {"queue_running": [], "queue_pending": []}


def item(number: int, prompt_id: str, *, digest: str = "") -> list[Any]:
    return [number, prompt_id, GRAPH, {"heddle_request": digest}, ["9"]]


def history(prompt_id: str, *, outputs: object = SAVED, digest: str = "", **status: object) -> scripted_server.Answer:
    told = {"status_str": "success", "completed": True, "messages": [], **status}
    entry = {"prompt": item(1, prompt_id, digest=digest), "outputs": outputs, "status": told}
    return scripted_server.json_reply(200, {prompt_id: entry})


def digest_of_request() -> str:
    graph = json.dumps(GRAPH).replace('"{input.seed}"', "7").replace("{input.prompt}", "espresso on marble")
    return wire.digest(json.loads(graph.replace("{attempt_id}", "attempt")))


def made(url: str, **options: object) -> provider.Provider:
    endpoint = deployment.Endpoint(
        name="there", adapter="comfyui", url=url, scopes=("there",), options={"graph": GRAPH, **options}
    )
    return registry.build(endpoint, {})


def request_for(artifacts: provider.ArtifactReader) -> provider.ProviderRequest:
    return provider.ProviderRequest(
        attempt_id="att_0190",
        idempotency_key="key_1",
        model="product_shot",
        input={"prompt": "espresso on marble", "seed": 7},
        timeout_s=20.0,
        artifacts=artifacts,
    )


def handle_of(server: scripted_server.ScriptedServer, prompt_id: str = FIRST_ID) -> str:
    return f"{server.url}/history/{prompt_id}"
