"""Vertex AI's twin answers as the REST reference says, and google-auth gets its tokens from it.

Google's own client of Vertex AI is no dependency of ours; google-auth, which is one, is run against the token server.
"""

import asyncio
import base64
import json
import pathlib
from typing import Any

import aiohttp
import pytest
from google.oauth2 import service_account

from heddle.providers.vertex import tokens
from heddle.twins.kit import options, server
from heddle.twins.vertex import twin
from tests.twins import invented
from tests.unit.providers import test_vertex_tokens

MODEL = "projects/acme/locations/us-central1/publishers/google/models/veo-3.0-generate-001"
ENDPOINT = "projects/acme/locations/us-central1/endpoints/42"
ASKED = {"instances": [{"prompt": "dusk"}], "parameters": {"sampleCount": 2, "durationSeconds": 4}}
POLLS_MAX = 200


async def ask(url: str, body: Any = None) -> tuple[int, Any]:
    if body is None:
        status, answer = await invented.get(url)
    else:
        status, answer = await invented.post(url, body)
    return status, json.loads(answer)


async def test_token_when_asked_for_by_google_auth_then_it_is_the_twins_key(tmp_path: pathlib.Path) -> None:
    async with server.Running(twin.VertexTwin(invented.given(tmp_path))) as running:
        info = json.loads(test_vertex_tokens.account(f"{running.url}/token"))
        credentials = service_account.Credentials.from_service_account_info(info, scopes=[tokens.SCOPE])  # type: ignore[no-untyped-call]
        await asyncio.to_thread(credentials.refresh, tokens.ask)

    assert credentials.token == options.DEFAULT_API_KEY


async def test_token_when_the_assertion_is_none_then_invalid_grant(tmp_path: pathlib.Path) -> None:
    form = {"grant_type": twin.GRANT, "assertion": "a.b.c"}
    async with (
        server.Running(twin.VertexTwin(invented.given(tmp_path))) as running,
        aiohttp.ClientSession() as session,
        session.post(f"{running.url}/token", data=form) as answer,
    ):
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_grant")


async def test_predict_then_predictions_hold_their_media_inline(tmp_path: pathlib.Path) -> None:
    async with server.Running(twin.VertexTwin(invented.given(tmp_path))) as running:
        status, body = await ask(f"{running.url}/v1/{ENDPOINT}:predict", ASKED)

    assert status == 200
    assert [each["mimeType"] for each in body["predictions"]] == ["image/png"] * 2
    assert base64.b64decode(body["predictions"][0]["bytesBase64Encoded"]).startswith(b"\x89PNG")


@pytest.mark.parametrize("resource", [MODEL, ENDPOINT], ids=["model", "endpoint"])
async def test_operation_when_of_a_model_or_an_endpoint_then_each_is_asked_after_in_its_own_way(
    resource: str, tmp_path: pathlib.Path
) -> None:
    async with server.Running(twin.VertexTwin(invented.given(tmp_path, latency_s=0.0))) as running:
        base = f"{running.url}/v1"
        _, started = await ask(f"{base}/{resource}:predictLongRunning", ASKED)
        name = started["name"]
        by_get, got = await ask(f"{base}/{name}")
        by_fetch, fetched = await ask(f"{base}/{resource}:fetchPredictOperation", {"operationName": name})

    found = {MODEL: (by_get, by_fetch, fetched), ENDPOINT: (by_fetch, by_get, got)}[resource]
    assert found[:2] in ((404, 200), (400, 200))
    assert (found[2]["name"], found[2]["done"]) == (name, True)
    assert [video["mimeType"] for video in found[2]["response"]["videos"]] == ["video/mp4"] * 2


async def test_operation_when_a_place_is_given_then_its_videos_lie_there(tmp_path: pathlib.Path) -> None:
    asked = {**ASKED, "parameters": {"storageUri": "gs://acme-out/veo"}}
    headers = {"Authorization": f"Bearer {options.DEFAULT_API_KEY}"}
    async with (
        server.Running(twin.VertexTwin(invented.given(tmp_path, latency_s=0.0))) as running,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        _, started = await ask(f"{running.url}/v1/{MODEL}:predictLongRunning", asked)
        _, ended = await ask(f"{running.url}/v1/{MODEL}:fetchPredictOperation", {"operationName": started["name"]})
        place = ended["response"]["videos"][0]["gcsUri"]
        bucket, _, name = place.removeprefix("gs://").partition("/")
        encoded = name.replace("/", "%2F")
        async with session.get(f"{running.url}/storage/v1/b/{bucket}/o/{encoded}?alt=media") as answer:
            assert (answer.status, answer.content_type) == (200, "video/mp4")


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        (f"{MODEL}:predict", {"instances": []}, 400, "INVALID_ARGUMENT"),
        (f"{MODEL}:fetchPredictOperation", {"operationName": f"{MODEL}/operations/x"}, 404, "NOT_FOUND"),
    ],
    ids=range(2),
)
async def test_refusals_then_in_googles_form(
    path: str, body: Any, status: int, word: str, tmp_path: pathlib.Path
) -> None:
    async with server.Running(twin.VertexTwin(invented.given(tmp_path))) as running:
        found, answer = await ask(f"{running.url}/v1/{path}", body)

    assert (found, answer["error"]["code"], answer["error"]["status"]) == (status, status, word)
