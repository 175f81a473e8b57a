"""Replies of the forms that Replicate documents, for the tests of the ``replicate`` adapter."""

import base64
import dataclasses
import json
from typing import Any

from heddle.core import faults, settle
from heddle.ports import provider
from heddle.providers.replicate import wire
from tests.contract import provider_suite, scripted_server

CALLBACK_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
ID = "gm3qorzdhgbfurvjtvhg6dckhu"
HOME = "https://api.replicate.com"


def prediction(status: str, *, home: str = "", **changes: object) -> dict[str, Any]:
    """A prediction as https://replicate.com/docs/reference/http shows it; addresses only where the home is known."""
    urls = {"get": f"{home}/v1/predictions/{ID}", "cancel": f"{home}/v1/predictions/{ID}/cancel"} if home else {}
    return {
        "id": ID,
        "model": "black-forest-labs/flux-schnell",
        "version": "hidden",
        "input": {"prompt": "espresso on marble"},
        "logs": "",
        "output": None,
        "data_removed": False,
        "error": None,
        "status": status,
        "created_at": "2026-09-08T16:19:34.765Z",
        "urls": urls,
        **changes,
    }


def throttled(detail: str) -> scripted_server.Answer:
    return scripted_server.json_reply(429, {"detail": detail, "status": 429})


def handle(home: str) -> str:
    return wire.write_handle(
        wire.Handle(id=ID, get_url=f"{home}/v1/predictions/{ID}", cancel_url=f"{home}/v1/predictions/{ID}/cancel")
    )


class ReplicateReplies(provider_suite.ProviderSuite):
    adapter = "replicate"
    done_outcome = settle.Accepted
    malformed_outcome = None  # a 2xx may have accepted a prediction, whatever its body
    too_large_outcome = faults.Fault.TOO_LARGE

    def replies(self) -> provider_suite.Replies:
        starting = json.dumps(prediction("starting")).encode()
        return provider_suite.Replies(
            done=scripted_server.reply(201, starting),
            refused=scripted_server.json_reply(
                422, {"title": "Input validation failed", "detail": "- input: prompt is required", "status": 422}
            ),
            limited=throttled("Request was throttled. Your rate limit resets in ~7s."),
            ambiguous=scripted_server.json_reply(502, {"detail": "Bad gateway"}),
            malformed=provider_suite.page(),
            cut_inside=scripted_server.cut_inside(201, starting),
            too_large=provider_suite.over_cap(),
            echoing=scripted_server.json_reply(401, {"detail": f"bad token {provider_suite.SECRET}"}),
        )


def media_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def config(**changes: Any) -> provider.EndpointConfig:
    given = provider.EndpointConfig(
        name="there",
        adapter="replicate",
        url=HOME,
        timeout_s=5,
        options={"model_name": "acme/relight"},
        secret=provider_suite.SECRET,
        callback_secret=CALLBACK_SECRET,
    )
    return dataclasses.replace(given, **changes)
