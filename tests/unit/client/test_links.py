"""What only looks like a file is shown as it is."""

from typing import Any

import pytest

from heddle.client import links

SHA = "a" * 64
LINKS = links.Links(root_url="https://gate.example", secret_key="of the test", lasts_s=60.0, now_s=lambda: 0.0)
RECORD = {"id": f"sha256:{SHA}", "media_type": "image/png", "size_bytes": 3}


@pytest.mark.parametrize(
    "value",
    [
        {**RECORD, "size_bytes": "many"},
        {**RECORD, "size_bytes": None},
        {**RECORD, "size_bytes": float("inf")},
        {**RECORD, "id": 5},
        {"$artifact": 5},
        {"$artifact": "sha256:short"},
    ],
    ids=range(6),
)
def test_value_when_it_only_looks_like_a_file_then_it_is_shown_as_it_is(value: dict[str, Any]) -> None:
    assert LINKS.linked("acme", links.marked([value])) == [value]


def test_value_when_it_is_a_file_then_it_is_a_link() -> None:
    (shown,) = LINKS.linked("acme", links.marked([RECORD]))

    assert shown.startswith("https://gate.example/v1/files/")
