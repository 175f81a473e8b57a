"""OpenAI's own client sends pictures to be edited: what the model is given, what is refused, where reading stops."""

import asyncio
import base64
import contextlib
import pathlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

from heddle import wiring
from heddle.gateway import files, uploads
from heddle.twins.kit import media
from tests import pg
from tests.integration import gateway_site, working
from tests.races import invariants, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")
BODY_BYTES_MAX = 200_000
FILE_BYTES_MAX = 100_000
TEXT_BYTES_MAX = 4_096
DRESS, COAT, MASK = media.png("dress"), media.jpeg("coat"), media.png("mask")
BOUNDARY = "edge"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(database: pg.Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[gateway_site.Site]:
    async with gateway_site.open_site(
        database,
        tmp_path_factory.mktemp("gateway"),
        gateway_request_bytes_max=BODY_BYTES_MAX,
        artifact_bytes_max=FILE_BYTES_MAX,
        gateway_inline_bytes_max=TEXT_BYTES_MAX,
        gateway_wait_s=20.0,
    ) as made:
        yield made
    with database.connect() as connection:
        assert not invariants.broken(connection)


@pytest_asyncio.fixture(loop_scope="module")
async def client(site: gateway_site.Site) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=site.url, api_key=site.key, max_retries=0) as made:
        yield made


async def answers(site: gateway_site.Site) -> bytes:
    """Let the model answer with a picture, and give it."""
    picture = media.png(uuid.uuid4().hex)
    reference = await scene.in_thread(lambda: wiring.client().upload(picture, media_type="image/png"))
    site.talker.will(gateway_site.done({"data": [{"image": reference.as_json()}]}))
    return picture


def part(name: str, content: bytes, *, filename: str | None = None, more: str = "") -> bytes:
    named = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n{more}\r\n'
    return head.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def posted(site: gateway_site.Site, content: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    async with httpx.AsyncClient(timeout=working.PATIENCE_S) as web:
        return await web.post(
            f"{site.url}/images/edits",
            content=content,
            headers={"Authorization": f"Bearer {site.key}", **(headers or FORM)},
        )


def kept(site: gateway_site.Site) -> int:
    """Count the artifacts that there are."""
    with site.database.connect() as connection:
        row = connection.execute("select count(*) from heddle_artifact").fetchone()
    assert row is not None
    return int(row[0])


async def test_edit_when_one_picture_and_a_mask_come_then_the_model_has_them_and_the_answer_is_a_link(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    picture = await answers(site)

    raw = await client.images.with_raw_response.edit(
        model="paint", image=DRESS, mask=("mask.jpg", MASK), prompt="in linen", n=1, size="64x64", quality="low"
    )
    answer = raw.parse()

    asked: Any = site.talker.asked[0].input
    assert {name: asked[name] for name in ("prompt", "n", "size", "quality")} == {
        "prompt": "in linen",
        "n": 1,
        "size": "64x64",
        "quality": "low",
    }
    assert [(asked[name]["media_type"], asked[name]["size_bytes"]) for name in ("image", "mask")] == [
        ("image/png", len(DRESS)),
        ("image/png", len(MASK)),
    ]
    assert set(asked) == {"prompt", "n", "size", "quality", "image", "mask"}
    assert answer.data is not None
    found = await client._client.get(answer.data[0].url or "")
    assert (found.content, found.headers["content-type"]) == (picture, "image/png")
    run = await gateway_site.run_of(raw.headers["x-request-id"])
    assert (run.workflow, run.cost_nano_usd) == ("model:paint", gateway_site.PRICE_NANO_USD)


async def test_edit_when_several_pictures_come_then_they_are_a_list_in_order_and_the_answer_may_be_in_base64(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    picture = await answers(site)

    answer = await client.images.edit(
        model="paint", image=[DRESS, ("coat.png", COAT)], prompt="together", response_format="b64_json"
    )

    asked: Any = site.talker.asked[0].input
    assert [each["media_type"] for each in asked["image"]] == ["image/png", "image/jpeg"]
    assert set(asked) == {"prompt", "image"}
    assert answer.data is not None
    assert base64.b64decode(answer.data[0].b64_json or "") == picture


async def test_edit_when_a_list_of_one_comes_then_it_stays_a_list(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    await answers(site)

    await client.images.edit(model="paint", image=[DRESS], prompt="alone")

    asked: Any = site.talker.asked[0].input
    assert [each["size_bytes"] for each in asked["image"]] == [len(DRESS)]


async def test_edit_when_the_model_does_not_speak_the_shape_then_its_fields_are_mapped(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    await answers(site)

    await client.images.edit(
        model="mapped", image=DRESS, prompt="in silk", n=2, size="512x256", user="u", extra_body={"seed": 7}
    )

    asked: Any = site.talker.asked[0].input
    assert asked.pop("image")["media_type"] == "image/png"
    assert asked == {"prompt": "in silk", "num_outputs": 2, "width": 512, "height": 256, "seed": 7}


async def test_edit_when_a_key_comes_again_with_the_same_files_then_it_is_one_call(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    await answers(site)
    named = {"Idempotency-Key": uuid.uuid4().hex}

    async def edit(picture: bytes) -> Any:
        return await client.images.with_raw_response.edit(
            model="paint", image=[picture, COAT], prompt="once", extra_headers=named
        )

    found = [*await asyncio.gather(edit(DRESS), edit(DRESS)), await edit(DRESS)]

    assert len({raw.headers["x-request-id"] for raw in found}) == 1
    assert found[-1].headers["Idempotent-Replayed"] == "true"
    assert len(site.talker.asked) == 1
    with pytest.raises(openai.BadRequestError, match="another request"):
        await edit(MASK)


async def test_edit_when_a_picture_is_named_by_its_id_then_it_is_not_sent_again(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    await answers(site)
    reference = await scene.in_thread(lambda: wiring.client().upload(DRESS))

    found = await posted(
        site,
        form(
            part("model", b"paint"),
            part("prompt", b"again"),
            part("image[]", reference.id.encode()),
            part("image[]", reference.id.encode()),
        ),
    )

    asked: Any = site.talker.asked[0].input
    assert found.status_code == 200, found.text
    assert [each["size_bytes"] for each in asked["image"]] == [len(DRESS)] * 2


PAINT = part("model", b"paint") + part("prompt", b"x")
PICTURE = part("image", DRESS, filename="a.png")


@pytest.mark.parametrize(
    ("parts", "status", "param", "words"),
    [
        ([PAINT], 400, "image", "send the picture"),
        ([PAINT, part("mask", MASK, filename="m.png")], 400, "image", "a mask needs the picture"),
        ([PAINT, part("image", b"once upon a time", filename="a.png")], 400, "image", "must be a picture"),
        ([PAINT, PICTURE, part("mask", b"%PDF-1.7", filename="m.png")], 400, "mask", "application/pdf"),
        ([PAINT, part("image", b"", filename="a.png")], 400, "image", "must be a picture"),
        ([PAINT, part("image", DRESS[:-9], filename="a.png")], 400, "image", "refused"),
        ([PAINT, part("image", DRESS)], 400, "image", "UTF-8"),
        ([PAINT, part("image", b"a dress")], 400, "image", "must be a file"),
        ([PAINT, PICTURE, part("image", b"a dress")], 400, "image", "as a file and as a text"),
        ([PAINT, PICTURE, part("n", b"two")], 400, "n", "whole number"),
        ([PAINT, PICTURE, part("prompt", b"y")], 400, "prompt", "twice"),
        ([PAINT, PICTURE, part("stream", b"true")], 400, "stream", "not streamed"),
        ([PAINT, PICTURE, part("stream", b"perhaps")], 400, "stream", "true or false"),
        ([PAINT, PICTURE, part("prompt", b"x" * (TEXT_BYTES_MAX + 1))], 413, "prompt", "4096 bytes"),
        ([PAINT, part("image", DRESS + b"x" * FILE_BYTES_MAX, filename="a.png")], 413, "image", "100000 bytes"),
        ([PAINT, *[PICTURE] * (files.FILES_MAX + 1)], 400, "image", "more than 64 files"),
        ([PAINT, *[part("a[]", b"1")] * uploads.PARTS_MAX], 400, "image", "more than 128 parts"),
        ([PAINT, part("x" * 300, b"1")], 400, "image", "no name"),
        ([PAINT, part("x", b"1", more="X-Long: " + "y" * 9_000 + "\r\n")], 400, "image", "no multipart"),
        ([PAINT, part("x", b"1", more="Content-Type: multipart/mixed; boundary=b\r\n")], 400, "image", "parts itself"),
        ([PICTURE], 400, "model", "name of a model"),
        ([PICTURE, part("model", b"nobody")], 404, "model", "does not exist"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_edit_when_it_cannot_be_then_the_field_is_named_and_nothing_was_kept(
    site: gateway_site.Site, parts: list[bytes], status: int, param: str, words: str
) -> None:
    before = kept(site)

    found = await posted(site, form(*parts))

    error = found.json()["error"]
    assert (found.status_code, error["param"]) == (status, param), error
    assert words in error["message"]
    assert kept(site) == before
    assert found.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("content", "headers", "words"),
    [
        (b'{"model": "paint"}', {"Content-Type": "application/json"}, "multipart/form-data body"),
        (b"model=paint", {"Content-Type": "application/x-www-form-urlencoded"}, "multipart/form-data body"),
        (b"", FORM, "no multipart body"),
        (b"x", {"Content-Type": "multipart/form-data"}, "no multipart body"),
        (PAINT + PICTURE, FORM, "no multipart body"),
        (form(PAINT, part("image", b"1", filename="a", more="Content-Transfer-Encoding: odd\r\n")), FORM, "encoding"),
    ],
)
async def test_edit_when_the_body_is_no_form_then_it_says_so(
    site: gateway_site.Site, content: bytes, headers: dict[str, str], words: str
) -> None:
    found = await posted(site, content, headers)

    error = found.json()["error"]
    assert (found.status_code, error["param"], error["type"]) == (400, "image", "invalid_request_error"), error
    assert words in error["message"]


async def test_edit_when_the_announced_length_is_too_large_then_it_is_refused_before_a_byte_is_read(
    site: gateway_site.Site,
) -> None:
    async with begun(site, f"Content-Length: {10**9}") as reader:
        status = await reader.readline()

    assert b" 413 " in status


@contextlib.asynccontextmanager
async def begun(there: gateway_site.Site, length: str) -> AsyncIterator[asyncio.StreamReader]:
    """Send the head of an upload and nothing of its body."""
    address = httpx.URL(there.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = ["POST /v1/images/edits HTTP/1.1", "Host: a", f"Authorization: Bearer {there.key}", length]
    head += [f"{name}: {value}" for name, value in FORM.items()]
    writer.write("\r\n".join([*head, "", ""]).encode())
    await writer.drain()
    try:
        async with asyncio.timeout(working.PATIENCE_S):
            yield reader
    finally:
        writer.close()


async def test_edit_when_the_length_is_not_told_then_it_is_read_up_to_the_bound(site: gateway_site.Site) -> None:
    await answers(site)

    async def pieces(picture_count: int) -> AsyncIterator[bytes]:
        yield PAINT
        for _ in range(picture_count):
            yield part("image[]", DRESS + b"\0" * 60_000, filename="a.png")
        yield form()

    small, large = await posted(site, pieces(2)), await posted(site, pieces(4))

    assert small.status_code == 200, small.text
    assert (large.status_code, large.json()["error"]["param"]) == (413, "image")
    assert f"{BODY_BYTES_MAX} bytes" in large.json()["error"]["message"]


async def test_edit_when_the_client_is_official_and_the_file_is_text_then_its_own_error_comes(
    site: gateway_site.Site, client: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.images.edit(model="paint", image=("a.png", b"no picture", "image/png"), prompt="x")

    assert (caught.value.param, caught.value.code) == ("image", "unsupported_file_mimetype")


async def test_edit_when_the_key_is_not_valid_then_nothing_is_read(site: gateway_site.Site) -> None:
    found = await posted(site, form(PAINT, PICTURE), {**FORM, "Authorization": "Bearer sk-wrong"})

    assert found.status_code == 401


async def test_edit_when_an_upload_stands_still_then_it_holds_a_place_for_the_longest_wait_and_no_longer(
    database: pg.Database, site: gateway_site.Site, tmp_path: pathlib.Path
) -> None:
    async with (
        gateway_site.open_site(
            database, tmp_path, is_deployed=True, gateway_requests_max=1, gateway_wait_s=2.0
        ) as narrow,
        begun(narrow, "Transfer-Encoding: chunked") as reader,
    ):
        full = await until_busy(narrow)
        status = await reader.readline()

    assert full.json()["error"]["code"] == "busy"
    assert b" 408 " in status


async def until_busy(narrow: gateway_site.Site) -> httpx.Response:
    """Ask until the place is taken; what is asked for before is refused, since it is no form."""
    async with asyncio.timeout(working.PATIENCE_S):
        while True:
            found = await posted(narrow, b"", {"Content-Type": "text/plain"})
            if found.status_code == 503:
                return found
