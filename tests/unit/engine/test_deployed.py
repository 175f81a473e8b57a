"""One endpoint that this worker cannot serve keeps it from hearing of no other."""

import types
from typing import Any, cast

import pytest

from heddle.engine import deployed
from heddle.engine import parts as parts_module
from heddle.ports import store
from tests.unit.engine import claims


class _Provider:
    def __init__(self, row: store.EndpointRow) -> None:
        if row.secret_name == "MISSING":
            raise ValueError("MISSING is not set")

    async def close(self) -> None:
        """Hold nothing."""


class _Store:
    def __init__(self, *rows: store.EndpointRow) -> None:
        self.rows = list(rows)

    async def endpoints(self) -> list[store.EndpointRow]:
        return self.rows

    async def tenant_names(self) -> dict[int, str]:
        return {1: "acme"}


def parts_of(there: _Store) -> Any:
    return types.SimpleNamespace(store=there, endpoints={}, tenants={}, build_provider=_Provider)


BROKEN = claims.endpoint(id=1, name="new", secret_name="MISSING")


async def test_endpoints_when_one_cannot_be_made_later_then_the_others_are_heard_of() -> None:
    there = _Store(claims.endpoint(id=7, price_nano_usd=1))
    parts = parts_of(there)
    await deployed.load(cast("parts_module.Parts", parts), is_start=True)
    there.rows = [BROKEN, claims.endpoint(id=7, price_nano_usd=2)]

    await deployed.load(cast("parts_module.Parts", parts), is_start=False)

    assert {key: each.row.price_nano_usd for key, each in parts.endpoints.items()} == {7: 2}
    assert parts.tenants == {1: "acme"}


async def test_endpoints_when_one_cannot_be_made_at_the_start_then_it_says_so() -> None:
    with pytest.raises(ValueError, match="MISSING is not set"):
        await deployed.load(cast("parts_module.Parts", parts_of(_Store(BROKEN))), is_start=True)
