"""What fal's queue answers, in the form that its own client reads."""

import json
from typing import Any

from tests.contract import scripted_server

MODEL = "fal-ai/flux/dev"
REQUEST_ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"


def submitted(url: str) -> dict[str, Any]:
    """What the queue answers to a submission; the path of the model is dropped from the addresses."""
    base = f"{url}/fal-ai/flux/requests/{REQUEST_ID}"
    return {
        "status": "IN_QUEUE",
        "request_id": REQUEST_ID,
        "gateway_request_id": REQUEST_ID,
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
        "logs": None,
        "metrics": {},
        "queue_position": 0,
    }


def handle(url: str, **changes: str) -> str:
    addresses = {key: submitted(url)[key] for key in ("request_id", "status_url", "response_url", "cancel_url")}
    return json.dumps({**addresses, **changes})


def status(state: str, code: int = 200, **more: object) -> scripted_server.Answer:
    return scripted_server.json_reply(code, {"status": state, "request_id": REQUEST_ID, **more})
