"""The page on adding a provider shows an adapter in under 60 lines, and it keeps every promise of the port."""

import base64
import dataclasses
import json
import tomllib
from typing import Any

import pytest

from heddle.config import deployment
from heddle.core import artifact, faults, settle
from heddle.ports import provider
from heddle.providers import registry
from tests.contract import provider_suite, scripted_server
from tests.docs import markdown

PAGE = markdown.ROOT / "docs" / "howto" / "add-a-provider.md"
FILE = markdown.ROOT / "examples" / "providers" / "glow.py"
LINES_MAX = 59
RETRY_AFTER = {"Retry-After": "7"}


def test_page_when_read_then_it_shows_the_whole_adapter_in_under_60_lines() -> None:
    (shown,) = markdown.blocks(PAGE, "python")

    assert shown.text == FILE.read_text(encoding="utf-8")
    assert len(shown.text.splitlines()) <= LINES_MAX


def test_page_when_its_deployment_is_read_then_it_names_the_adapter_it_shows() -> None:
    (shown,) = markdown.blocks(PAGE, "toml")

    found = deployment.parse(shown.text, file="heddle.toml")
    made = registry.build(found.endpoints["glow"], {"VENDOR_API_KEY": "key"})

    assert type(made).__name__ == "GlowProvider"
    assert made.capabilities.is_paid
    assert [route.endpoint for route in found.routes] == ["glow"]
    assert tomllib.loads(shown.text)["endpoints"]["glow"]["style"] == "daylight"


class TestGlow(provider_suite.ProviderSuite):
    adapter = "examples.providers.glow:GlowProvider"
    call = ("POST", "/v1/relight")

    def replies(self) -> provider_suite.Replies:
        picture = base64.b64encode(provider_suite.picture()).decode()
        done = {"image": picture, "cost_usd": "0.05"}
        refused = {"X-Glow-Error": "unsafe"}
        return provider_suite.Replies(
            done=scripted_server.json_reply(200, done),
            refused=scripted_server.json_reply(422, {}, headers=refused),
            limited=scripted_server.json_reply(503, {}, headers={"X-Glow-Error": "queue_full", **RETRY_AFTER}),
            ambiguous=scripted_server.json_reply(503, {}),
            malformed=provider_suite.page(),
            cut_inside=scripted_server.cut_inside(200, json.dumps(done).encode()),
            too_large=provider_suite.over_cap(),
            echoing=scripted_server.json_reply(400, {"error": f"bad key {provider_suite.SECRET}"}),
        )

    async def make_input(self, artifacts: provider.ArtifactReader) -> dict[str, Any]:
        photo = await provider_suite.stored(artifacts, provider_suite.picture("image/jpeg"))
        return {"image": photo.as_json(), "scene": "dusk"}

    async def test_send_when_done_then_the_picture_is_kept_and_its_cost_told(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Completed)
        kept = artifact.Artifact.from_json(outcome.output["image"])
        assert (kept.media_type, outcome.cost_nano_usd) == ("image/png", 50_000_000)
        (asked,) = server.requests
        assert asked.headers["idempotency-key"] == "key_0190"
        assert asked.json["image"] == base64.b64encode(provider_suite.picture("image/jpeg")).decode()

    async def test_send_when_an_input_is_missing_then_nothing_is_sent_and_it_is_refused_for_good(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        missing = artifact.Artifact(sha256="0" * 64, media_type="image/jpeg", size_bytes=9)

        outcome = await adapter_under_test.send(dataclasses.replace(request_of, input={"image": missing.as_json()}))

        assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
        assert server.requests == []

    @pytest.mark.parametrize(("status", "code"), [(402, "no_credit")])
    async def test_send_when_the_account_is_empty_then_another_endpoint_may_serve(
        self,
        status: int,
        code: str,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(status, {}, headers={"X-Glow-Error": code}))

        outcome = await adapter_under_test.send(request_of)

        assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_TRANSIENT
