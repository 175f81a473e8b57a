"""A result behind a link is copied once, from where it may come from, and without our credential elsewhere."""

import base64
import pathlib
from collections.abc import AsyncIterator

import pytest

from heddle.core import artifact, faults
from heddle.providers import fetching, transport
from heddle.store import blobs
from tests.contract import provider_suite, scripted_server, tenant_artifacts

CREDENTIAL = {"Authorization": "Bearer opensesame"}


@pytest.fixture
async def server() -> AsyncIterator[scripted_server.ScriptedServer]:
    async with scripted_server.ScriptedServer() as server:
        yield server


@pytest.fixture
def artifacts(tmp_path: pathlib.Path) -> tenant_artifacts.TenantArtifacts:
    store = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=100_000, pixels_max=1_000)
    return tenant_artifacts.TenantArtifacts(store)


async def copied(
    link: str, home: str, artifacts: tenant_artifacts.TenantArtifacts, *, bytes_max: int = 1_000_000
) -> artifact.Artifact | fetching.NotCopied:
    connections = transport.Transport()
    try:
        return await fetching.copy(
            link,
            source=fetching.Source(home=home, headers=CREDENTIAL, bytes_max=bytes_max),
            connections=connections,
            artifacts=artifacts,
            timeout_s=5.0,
        )
    finally:
        await connections.close()


async def test_copy_when_the_link_is_of_the_endpoint_then_stored_with_our_credential(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    picture = provider_suite.picture()
    server.script(scripted_server.reply(200, picture, media_type="binary/octet-stream"))

    stored = await copied(f"{server.url}/files/a?sig=x", f"{server.url}/v1", artifacts)

    assert isinstance(stored, artifact.Artifact), stored
    assert (stored.media_type, await artifacts.read(stored)) == ("image/png", picture)
    assert server.requests[0].headers["authorization"] == "Bearer opensesame"


async def test_copy_when_the_link_leads_inside_from_another_origin_then_nothing_is_asked(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.reply(200, provider_suite.picture(), media_type="image/png"))

    refused = await copied(f"{server.url}/latest/meta-data", "https://api.example.com/v1", artifacts)

    assert isinstance(refused, fetching.NotCopied)
    assert "not one of the public internet" in refused.message
    assert not refused.is_passing
    assert server.requests == []


@pytest.mark.parametrize(
    "link",
    ["file:///etc/passwd", "ftp://h/x", "http://u:p@h/x", "//h/x", "x", "http://h:99999/", "http://h/" + "x" * 5_000],
)
async def test_copy_when_the_link_is_none_then_bad_output(
    link: str, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    refused = await copied(link, "http://h", artifacts)

    assert isinstance(refused, fetching.NotCopied)
    assert (refused.fault, refused.is_passing) == (faults.Fault.BAD_OUTPUT, False)


@pytest.mark.parametrize(
    ("status", "is_passing"), [(404, True), (429, True), (503, True), (403, False), (410, False), (302, False)]
)
async def test_copy_when_refused_then_told_whether_it_may_pass(
    status: int,
    is_passing: bool,
    server: scripted_server.ScriptedServer,
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    server.script(scripted_server.reply(status, b"", headers={"Location": f"{server.url}/elsewhere"}))

    refused = await copied(f"{server.url}/a", server.url, artifacts)

    assert isinstance(refused, fetching.NotCopied)
    assert refused.is_passing is is_passing
    assert len(server.requests) == 1


async def test_copy_when_cut_or_a_page_then_it_may_come_whole_the_next_time(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    picture = provider_suite.picture()
    server.script(
        scripted_server.cut_inside(200, picture, media_type="image/png"),
        scripted_server.reply(200, picture[:-20], media_type="image/png"),
        provider_suite.page(),
    )

    refused = [await copied(f"{server.url}/a", server.url, artifacts) for _ in range(3)]

    assert [isinstance(each, fetching.NotCopied) and each.is_passing for each in refused] == [True] * 3


async def test_copy_when_too_large_then_said_for_good(
    server: scripted_server.ScriptedServer, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    server.script(scripted_server.reply(200, b"x" * 5_000, media_type="application/octet-stream"))

    refused = await copied(f"{server.url}/a", server.url, artifacts, bytes_max=1_000)

    assert isinstance(refused, fetching.NotCopied)
    assert (refused.fault, refused.is_passing) == (faults.Fault.TOO_LARGE, False)


async def test_copy_when_the_link_holds_the_data_then_stored_without_a_request(
    artifacts: tenant_artifacts.TenantArtifacts,
) -> None:
    picture = provider_suite.picture()

    stored = await copied(f"data:image/png;base64,{base64.b64encode(picture).decode()}", "http://h", artifacts)
    broken = await copied("data:image/png;base64,%%%", "http://h", artifacts)

    assert isinstance(stored, artifact.Artifact)
    assert isinstance(broken, fetching.NotCopied)


@pytest.mark.parametrize(
    ("url", "is_same"),
    [
        ("https://h/x", True),
        ("https://h:443/x?y", True),
        ("https://H/", True),
        ("http://h/x", False),
        ("https://h:444/", False),
        ("https://h.evil/", False),
        ("https://h@evil/", False),
        ("h/x", False),
    ],
)
def test_same_origin_when_compared_then_scheme_host_and_port_count(url: str, is_same: bool) -> None:
    assert fetching.is_same_origin(url, "https://h/v1") is is_same
