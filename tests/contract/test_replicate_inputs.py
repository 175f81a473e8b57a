"""The ``replicate`` adapter sends the artifacts of an input as Replicate takes them, or refuses before it orders."""

import dataclasses
import io
import random
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from PIL import Image

from heddle.core import faults, settle
from heddle.ports import provider
from tests.contract import provider_suite, scripted_server
from tests.contract import replicate_replies as replicate


class TestReplicateFiles(replicate.ReplicateReplies):
    """Inputs with a small picture, which goes inside the request."""

    options: ClassVar[Mapping[str, Any]] = {"model_name": "acme/relight"}
    call = ("POST", "/v1/models/acme/relight/predictions")

    async def make_input(self, artifacts: provider.ArtifactReader) -> dict[str, Any]:
        stored = await provider_suite.stored(artifacts, provider_suite.picture())
        return {"images": [stored.as_json()], "prompt": "espresso"}

    async def test_send_when_a_picture_is_small_then_a_data_url(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        await adapter_under_test.send(request_of)

        assert server.requests[0].json["input"]["images"] == [replicate.media_url(provider_suite.picture())]

    async def test_send_when_a_picture_is_large_then_uploaded_and_sent_by_its_address(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        data = large_picture()
        request = await with_picture(request_of, data)
        address = f"{replicate.HOME}/v1/files/abc"
        server.script(scripted_server.json_reply(201, {"id": "abc", "urls": {"get": address}}), self.replies().done)

        outcome = await adapter_under_test.send(request)

        assert isinstance(outcome, settle.Accepted)
        assert scripted_server.paths(server.requests) == [("POST", "/v1/files"), self.call]
        assert b'name="content"; filename="' in server.requests[0].body
        assert data in server.requests[0].body
        assert server.requests[1].json["input"] == {"image": address}

    async def test_send_when_pictures_are_large_together_then_the_last_ones_are_uploaded(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        kept = [await provider_suite.stored(request_of.artifacts, large_picture(250, seed=seed)) for seed in range(3)]
        request = dataclasses.replace(request_of, input={"images": [each.as_json() for each in kept]})
        address = f"{replicate.HOME}/v1/files/abc"
        server.script(scripted_server.json_reply(201, {"id": "abc", "urls": {"get": address}}), self.replies().done)

        await adapter_under_test.send(request)

        images = server.requests[1].json["input"]["images"]
        assert [image[:5] for image in images] == ["data:", "data:", "https"]
        assert len(server.requests[1].body) < 1_048_576

    async def test_send_when_there_are_too_many_pictures_then_refused(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        crowded = dataclasses.replace(request_of, input={"images": request_of.input["images"] * 65})

        outcome = await adapter_under_test.send(crowded)

        assert "input has 65 media; one call has at most 64" in provider_suite.message_of(outcome)
        assert server.requests == []

    @pytest.mark.parametrize(
        ("answer", "fault"),
        [
            (scripted_server.cut(), "rejected_transient"),
            (scripted_server.json_reply(500, {"detail": "oops"}), "rejected_transient"),
            (scripted_server.json_reply(201, {"id": "abc"}), "rejected_transient"),
            (
                replicate.throttled("Request was throttled. Your rate limit resets in ~7s."),
                "throttled",
            ),
            (scripted_server.json_reply(413, {"detail": "large"}), "too_large"),
        ],
        ids=range(5),
    )
    async def test_send_when_the_upload_fails_then_nothing_is_ordered(
        self,
        answer: scripted_server.Answer,
        fault: str,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(answer, self.replies().done)

        outcome = await adapter_under_test.send(await with_picture(request_of, large_picture()))

        assert isinstance(outcome, settle.Faulted), outcome
        assert outcome.fault.fault.value == fault
        assert "input.image" in outcome.fault.message
        assert scripted_server.paths(server.requests) == [("POST", "/v1/files")]

    async def test_send_when_the_upload_is_limited_then_its_wish_in_the_header_is_heard_as_everywhere(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(429, {"detail": "slow"}, headers={"Retry-After": "7"}))

        outcome = await adapter_under_test.send(await with_picture(request_of, large_picture()))

        assert isinstance(outcome, settle.Faulted)
        assert (outcome.fault.fault, outcome.retry_after_s) == (faults.Fault.THROTTLED, 7.0)


class TestReplicateWithoutUploads(replicate.ReplicateReplies):
    options: ClassVar[Mapping[str, Any]] = {"model_name": "acme/relight", "upload": False}
    call = ("POST", "/v1/models/acme/relight/predictions")

    async def test_send_when_a_picture_is_large_then_refused_naming_the_field(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        outcome = await adapter_under_test.send(await with_picture(request_of, large_picture()))

        assert provider_suite.fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
        assert "input.image is an artifact of" in provider_suite.message_of(outcome)
        assert server.requests == []


def large_picture(side_px: int = 320, *, seed: int = 7) -> bytes:
    """A picture larger than what goes inside a request: noise that does not compress."""
    encoded = io.BytesIO()
    noise = random.Random(seed).randbytes(side_px * side_px * 3)
    Image.frombytes("RGB", (side_px, side_px), noise).save(encoded, format="png")
    return encoded.getvalue()


async def with_picture(request: provider.ProviderRequest, data: bytes) -> provider.ProviderRequest:
    stored = await provider_suite.stored(request.artifacts, data)
    return dataclasses.replace(request, input={"image": stored.as_json()})
