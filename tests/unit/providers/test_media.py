"""Answers are read strictly, media are found at any depth, and only what the provider serves counts as its file."""

import json
from typing import Any

import pytest

from heddle.core import artifact
from heddle.providers import fetching, json_wire, media, transport

STORED = artifact.Artifact(sha256="0" * 64, media_type="image/png", size_bytes=3)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"3", b'{"a": NaN}', b'{"a": Infinity}', b"\xff{}", b"{", b'{"a":' * 70 + b"1" + b"}" * 70],
    ids=range(8),
)
def test_answer_when_it_is_no_strict_object_then_refused(body: bytes) -> None:
    with pytest.raises(json_wire.AnswerRefused):
        json_wire.read_object(body)


def test_answer_when_fields_are_of_other_types_then_as_if_not_there() -> None:
    value = json_wire.read_object('{"text": 3, "part": [], "count": true, "seconds": "4", "many": 1e3}')

    assert json_wire.read_text(value, "text") == ""
    assert json_wire.read_part(value, "part") == {}
    assert [json_wire.read_count(value, key) for key in ("count", "many", "none")] == [None, None, None]
    assert [json_wire.read_seconds(value, key) for key in ("seconds", "count", "many")] == [None, None, 1000.0]


@pytest.mark.parametrize(
    ("count", "read"), [(0, 0), (10**11, 10**11), (10**11 + 1, None), (-1, None), (1.5, None)], ids=range(5)
)
def test_count_when_it_cannot_be_true_then_not_told(count: float, read: int | None) -> None:
    assert json_wire.read_count({"count": count}, "count") == read


async def test_input_when_it_holds_artifacts_then_each_is_written_with_its_place() -> None:
    async def write(reference: artifact.Artifact, place: str) -> str:
        return f"{place}:{reference.media_type}"

    given = {"a": [STORED.as_json(), {"b": STORED.as_json()}], "c": "text", "d": None}

    assert await media.sent(given, write=write) == {
        "a": ["input.a[0]:image/png", {"b": "input.a[1].b:image/png"}],
        "c": "text",
        "d": None,
    }


async def test_output_when_it_has_too_many_media_then_refused_before_one_is_read() -> None:
    read: list[str] = []

    async def keep(text: str) -> Any:
        read.append(text)

    with pytest.raises(media.MediaRefused, match="output has 65 media"):
        await media.taken(["data:image/png;base64,"] * 65, is_medium=media.is_data_url, read=keep)
    assert read == []


@pytest.mark.parametrize(
    ("text", "is_file"),
    [
        ("https://replicate.delivery/a/out.png", True),
        ("https://pbxt.replicate.delivery/a/out.png", True),
        ("https://api.example.com/v1/files/a", True),
        ("data:image/png;base64,AAAA", True),
        ("DATA:image/png;BASE64,AAAA", True),
        ("data:,plain", False),
        ("https://replicate.delivery.evil.example/out.png", False),
        ("https://evilreplicate.delivery/out.png", False),
        ("https://replicate.delivery@evil.example/out.png", False),
        ("https://evil.example/#replicate.delivery", False),
        ("https://api.example.com:8443/v1/files/a", False),
        ("http://169.254.169.254/latest/meta-data", False),
        ("see https://replicate.delivery/a.png", False),
        ("https://replicate.delivery/a.png and more", False),
        ("ftp://replicate.delivery/a.png", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_text_when_it_leads_to_where_files_are_served_then_a_file_and_else_a_text(text: str, is_file: bool) -> None:
    collector = fetching.Collector(
        connections=transport.Transport(),
        source=fetching.Source(home="https://api.example.com", headers={}),
        hosts=("replicate.delivery",),
    )

    assert collector.is_file(text) is is_file


def test_images_when_counted_then_pictures_alone() -> None:
    film = {**STORED.as_json(), "media_type": "video/mp4"}

    assert media.images_in({"a": [STORED.as_json(), film], "b": STORED.as_json(), "c": json.dumps({})}) == 2
