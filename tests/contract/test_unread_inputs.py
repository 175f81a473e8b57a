"""An input that cannot be read: nothing has left this machine, so a paid call is tried again and is not unknown."""

import random
import types
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import pytest

from heddle.config import deployment, settings
from heddle.core import artifact, faults, settle
from heddle.engine import execute, hold, media
from heddle.engine import parts as parts_module
from heddle.engine import settle as settle_stage
from heddle.ports import blobs, provider
from heddle.providers import registry
from tests.contract import provider_suite, scripted_server
from tests.unit.engine import claims

PICTURE = artifact.Artifact(sha256="a" * 64, media_type="image/png", size_bytes=100)


class BrokenBlobs:
    """Fail as a disk does that is there and cannot be read."""

    async def read(self, *, tenant: str, sha256: str, chunk_bytes: int = 65_536) -> AsyncIterator[bytes]:
        yield b"the first bytes"
        raise OSError(5, "Input/output error")


def broken_parts() -> parts_module.Parts:
    parts = types.SimpleNamespace(
        settings=settings.Settings(),
        hold=hold.Hold(),
        blobs=BrokenBlobs(),
        clock=types.SimpleNamespace(monotonic_s=lambda: 1_000.0, rng=random.Random(7)),
    )
    return cast("parts_module.Parts", parts)


def requested(artifacts: provider.ArtifactReader) -> provider.ProviderRequest:
    return provider.ProviderRequest(
        attempt_id="att_0190",
        idempotency_key="key_0190",
        model="relight",
        input={"image": PICTURE.as_json()},
        timeout_s=5.0,
        artifacts=artifacts,
    )


@pytest.mark.parametrize(
    ("adapter", "options"),
    [("http", {"paid": True}), ("fal", {"model_name": "fal-ai/flux/dev"}), ("runpod", {})],
)
async def test_answer_when_an_input_cannot_be_read_then_a_paid_call_was_not_sent(
    adapter: str, options: Mapping[str, Any]
) -> None:
    parts = broken_parts()
    async with scripted_server.ScriptedServer() as server:
        endpoint = deployment.Endpoint(
            name="there", adapter=adapter, url=server.url, scopes=(), secret="env:KEY", options=options
        )
        made = registry.build(endpoint, {"KEY": provider_suite.SECRET})
        request = requested(media.TenantArtifacts(parts, tenant_id=1, tenant="acme"))
        paid = parts_module.Endpoint(row=claims.endpoint(adapter=adapter), provider=made)

        outcome = await execute.Executor(parts).answer(claims.claimed(), paid, request)
        await made.close()

    assert isinstance(outcome, settle.Faulted)
    assert outcome.fault.fault is faults.Fault.NOT_SENT
    assert faults.FAULTS[outcome.fault.fault].is_retryable
    assert "Input/output error" in outcome.fault.message
    assert server.requests == []
    verdict = settle.RetryAt(delay_s=1.0, fault=outcome.fault)
    assert settle_stage.settlement(claims.claimed(endpoint_id=7), verdict).breaker == 0


async def test_read_when_the_storage_fails_then_said_in_one_error_for_all_adapters() -> None:
    reader = media.TenantArtifacts(broken_parts(), tenant_id=1, tenant="acme")

    with pytest.raises(blobs.BlobUnread, match=r"the artifact storage could not be read: .*Input/output error"):
        await reader.read(PICTURE)
