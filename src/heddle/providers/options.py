"""Read an adapter's own keys of ``[endpoints.X]``, each mistake one sentence that names the endpoint and the key.

An adapter asks for every key it knows, with type and range, and then for the end: what is left over is refused. This
module knows no adapter. Before it: the registry with a configured endpoint. After it: the adapter's record of options.
"""

import enum
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib import parse

from heddle.core import identity
from heddle.ports import provider

_MISSING: Final = object()
Choice = TypeVar("Choice", bound=enum.StrEnum)


class OptionRefused(ValueError):
    """Say which option of which endpoint is wrong and what it may be."""


class LibraryMissing(OptionRefused):
    """Say which library this machine lacks for an endpoint, and what to install."""


class Options:
    """Read the options of one endpoint, each at most once."""

    def __init__(self, config: provider.EndpointConfig) -> None:
        self._name = config.name
        self._adapter = config.adapter
        self._values = dict(config.options)
        self._known: list[str] = []

    def text(self, key: str, *, default: str) -> str:
        """Read a string."""
        value = self._take(key)
        if value is _MISSING:
            return default
        if not isinstance(value, str):
            raise self.refusal(key, f"is {value!r}; it must be a string")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Read true or false."""
        value = self._take(key)
        if value is _MISSING:
            return default
        if not isinstance(value, bool):
            raise self.refusal(key, f"is {value!r}; it must be true or false")
        return value

    def number(self, key: str, *, default: float, low: float, high: float, unit: str) -> float:
        """Read a number within a range."""
        value = self._take(key)
        if value is _MISSING:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.refusal(key, f"is {value!r}; it must be from {low:g} to {high:g} {unit}")
        return float(value)

    def choice(self, key: str, *, default: Choice) -> Choice:
        """Read one member of the enum that the default belongs to."""
        value = self._take(key)
        if value is _MISSING:
            return default
        try:
            return type(default)(value)
        except ValueError:
            allowed = ", ".join(member.value for member in type(default))
            raise self.refusal(key, f"is {value!r}; it must be one of {allowed}") from None

    def table(self, key: str) -> Mapping[str, Any]:
        """Read a table; an empty one when absent."""
        value = self._take(key)
        if value is _MISSING:
            return {}
        if not isinstance(value, dict):
            raise self.refusal(key, f"is {value!r}; it must be a table")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """Read a list of strings; an empty one when absent."""
        value = self._take(key)
        if value is _MISSING:
            return ()
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise self.refusal(key, f"is {value!r}; it must be a list of strings")
        return tuple(value)

    def value(self, key: str, *, default: object) -> identity.JsonValue:
        """Read a JSON value as it is."""
        value = self._take(key)
        return default if value is _MISSING else value

    def refusal(self, key: str, trouble: str) -> OptionRefused:
        """Word a refusal of one option."""
        return OptionRefused(f"[endpoints.{self._name}] {key} {trouble}")

    def end(self) -> None:
        """Refuse what no ``Options`` call has asked for."""
        if self._values:
            unknown = min(self._values)
            known = ", ".join(sorted(self._known)) or "none"
            raise self.refusal(unknown, f"is no option of the adapter {self._adapter!r}; its options are: {known}")

    def _take(self, key: str) -> identity.JsonValue:
        self._known.append(key)
        return self._values.pop(key, _MISSING)


def require_http_url(config: provider.EndpointConfig) -> str:
    """Give the endpoint's address without a trailing slash.

    Raises OptionRefused when it is no plain http(s) address.
    """
    try:
        parts = parse.urlsplit(config.url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_valid = parse.urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid:
        raise OptionRefused(f"[endpoints.{config.name}] url must begin with http:// or https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise OptionRefused(
            f"[endpoints.{config.name}] url must hold no user, password, query or fragment; use `secret`"
        )
    return config.url.rstrip("/")


def header_trouble(name: str, value: str) -> str | None:
    """Tell why a header cannot be sent as configured, None when it can."""
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
        return "is no header name"
    if name.lower() in _OWN_HEADERS:
        return "is set by Heddle itself"
    if not value.isprintable() or not value.isascii():
        return "has a value that is not printable ASCII on one line"
    return None


_OWN_HEADERS: Final = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "accept-encoding",
        "connection",
        "expect",
        "te",
        "upgrade",
    }
)


def headers(configured: Mapping[str, str], *, secret: str | None) -> dict[str, str]:
    """Fill ``{secret}`` into the configured headers; a secret that no header names goes out as a bearer token."""
    filled = {name: value.replace("{secret}", secret or "") for name, value in configured.items()}
    if secret and not any("{secret}" in value for value in configured.values()):
        filled["Authorization"] = f"Bearer {secret}"
    return filled
