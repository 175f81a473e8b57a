"""The options of a fal endpoint are refused by name."""

import pytest

from heddle.config import deployment
from heddle.providers import registry


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"jwks_url": "http://rest.fal.ai/jwks.json"}, "jwks_url"),
        ({"jwks_url": "https://[::1"}, "jwks_url"),
        ({"model_name": "flux"}, "model_name"),
        ({"poll_after_s": 0}, "poll_after_s"),
    ],
    ids=range(4),
)
def test_options_when_one_is_wrong_then_the_refusal_names_it(options: dict[str, object], named: str) -> None:
    endpoint = deployment.Endpoint(
        name="there", adapter="fal", url="http://h", scopes=("there",), secret="env:KEY", options=options
    )

    with pytest.raises(registry.EndpointRefused, match=rf"\[endpoints.there\] {named}"):
        registry.build(endpoint, {"KEY": "k"})
