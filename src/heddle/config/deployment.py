"""Read ``heddle.toml``: which models exist, where they run, under which limits, at what price, for whom.

Parsing only: ``heddle migrate`` writes the result to the database, the workers build their adapters from it. Every
mistake is one sentence that names the file, the table and the key.
"""

import dataclasses
import re
import tomllib
import typing
from collections.abc import Callable, Mapping
from typing import Any

from heddle.config import routing, schedules, values
from heddle.core.policy import objective as objective_law
from heddle.core.policy import quality as quality_law
from heddle.core.policy import schedule

_SLOTS_MAX = 100_000
_PER_MIN_MAX = 1_000_000_000
"""The most a limit may be: what ``core.policy.concurrency`` and ``core.policy.ratelimit`` allow."""


DeploymentRefused = values.DeploymentRefused


def _within(low: float, high: float, default: Any) -> Any:
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive:
    """Let the slots of a scope move between a floor and a ceiling (``core.policy.concurrency``)."""

    min: int = dataclasses.field(metadata={"low": 1, "high": _SLOTS_MAX})
    max: int = dataclasses.field(metadata={"low": 1, "high": _SLOTS_MAX})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Limit what a provider limits: slots, and requests, tokens and images per minute, each with a burst (None:
    unlimited). The slots are a number, or a range in which the number adapts to what the provider bears.
    """

    name: str
    concurrency: int | Adaptive | None = dataclasses.field(default=None, metadata={"low": 1, "high": _SLOTS_MAX})
    requests_per_min: int | None = _within(1, _PER_MIN_MAX, None)
    requests_burst: int | None = _within(1, _PER_MIN_MAX, None)
    tokens_per_min: int | None = _within(1, _PER_MIN_MAX, None)
    tokens_burst: int | None = _within(1, _PER_MIN_MAX, None)
    images_per_min: int | None = _within(1, _PER_MIN_MAX, None)
    images_burst: int | None = _within(1, _PER_MIN_MAX, None)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Name one place models run: adapter, address, the name of its secret (``env:NAME``), the scopes it draws on (one
    to four), the regions it lies in.

    A call costs ``price_nano_usd``, or what the adapter's price list says (``is_list_priced``). ``spend_accounts``: the
    provider's accounts, keys or projects that we spend under (None: any).
    """

    name: str
    adapter: str
    url: str
    scopes: tuple[str, ...]
    secret: str | None = None
    callback_secret: str | None = None
    timeout_s: float = _within(0.001, 86_400, 60.0)
    price_nano_usd: int = 0
    is_list_priced: bool = False
    spend_accounts: tuple[str, ...] | None = None
    regions: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Send a model to an endpoint; a lower ``tier`` number is preferred, weights share within a tier.

    ``canary``: it gets nothing until a canary is started on it. ``latency_max_s``: slower than this (95th percentile),
    it is not the best route whatever the model's objective.
    """

    model: str
    endpoint: str
    tier: int = _within(0, 100, 0)
    weight: float = _within(1e-6, 1_000_000, 1.0)
    canary: bool = False
    latency_max_s: float | None = _within(0.001, 86_400, None)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Set what a logical model's owner chose. ``tokens`` and ``images`` estimate what one call uses, where a scope
    limits them; a call may say better. With ``output_tokens`` (those of ``tokens`` that come back) and ``seconds`` they
    also estimate what a call costs by a price list.
    ``objective``: what its routes are shared by; ``deadline_s``: a slower route is not the best. ``quality``: gates.
    """

    name: str
    unknown_policy: str = "at_most_once"
    fallback_after_s: float = _within(0, 86_400, 30.0)
    tokens: int | None = _within(1, _PER_MIN_MAX, None)
    images: int | None = _within(1, _PER_MIN_MAX, None)
    output_tokens: int | None = _within(1, _PER_MIN_MAX, None)
    seconds: float | None = _within(0.001, 86_400, None)
    deadline_s: float | None = _within(0.001, 86_400, None)
    objective: objective_law.Objective = objective_law.Objective.WEIGHTS
    quality: quality_law.QualityOptions | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Set a tenant's share of a backlogged lane and what it may take (None: no bound): runs started in any minute,
    runs that are not over, dollars per calendar day and month in UTC. ``regions``: the only ones its
    calls may go to.
    """

    name: str
    weight: int = _within(1, 1_000, 1)
    runs_per_min: int | None = _within(1, 1_000_000, None)
    open_runs_max: int | None = _within(1, 1_000_000, None)
    budget_usd_per_day: str | None = None
    budget_nano_usd_per_day: int | None = None
    budget_usd_per_month: str | None = None
    budget_nano_usd_per_month: int | None = None
    regions: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Set what runs of one workflow may spend, of all tenants together: dollars per calendar day in UTC."""

    name: str
    budget_usd_per_day: str | None = None
    budget_nano_usd_per_day: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Hold a whole file."""

    models: Mapping[str, Model]
    endpoints: Mapping[str, Endpoint]
    scopes: Mapping[str, Scope]
    routes: tuple[Route, ...]
    tenants: Mapping[str, Tenant]
    schedules: Mapping[str, schedule.ScheduleOptions] = dataclasses.field(default_factory=dict)
    workflows: Mapping[str, Workflow] = dataclasses.field(default_factory=dict)


EMPTY = Deployment(models={}, endpoints={}, scopes={}, routes=(), tenants={})
_KINDS = ("models", "endpoints", "scopes", "routes", "tenants", "schedules", "workflows")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,99}\Z")
_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}\Z")
_NAME_RULE = "1 to 100 of a-z 0-9 _ . - and begin with one of a-z 0-9"
_MODEL_NAME_RULE = "1 to 100 of A-Z a-z 0-9 _ . - and begin with one of A-Z a-z 0-9 _"
_SECRET = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*\Z")
_LIST = "list"
_PLAIN: Mapping[object, tuple[type, str]] = {
    str: (str, "a text that is not empty"),
    str | None: (str, "a text that is not empty"),
    int: (int, "a whole number"),
    int | None: (int, "a whole number"),
    int | Adaptive | None: (int, "a whole number"),
    float: (float, "a number"),
    float | None: (float, "a number"),
    bool: (bool, "true or false"),
}


def parse(text: str, *, file: str) -> Deployment:
    """Read a file's text. Raises DeploymentRefused with one sentence."""
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DeploymentRefused(f"{file} is not TOML: {error}") from error
    unknown = set(raw) - set(_KINDS)
    if unknown:
        raise DeploymentRefused(f"{file} has the unknown table [{min(unknown)}]; it may hold {', '.join(_KINDS)}")
    deployment = Deployment(
        models={name: _model(file, name, table) for name, table in _tables(file, raw, "models")},
        endpoints={name: _endpoint(file, name, table) for name, table in _tables(file, raw, "endpoints")},
        scopes={name: _scope(file, name, table) for name, table in _tables(file, raw, "scopes")},
        routes=tuple(_route(file, number, table) for number, table in _routes(file, raw)),
        tenants={name: _tenant(file, name, table) for name, table in _tables(file, raw, "tenants")},
        schedules={name: _schedule(file, name, table) for name, table in _tables(file, raw, "schedules")},
        workflows={name: _workflow(file, name, table) for name, table in _tables(file, raw, "workflows")},
    )
    _check(file, deployment)
    return deployment


def _tables(file: str, raw: Mapping[str, Any], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    tables = raw.get(kind, {})
    if not isinstance(tables, dict):
        raise DeploymentRefused(f"{file}: {kind} must be tables of the form [{kind}.NAME]")
    pattern, rule = (_MODEL_NAME, _MODEL_NAME_RULE) if kind in ("models", "workflows") else (_NAME, _NAME_RULE)
    for name, table in tables.items():
        if not pattern.match(name):
            raise DeploymentRefused(f"{file}: the name {name!r} in [{kind}] must be {rule}")
        if not isinstance(table, dict):
            raise DeploymentRefused(f"{file}: [{kind}.{name}] must be a table")
    return list(tables.items())


def _routes(file: str, raw: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    routes = raw.get("routes", [])
    if not isinstance(routes, list) or not all(isinstance(table, dict) for table in routes):
        raise DeploymentRefused(f"{file}: routes must be a list of tables, each of the form [[routes]]")
    return list(enumerate(routes, start=1))


def _record(file: str, place: str, record: type[Any], table: Mapping[str, Any], **given: Any) -> Any:
    """Make a record of a table's values and of what is ``given`` besides, each value of its type and in its range."""
    fields = {field.name: field for field in dataclasses.fields(record)}
    types = typing.get_type_hints(record)
    own = {name: field for name, field in fields.items() if name not in given}
    unknown = set(table) - set(own)
    if unknown:
        raise DeploymentRefused(
            f"{file}: {place} has the unknown key {min(unknown)!r}; it may have {', '.join(sorted(own))}"
        )
    missing = [name for name, field in own.items() if name not in table and _is_required(field)]
    if missing:
        raise DeploymentRefused(f"{file}: {place} lacks {missing[0]}")
    for key, value in table.items():
        wanted = values.unmet(value, plain=_PLAIN[types[key]], limits=own[key].metadata)
        if wanted is not None:
            raise DeploymentRefused(f"{file}: {place} {key} is {value!r}; it must be {wanted}")
    return record(**table, **given)


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _model(file: str, name: str, table: Mapping[str, Any]) -> Model:
    place = f"[models.{name}]"
    readers = {"objective": routing.wanted, "quality": routing.gates}
    given = {key: _routing(file, place, read, table[key]) for key, read in readers.items() if key in table}
    table = {key: value for key, value in table.items() if key not in readers}
    model: Model = _record(file, place, Model, table, name=name, **given)
    if model.unknown_policy not in ("at_most_once", "at_least_once"):
        raise DeploymentRefused(
            f"{file}: [models.{name}] unknown_policy is {model.unknown_policy!r}; "
            "it must be at_most_once or at_least_once"
        )
    return model


def _scope(file: str, name: str, table: Mapping[str, Any]) -> Scope:
    place = f"[scopes.{name}]"
    given: dict[str, Any] = {"name": name}
    concurrency = table.get("concurrency")
    if isinstance(concurrency, dict):
        given["concurrency"] = _adaptive(file, f"{place} concurrency", concurrency)
        table = {key: value for key, value in table.items() if key != "concurrency"}
    scope: Scope = _record(file, place, Scope, table, **given)
    for unit in ("requests", "tokens", "images"):
        limit, burst = getattr(scope, f"{unit}_per_min"), getattr(scope, f"{unit}_burst")
        if burst is not None and limit is None:
            raise DeploymentRefused(f"{file}: {place} {unit}_burst needs {unit}_per_min, which is not given")
        if burst is not None and burst > limit + 1:
            raise DeploymentRefused(
                f"{file}: {place} {unit}_burst is {burst}; it must be at most {unit}_per_min + 1, {limit + 1}"
            )
    return scope


def _adaptive(file: str, place: str, table: Mapping[str, Any]) -> Adaptive:
    """Read a range of slots; ``adaptive = true`` may be written beside it, to be plain."""
    if table.get("adaptive", True) is not True:
        raise DeploymentRefused(f"{file}: {place}.adaptive must be true; for a fixed number write concurrency = 8")
    limits = {key: value for key, value in table.items() if key != "adaptive"}
    adaptive: Adaptive = _record(file, place, Adaptive, limits)
    if adaptive.min > adaptive.max:
        raise DeploymentRefused(f"{file}: {place}.min is {adaptive.min}; it must be at most max, {adaptive.max}")
    return adaptive


def _tenant(file: str, name: str, table: Mapping[str, Any]) -> Tenant:
    place = f"[tenants.{name}]"
    given: dict[str, Any] = {
        f"budget_nano_usd_per_{span}": _budget(file, place, table, span) for span in ("day", "month")
    }
    if "regions" in table:
        given["regions"] = _routing(file, place, routing.regions, table["regions"])
    table = {key: value for key, value in table.items() if key != "regions"}
    tenant: Tenant = _record(file, place, Tenant, table, name=name, **given)
    return tenant


def _workflow(file: str, name: str, table: Mapping[str, Any]) -> Workflow:
    place = f"[workflows.{name}]"
    budget = _budget(file, place, table, "day")
    workflow: Workflow = _record(file, place, Workflow, table, name=name, budget_nano_usd_per_day=budget)
    return workflow


def _budget(file: str, place: str, table: Mapping[str, Any], span: str) -> int | None:
    key = f"budget_usd_per_{span}"
    return values.nano_usd(file, f"{place} {key}", table[key]) if key in table else None


def _routing(file: str, place: str, read: Callable[[object], Any], value: object) -> Any:
    try:
        return read(value)
    except routing.RoutingRefused as error:
        raise DeploymentRefused(f"{file}: {place} {error}") from error


def _schedule(file: str, name: str, table: Mapping[str, Any]) -> schedule.ScheduleOptions:
    place = f"[schedules.{name}]"
    if "max_cost_nano_usd" in table:
        raise DeploymentRefused(f"{file}: {place} has the unknown key 'max_cost_nano_usd'; write max_cost_usd")
    given = {key: value for key, value in table.items() if key != "max_cost_usd"}
    if "max_cost_usd" in table:
        given["max_cost_nano_usd"] = values.nano_usd(file, f"{place} max_cost_usd", table["max_cost_usd"])
    values.check_option(file, f"{place} input", table.get("input", {}))
    try:
        return schedules.read(name, given)
    except schedules.ScheduleRefused as error:
        raise DeploymentRefused(f"{file}: {place} {error}") from error


def _route(file: str, number: int, table: Mapping[str, Any]) -> Route:
    place = f"[[routes]] number {number}"
    route: Route = _record(file, place, Route, table)
    if not _MODEL_NAME.match(route.model):
        raise DeploymentRefused(f"{file}: {place} model is {route.model!r}; it must be {_MODEL_NAME_RULE}")
    return route


def _endpoint(file: str, name: str, table: Mapping[str, Any]) -> Endpoint:
    place = f"[endpoints.{name}]"
    # What is no key of every endpoint is an option of its adapter, which knows whether there is one of that name.
    reserved = {"name", "options", "price_nano_usd", "is_list_priced"}
    known = {field.name for field in dataclasses.fields(Endpoint)} - reserved
    misplaced = reserved & set(table)
    if misplaced:
        raise DeploymentRefused(
            f"{file}: {place} has the unknown key {min(misplaced)!r}; "
            f"it may have {', '.join(sorted(known | {'price', 'price_usd'}))} and the options of its adapter"
        )
    for key in ("secret", "callback_secret"):
        # The value is not repeated: what stands here by mistake may be the secret itself.
        if key in table and not (isinstance(table[key], str) and _SECRET.match(table[key])):
            raise DeploymentRefused(
                f'{file}: {place} {key} must be of the form "env:NAME"; secrets are not written in files'
            )
    if table.get("price", _LIST) != _LIST:
        raise DeploymentRefused(
            f'{file}: {place} price is {table["price"]!r}; it must be "list"; for one price write price_usd'
        )
    options = {key: value for key, value in table.items() if key not in known | {"price", "price_usd"}}
    for key, value in options.items():
        values.check_option(file, f"{place} {key}", value)
    endpoint: Endpoint = _record(
        file,
        place,
        Endpoint,
        {key: value for key, value in table.items() if key in known - {"scopes", "spend_accounts", "regions"}},
        name=name,
        regions=_routing(file, place, routing.regions, table["regions"]) if "regions" in table else (),
        scopes=values.scopes(file, place, table.get("scopes", [name])),
        price_nano_usd=values.nano_usd(file, f"{place} price_usd", table.get("price_usd", "0")),
        is_list_priced="price" in table,
        spend_accounts=values.accounts(file, place, table.get("spend_accounts")),
        options=options,
    )
    return endpoint


def _check(file: str, deployment: Deployment) -> None:
    for endpoint in deployment.endpoints.values():
        for scope in endpoint.scopes:
            if scope not in deployment.scopes and scope != endpoint.name:
                raise DeploymentRefused(
                    f"{file}: [endpoints.{endpoint.name}] scopes lists {scope!r}, which no [scopes.{scope}] defines"
                )
    seen: set[tuple[str, str]] = set()
    for number, route in enumerate(deployment.routes, start=1):
        place = f"[[routes]] number {number}"
        if route.endpoint not in deployment.endpoints:
            raise DeploymentRefused(f"{file}: {place} endpoint is {route.endpoint!r}, which is not defined")
        if (route.model, route.endpoint) in seen:
            raise DeploymentRefused(
                f"{file}: {place} sends the model {route.model!r} to the endpoint {route.endpoint!r} a second time; "
                "one route of a model to an endpoint is enough"
            )
        seen.add((route.model, route.endpoint))
