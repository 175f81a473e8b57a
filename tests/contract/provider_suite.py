"""What every adapter promises, run against recorded replies: done, refused, limited, down, slow, malformed, ambiguous.

Subclass ``ProviderSuite`` and give it an adapter and its provider's replies. Every test also counts requests: an
adapter never repeats one.
"""

import asyncio
import dataclasses
import io
import pathlib
import re
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest
from PIL import Image

from heddle.config import deployment
from heddle.core import artifact, faults, settle
from heddle.ports import provider
from heddle.providers import registry, transport
from heddle.store import blobs
from tests.contract import scripted_server, tenant_artifacts

SECRET = "the-secret-of-the-endpoint"  # 26 characters that must never be seen again


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Replies:
    """A provider's recorded replies to one call."""

    done: scripted_server.Answer
    refused: scripted_server.Answer
    limited: scripted_server.Answer  # Retry-After: 7
    ambiguous: scripted_server.Answer  # an error that proves nothing
    malformed: scripted_server.Answer
    cut_inside: scripted_server.Answer
    too_large: scripted_server.Answer
    echoing: scripted_server.Answer  # a refusal that repeats our secret


class ProviderSuite:
    adapter: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    call: ClassVar[tuple[str, str]]  # method and path of a send
    # The header that holds our credential, and a regular expression of its value.
    credential: ClassVar[tuple[str, str]] = ("authorization", f"Bearer {SECRET}")
    done_outcome: ClassVar[type] = settle.Completed
    malformed_outcome: ClassVar[faults.Fault | None] = faults.Fault.BAD_OUTPUT  # None: unknown
    too_large_outcome: ClassVar[faults.Fault | None] = faults.Fault.TOO_LARGE

    def replies(self) -> Replies:
        raise NotImplementedError

    async def make_input(self, artifacts: provider.ArtifactReader) -> dict[str, Any]:
        return {"prompt": "espresso on marble", "seed": 7}

    @pytest.fixture
    async def server(self) -> AsyncIterator[scripted_server.ScriptedServer]:
        async with scripted_server.ScriptedServer() as server:
            yield server

    @pytest.fixture
    def artifacts(self, tmp_path: pathlib.Path) -> tenant_artifacts.TenantArtifacts:
        store = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=1_000_000, pixels_max=1_000_000)
        return tenant_artifacts.TenantArtifacts(store)

    @pytest.fixture
    async def adapter_under_test(self, server: scripted_server.ScriptedServer) -> AsyncIterator[provider.Provider]:
        made = self.make(server.url)
        yield made
        await made.close()

    @pytest.fixture
    async def request_of(self, artifacts: tenant_artifacts.TenantArtifacts) -> provider.ProviderRequest:
        return provider.ProviderRequest(
            attempt_id="att_0190",
            idempotency_key="key_0190",
            model="relight",
            input=await self.make_input(artifacts),
            timeout_s=20.0,
            artifacts=artifacts,
        )

    def make(self, url: str) -> provider.Provider:
        endpoint = deployment.Endpoint(
            name="there", adapter=self.adapter, url=url, scopes=("there",), secret="env:THERE_KEY", options=self.options
        )
        # What may not be sent twice gets a connection of its own here, so that it is seen to be such.
        connections = transport.Transport(unrepeatable_idle_s=0)
        return registry.build(endpoint, {"THERE_KEY": SECRET}, connections)

    def check_unproven(self, made: provider.Provider, outcome: settle.Outcome) -> None:
        """An outcome that nobody can know is unknown where money is at stake or it can be looked up, and a passing
        failure elsewhere.
        """
        if made.capabilities.is_paid or made.capabilities.has_lookup:
            assert isinstance(outcome, settle.Unknown), outcome
        else:
            assert isinstance(outcome, settle.Faulted), outcome
            assert faults.FAULTS[outcome.fault.fault].is_retryable

    async def test_send_when_the_endpoint_answers_then_done(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        outcome = await adapter_under_test.send(request_of)

        assert type(outcome) is self.done_outcome, outcome
        assert scripted_server.paths(server.requests) == [self.call]

    async def test_send_when_the_endpoint_refuses_then_rejected_for_good(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().refused)

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Faulted)
        assert outcome.fault.fault is faults.Fault.REJECTED_PERMANENT
        assert outcome.fault.where == "endpoint there"
        assert len(server.requests) == 1

    async def test_send_when_limited_then_throttled_with_the_endpoints_wish(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().limited)

        outcome = await adapter_under_test.send(request_of)

        assert isinstance(outcome, settle.Faulted)
        assert (outcome.fault.fault, outcome.retry_after_s) == (faults.Fault.THROTTLED, 7.0)
        assert len(server.requests) == 1

    async def test_send_when_nobody_listens_then_not_sent(self, request_of: provider.ProviderRequest) -> None:
        made = self.make(f"http://127.0.0.1:{_closed_port()}")

        outcome = await made.send(request_of)
        await made.close()

        assert isinstance(outcome, settle.Faulted)
        assert outcome.fault.fault is faults.Fault.NOT_SENT

    async def test_send_when_no_answer_comes_then_unproven(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.silence())

        outcome = await adapter_under_test.send(dataclasses.replace(request_of, timeout_s=1.0))

        self.check_unproven(adapter_under_test, outcome)
        assert len(server.requests) == 1

    async def test_send_when_no_time_is_left_then_deadline_and_nothing_sent(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)

        outcome = await adapter_under_test.send(dataclasses.replace(request_of, timeout_s=0.0))

        assert isinstance(outcome, settle.Faulted)
        assert outcome.fault.fault is faults.Fault.DEADLINE
        assert server.requests == []

    @pytest.mark.parametrize("kind", ["cut", "garbage", "ambiguous", "cut_inside"])
    async def test_send_when_the_answer_is_lost_then_unproven_and_not_repeated(
        self,
        kind: str,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        replies = self.replies()
        answers = {
            "cut": scripted_server.cut(),
            "garbage": scripted_server.garbage(),
            "ambiguous": replies.ambiguous,
            "cut_inside": replies.cut_inside,
        }
        server.script(answers[kind])

        outcome = await adapter_under_test.send(request_of)

        self.check_unproven(adapter_under_test, outcome)
        assert len(server.requests) == 1

    async def test_send_when_the_answer_is_a_page_then_classified_and_quoted_in_short(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().malformed)

        outcome = await adapter_under_test.send(request_of)

        assert fault_of(outcome) is self.malformed_outcome
        assert getattr(outcome, "billed_nano_usd", None) is None  # what was delivered is paid for, as reserved
        assert len(message_of(outcome)) < 600

    async def test_send_when_the_answer_is_too_large_then_classified(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().too_large)

        outcome = await adapter_under_test.send(request_of)

        assert fault_of(outcome) is self.too_large_outcome
        assert getattr(outcome, "billed_nano_usd", None) is None

    async def test_send_when_the_endpoint_echoes_the_secret_then_no_message_holds_it(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().echoing)

        outcome = await adapter_under_test.send(request_of)

        assert SECRET not in repr(outcome)
        name, value = self.credential
        assert re.fullmatch(value, server.requests[0].headers[name])

    async def test_send_when_redirected_then_nothing_is_asked_elsewhere(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(307, {}, headers={"Location": f"{server.url}/elsewhere"}))

        outcome = await adapter_under_test.send(request_of)

        assert fault_of(outcome) is faults.Fault.REJECTED_PERMANENT
        assert scripted_server.paths(server.requests) == [self.call]

    async def test_send_when_cancelled_then_the_connection_is_closed(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.silence())
        sending = asyncio.create_task(adapter_under_test.send(request_of))
        await server.wait_for_requests(1)

        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

        async with asyncio.timeout(20):
            await server.left.wait()

    async def test_check_when_nobody_listens_then_says_so(self) -> None:
        made = self.make(f"http://127.0.0.1:{_closed_port()}")

        trouble = await made.check()
        await made.close()

        assert trouble is not None
        assert "127.0.0.1" in trouble

    async def test_repr_when_made_then_holds_no_secret(self, adapter_under_test: provider.Provider) -> None:
        assert SECRET not in repr(vars(adapter_under_test).get("_config"))

    async def test_close_when_called_twice_then_a_later_send_still_works(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(self.replies().done)
        await adapter_under_test.close()
        await adapter_under_test.close()

        outcome = await adapter_under_test.send(request_of)

        assert type(outcome) is self.done_outcome

    async def test_poll_when_the_job_was_taken_while_the_endpoint_was_another_then_it_is_not_taken_for_failed(
        self,
        server: scripted_server.ScriptedServer,
        adapter_under_test: provider.Provider,
        request_of: provider.ProviderRequest,
    ) -> None:
        server.script(scripted_server.json_reply(404, {"error": {"code": "not_found", "message": "no such job"}}))

        outcome = await adapter_under_test.poll('{"job": "of the adapter before"}', request_of)

        self.check_unproven(adapter_under_test, outcome)


def fault_of(outcome: settle.Outcome) -> faults.Fault | None:
    """The fault of an outcome; None for one that is unknown."""
    if isinstance(outcome, settle.Unknown):
        return None
    assert isinstance(outcome, settle.Faulted), outcome
    return outcome.fault.fault


def message_of(outcome: settle.Outcome) -> str:
    if isinstance(outcome, settle.Unknown):
        return outcome.message
    assert isinstance(outcome, settle.Faulted), outcome
    return outcome.fault.message


def picture(media_type: str = "image/png", *, size_px: tuple[int, int] = (8, 6)) -> bytes:
    """A small picture, encoded."""
    encoded = io.BytesIO()
    Image.linear_gradient("L").resize(size_px).convert("RGB").save(encoded, format=media_type.removeprefix("image/"))
    return encoded.getvalue()


async def stored(artifacts: provider.ArtifactReader, data: bytes) -> artifact.Artifact:
    return await artifacts.write(data, media_type=None)


def page() -> scripted_server.Answer:
    body = b"<!doctype html><title>Sign in</title>" + b"<p>filler</p>" * 200
    return scripted_server.reply(200, body, media_type="text/html; charset=utf-8")


def over_cap() -> scripted_server.Answer:
    return scripted_server.reply(200, b'{"a": "' + b"x" * (transport.BODY_BYTES_MAX + 1) + b'"}')


def _closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
