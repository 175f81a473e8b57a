"""Read ``heddle.toml``: which models exist, where they run, under which limits, at what price, for whom.

Parsing only: ``heddle apply`` writes the result to the database, the workers build their adapters from it. Every
mistake is one sentence that names the file, the table and the key.
"""

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from typing import Any


class DeploymentRefused(ValueError):
    """Say what is wrong in the file, and where."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Limit what a provider limits: slots, and requests per minute with a burst (None: unlimited)."""

    name: str
    concurrency: int | None = None
    requests_per_min: int | None = None
    requests_burst: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Name one place models run: adapter, address, the name of its secret (``env:NAME``), the scopes it draws on (one
    to four).
    """

    name: str
    adapter: str
    url: str
    scopes: tuple[str, ...]
    secret: str | None = None
    callback_secret: str | None = None
    timeout_s: float = 60.0
    price_nano_usd: int = 0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Send a model to an endpoint; a lower ``tier`` number is preferred, weights share within a tier."""

    model: str
    endpoint: str
    tier: int = 0
    weight: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Set what a logical model's owner chose."""

    name: str
    unknown_policy: str = "at_most_once"
    fallback_after_s: float = 30.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Set a tenant's share of a backlogged lane, and its budget per calendar day (None: none)."""

    name: str
    weight: int = 1
    budget_usd_per_day: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Hold a whole file."""

    models: Mapping[str, Model]
    endpoints: Mapping[str, Endpoint]
    scopes: Mapping[str, Scope]
    routes: tuple[Route, ...]
    tenants: Mapping[str, Tenant]


EMPTY = Deployment(models={}, endpoints={}, scopes={}, routes=(), tenants={})
_NAME = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,99}\Z")


def parse(text: str, *, file: str) -> Deployment:
    """Read a file's text. Raises DeploymentRefused with one sentence."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DeploymentRefused(f"{file} is not TOML: {error}") from error
    unknown = set(raw) - {"models", "endpoints", "scopes", "routes", "tenants"}
    if unknown:
        raise DeploymentRefused(
            f"{file} has the unknown table [{min(unknown)}]; it may hold models, endpoints, scopes, routes, tenants"
        )
    endpoints = {name: _endpoint(file, name, table) for name, table in _tables(file, raw, "endpoints")}
    scopes = {
        name: _record(file, f"scopes.{name}", Scope, {"name": name, **table})
        for name, table in _tables(file, raw, "scopes")
    }
    models = {
        name: _record(file, f"models.{name}", Model, {"name": name, **table})
        for name, table in _tables(file, raw, "models")
    }
    tenants = {
        name: _record(file, f"tenants.{name}", Tenant, {"name": name, **table})
        for name, table in _tables(file, raw, "tenants")
    }
    routes = tuple(_record(file, f"routes[{index}]", Route, table) for index, table in enumerate(raw.get("routes", ())))
    deployment = Deployment(models=models, endpoints=endpoints, scopes=scopes, routes=routes, tenants=tenants)
    _check(file, deployment)
    return deployment


def _tables(file: str, raw: Mapping[str, Any], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    tables = raw.get(kind, {})
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise DeploymentRefused(f"{file}: [{kind}.{name}] must be a table")
        if not _NAME.match(name):
            raise DeploymentRefused(
                f"{file}: the name {name!r} in [{kind}] must be 1 to 100 of a-z 0-9 _ . - and begin with one of a-z 0-9"
            )
    return list(tables.items())


def _record(file: str, place: str, record: type[Any], values: Mapping[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(record)}
    unknown = set(values) - known
    if unknown:
        raise DeploymentRefused(
            f"{file}: [{place}] has the unknown key {min(unknown)!r}; it may have {', '.join(sorted(known))}"
        )
    try:
        return record(**values)
    except TypeError as error:
        raise DeploymentRefused(f"{file}: [{place}] is incomplete: {error}") from error


def _endpoint(file: str, name: str, table: Mapping[str, Any]) -> Endpoint:
    known = {field.name for field in dataclasses.fields(Endpoint)} - {"options", "price_nano_usd"}
    values: dict[str, Any] = {key: value for key, value in table.items() if key in known}
    values["scopes"] = tuple(table.get("scopes", (name,)))
    if not 1 <= len(values["scopes"]) <= 4:
        raise DeploymentRefused(
            f"{file}: [endpoints.{name}] lists {len(values['scopes'])} scopes; one to four are allowed"
        )
    for key in ("secret", "callback_secret"):
        if key in table and not str(table[key]).startswith("env:"):
            raise DeploymentRefused(
                f'{file}: [endpoints.{name}] {key} must be of the form "env:NAME"; secrets are not written in files'
            )
    price = table.get("price_usd", "0")
    try:
        values["price_nano_usd"] = _nano_usd(str(price))
    except ValueError as error:
        raise DeploymentRefused(
            f"{file}: [endpoints.{name}] price_usd is {price!r}; it must be a decimal string of dollars"
        ) from error
    values["options"] = {key: value for key, value in table.items() if key not in known | {"price_usd", "name"}}
    endpoint: Endpoint = _record(file, f"endpoints.{name}", Endpoint, {"name": name, **values})
    return endpoint


def _nano_usd(text: str) -> int:
    whole, _, fraction = text.partition(".")
    if len(fraction) > 9:
        raise ValueError("finer than a nano-dollar")
    return int(whole or "0") * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def _check(file: str, deployment: Deployment) -> None:
    for endpoint in deployment.endpoints.values():
        for scope in endpoint.scopes:
            if scope not in deployment.scopes and scope != endpoint.name:
                raise DeploymentRefused(
                    f"{file}: [endpoints.{endpoint.name}] lists the scope {scope!r}, which no [scopes.{scope}] defines"
                )
    for index, route in enumerate(deployment.routes):
        if route.endpoint not in deployment.endpoints:
            raise DeploymentRefused(
                f"{file}: [[routes]] number {index + 1} names the endpoint {route.endpoint!r}, which is not defined"
            )
        if route.weight <= 0:
            raise DeploymentRefused(
                f"{file}: [[routes]] number {index + 1} has weight {route.weight}; it must be above 0"
            )
    for model in deployment.models.values():
        if model.unknown_policy not in ("at_most_once", "at_least_once"):
            raise DeploymentRefused(
                f"{file}: [models.{model.name}] unknown_policy must be at_most_once or at_least_once"
            )
