"""The ``kserve`` adapter and the example's model server understand each other, in every form of the protocol."""

import io
import pathlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from PIL import Image, ImageDraw

from heddle.config import deployment
from heddle.core import artifact, faults, settle
from heddle.ports import provider
from heddle.providers import registry
from heddle.store import blobs
from tests.contract import tenant_artifacts

pytest.importorskip("cv2", reason="the model server needs the extra `demo`: pip install heddle[demo]")

SIZE_PX = (96, 64)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    from examples.servers import model_server

    runner = web.AppRunner(model_server.ModelServer(threads=1).application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
def artifacts(tmp_path: pathlib.Path) -> tenant_artifacts.TenantArtifacts:
    store = blobs.FilesystemBlobs(directory=tmp_path / "artifacts", bytes_max=10_000_000, pixels_max=1_000_000)
    return tenant_artifacts.TenantArtifacts(store)


async def photo(artifacts: provider.ArtifactReader) -> artifact.Artifact:
    picture = Image.new("RGB", SIZE_PX, (235, 235, 230))
    ImageDraw.Draw(picture).ellipse((30, 14, 66, 50), fill=(160, 30, 40))
    encoded = io.BytesIO()
    picture.save(encoded, format="JPEG", quality=95)
    return await artifacts.write(encoded.getvalue(), media_type="image/jpeg")


def made(url: str, **options: object) -> provider.Provider:
    endpoint = deployment.Endpoint(
        name="segmentation", adapter="kserve", url=url, scopes=("segmentation",), options=options
    )
    return registry.build(endpoint, {})


def request_of(
    artifacts: provider.ArtifactReader, given: dict[str, object], *, model: str = "segmenter"
) -> provider.ProviderRequest:
    return provider.ProviderRequest(
        attempt_id="att_1", idempotency_key="key_1", model=model, input=given, timeout_s=60, artifacts=artifacts
    )


@pytest.mark.parametrize(("is_binary", "output"), [(True, "mask"), (True, "mask_png"), (False, "mask")])
async def test_segment_when_a_photo_is_sent_then_a_mask_of_its_size_is_stored(
    url: str, artifacts: tenant_artifacts.TenantArtifacts, is_binary: bool, output: str
) -> None:
    there = made(url, binary=is_binary, output_media="image/png", outputs={output: "mask", "coverage": "coverage"})

    outcome = await there.send(request_of(artifacts, {"image": (await photo(artifacts)).as_json()}))
    await there.close()

    assert isinstance(outcome, settle.Completed), outcome
    stored = artifact.Artifact.from_json(outcome.output["mask"])
    with Image.open(io.BytesIO(await artifacts.read(stored))) as mask:
        assert (mask.size, mask.mode) == (SIZE_PX, "L")
        assert mask.getpixel((48, 32)) == 255
        assert mask.getpixel((2, 2)) == 0
    assert 0.05 < outcome.output["coverage"][0] < 0.5


async def test_segment_when_the_file_is_sent_as_bytes_then_the_server_decodes_it(
    url: str, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    there = made(url, inputs={"image": {"datatype": "BYTES"}}, output_media="image/png")

    outcome = await there.send(request_of(artifacts, {"image": (await photo(artifacts)).as_json()}))
    await there.close()

    assert isinstance(outcome, settle.Completed), outcome


async def test_segment_when_the_input_is_wrong_then_refused_for_good(
    url: str, artifacts: tenant_artifacts.TenantArtifacts
) -> None:
    there = made(url)
    image = (await photo(artifacts)).as_json()

    outcomes = [
        await there.send(request_of(artifacts, {"image": [1, 2, 3]})),
        await there.send(request_of(artifacts, {"picture": image})),
        await there.send(request_of(artifacts, {"image": image}, model="unknown")),
    ]
    await there.close()

    assert [outcome.fault.fault for outcome in outcomes if isinstance(outcome, settle.Faulted)] == [
        faults.Fault.REJECTED_PERMANENT
    ] * 3


async def test_check_when_the_server_is_ready_then_nothing_is_wrong(url: str) -> None:
    ready, unknown = made(url, model_name="segmenter"), made(url, model_name="unknown")

    assert await ready.check() is None
    assert "404" in (await unknown.check() or "")
    await ready.close()
    await unknown.close()
