"""Whether calls to an endpoint cost money: by the file, or by what its adapter is for."""

import types
from typing import cast

import pytest

from heddle.core.attempt import IdempotencyClass
from heddle.engine import parts
from heddle.ports import provider, store


@pytest.mark.parametrize(
    ("is_priced", "is_sold", "is_paid"),
    [(True, True, True), (False, True, True), (True, False, True), (False, False, False)],
)
def test_endpoint_when_the_file_or_its_adapter_says_so_then_its_calls_are_paid(
    is_priced: bool, is_sold: bool, is_paid: bool
) -> None:
    capabilities = provider.Capabilities(idempotency=IdempotencyClass.C, is_paid=is_sold)
    endpoint = parts.Endpoint(
        row=cast("store.EndpointRow", types.SimpleNamespace(is_paid=is_priced)),
        provider=cast("provider.Provider", types.SimpleNamespace(capabilities=capabilities)),
    )

    assert endpoint.is_paid is is_paid
