"""The options of a SageMaker endpoint are refused by name, and so is a machine without botocore."""

import sys
from collections.abc import Mapping
from typing import Any

import pytest

from heddle.config import deployment
from heddle.providers import registry

REGION = "eu-central-1"


@pytest.mark.parametrize(
    ("options", "secret", "named"),
    [
        ({"region": "here"}, "a:b", "region"),
        ({"endpoint_name": "../x"}, "a:b", "endpoint_name"),
        ({"mode": "async"}, "a:b", "output_path"),
        ({"mode": "async", "output_path": "s3://acme/a b"}, "a:b", "output_path"),
        ({}, "no colon", "secret"),
    ],
    ids=range(5),
)
def test_options_when_one_is_wrong_then_the_refusal_names_it(
    options: Mapping[str, Any], secret: str, named: str
) -> None:
    endpoint = deployment.Endpoint(
        name="there",
        adapter="sagemaker",
        url="http://h",
        scopes=("there",),
        secret="env:KEYS",
        options={"region": REGION, "endpoint_name": "relight", **options},
    )

    with pytest.raises(registry.EndpointRefused, match=rf"\[endpoints.there\] {named}"):
        registry.build(endpoint, {"KEYS": secret})


def test_build_when_botocore_is_missing_then_the_refusal_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    options = {"region": REGION, "endpoint_name": "relight"}
    endpoint = deployment.Endpoint(
        name="there", adapter="sagemaker", url="http://h", scopes=("there",), secret="env:KEYS", options=options
    )

    with pytest.raises(registry.EndpointRefused, match=r"pip install 'heddle\[aws\]'"):
        registry.build(endpoint, {"KEYS": "a:b"})
