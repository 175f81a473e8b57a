"""Tokens for Google are fixed, or made from a service account's key and kept until they expire."""

import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from heddle.config import deployment
from heddle.providers import registry
from heddle.providers.vertex import tokens
from tests.contract import scripted_server

RESOURCE = "projects/acme/locations/us-central1/endpoints/1"


def account(token_uri: str) -> str:
    """A service account's key, as Google's console writes it, on one line."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "acme",
            "private_key_id": "1",
            "private_key": pem,
            "client_email": "heddle@acme.iam.gserviceaccount.com",
            "token_uri": token_uri,
        }
    )


async def test_token_when_fixed_then_sent_as_it_is() -> None:
    assert await tokens.Tokens("ya29.abc").headers() == {"Authorization": "Bearer ya29.abc"}


async def test_token_when_of_a_service_account_then_asked_for_once_while_it_is_valid() -> None:
    async with scripted_server.ScriptedServer() as server:
        server.script(scripted_server.json_reply(200, {"access_token": "ya29.made", "expires_in": 3_600}))
        made = tokens.Tokens(account(f"{server.url}/token"))

        headers = [await made.headers() for _ in range(3)]

        assert headers == [{"Authorization": "Bearer ya29.made"}] * 3
        assert scripted_server.paths(server.requests) == [("POST", "/token")]
        assert b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer" in server.requests[0].body


async def test_token_when_google_refuses_then_missing_without_the_key_in_the_message() -> None:
    async with scripted_server.ScriptedServer() as server:
        server.script(scripted_server.json_reply(400, {"error": "invalid_grant"}))
        secret = account(f"{server.url}/token")

        with pytest.raises(tokens.TokenMissing) as missing:
            await tokens.Tokens(secret).headers()

    assert "PRIVATE KEY" not in str(missing.value)


async def test_token_when_nobody_listens_then_missing() -> None:
    with pytest.raises(tokens.TokenMissing):
        await tokens.Tokens(account("http://127.0.0.1:1/token")).headers()


def build(secret: str, options: Mapping[str, Any]) -> None:
    endpoint = deployment.Endpoint(
        name="there",
        adapter="vertex",
        url="http://h",
        scopes=("there",),
        secret="env:KEY",
        options={"resource": RESOURCE, **options},
    )
    registry.build(endpoint, {"KEY": secret})


@pytest.mark.parametrize(
    ("options", "secret", "named"),
    [
        ({"resource": "models/veo"}, "t", "resource"),
        ({"output": "videos"}, "t", "output"),
        ({"storage_url": "gs://x"}, "t", "storage_url"),
        ({"mode": "batch"}, "t", "mode"),
        ({}, '{"type": "service_account"}', "secret"),
    ],
    ids=range(5),
)
def test_options_when_one_is_wrong_then_the_refusal_names_it(
    options: Mapping[str, Any], secret: str, named: str
) -> None:
    with pytest.raises(registry.EndpointRefused, match=rf"\[endpoints.there\] {named}"):
        build(secret, options)


def test_build_when_google_auth_is_missing_then_the_refusal_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)

    with pytest.raises(registry.EndpointRefused, match=r"pip install 'heddle\[gcp\]'"):
        build('{"type": "service_account"}', {})
