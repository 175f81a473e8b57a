"""Artifacts: their two forms, and that a wrong one is named."""

from typing import Any

import pytest

from heddle.core import artifact

HASH = "ab" * 32
PHOTO = artifact.Artifact(sha256=HASH, media_type="image/png", size_bytes=12)


def test_artifact_when_journalled_then_it_is_read_back_equal() -> None:
    assert artifact.Artifact.from_json(PHOTO.as_json()) == PHOTO
    assert artifact.is_artifact(PHOTO.as_json())


def test_artifact_when_shown_then_it_is_read_back_equal_and_bears_no_mark() -> None:
    assert artifact.Artifact.from_json(PHOTO.as_public_json()) == PHOTO
    assert not artifact.is_artifact(PHOTO.as_public_json())


def test_artifact_when_given_by_id_alone_then_the_rest_is_unknown() -> None:
    read = artifact.Artifact.from_json({"id": f"sha256:{HASH}"})

    assert read == artifact.Artifact(sha256=HASH, media_type="application/octet-stream", size_bytes=0)


@pytest.mark.parametrize(
    "value",
    [{}, {"id": HASH}, {"id": 7}, {"id": "sha256:"}, {"id": f"sha256:{HASH.upper()}"}, {"id": f"sha256:{HASH}\n"}],
)
def test_artifact_when_its_id_is_malformed_then_it_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sha256"):
        artifact.Artifact.from_json(value)
