"""Read single values of ``heddle.toml``: dollars, an adapter's options, names of accounts.

Part of ``deployment``, which knows the tables. A value that cannot be is one sentence that names the file and the key.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

_DOLLARS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?\Z")
_NANO_DIGITS = 9
_NANO = 1_000_000_000
_ACCOUNTS_MAX = 100
_DEPTH_MAX = 32
_SCOPES_MAX = 4


class DeploymentRefused(ValueError):
    """Say what is wrong in the file, and where."""


def accounts(file: str, place: str, value: object) -> tuple[str, ...] | None:
    """Read the accounts that we spend under, None for any. Raises DeploymentRefused."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) and 1 <= len(name) <= 200 for name in value):
        raise DeploymentRefused(
            f"{file}: {place} spend_accounts is {value!r}; it must be a list of names, 200 characters at most"
        )
    if len(value) > _ACCOUNTS_MAX:
        raise DeploymentRefused(f"{file}: {place} lists {len(value)} spend_accounts; {_ACCOUNTS_MAX} are allowed")
    return tuple(value)


def check_option(file: str, place: str, value: object, depth: int = 0) -> None:
    """Refuse what JSON, the form in which the database keeps an adapter's options, cannot hold."""
    match value:
        case bool() | int():
            storable = True
        case str():
            storable = "\x00" not in value
        case float():
            storable = math.isfinite(value)
        case list() | dict():
            storable = depth < _DEPTH_MAX
            for item in (value.values() if isinstance(value, dict) else value) if storable else ():
                check_option(file, place, item, depth + 1)
        case _:
            storable = False
    if not storable:
        raise DeploymentRefused(
            f"{file}: {place} is or holds a {type(value).__name__} that cannot be stored; "
            "it must be of texts without NUL, finite numbers, true, false, lists and tables"
        )


def nano_usd(file: str, place: str, value: object) -> int:
    """Read a decimal text of dollars. Raises DeploymentRefused."""
    if not isinstance(value, str) or not _DOLLARS.match(value):
        raise DeploymentRefused(
            f'{file}: {place} is {value!r}; it must be a decimal string of dollars such as "0.04", '
            "at most nine digits on each side of the point"
        )
    whole, _, fraction = value.partition(".")
    return int(whole) * _NANO + int(fraction.ljust(_NANO_DIGITS, "0"))


def scopes(file: str, place: str, value: object) -> tuple[str, ...]:
    """Read the names of an endpoint's scopes. Raises DeploymentRefused."""
    if not isinstance(value, list) or not all(isinstance(scope, str) for scope in value):
        raise DeploymentRefused(f"{file}: {place} scopes is {value!r}; it must be a list of names of scopes")
    if not 1 <= len(value) <= _SCOPES_MAX:
        raise DeploymentRefused(f"{file}: {place} lists {len(value)} scopes; one to four are allowed")
    if len(set(value)) < len(value):
        raise DeploymentRefused(f"{file}: {place} scopes is {value!r}; it must name each scope once")
    return tuple(value)


def unmet(value: object, *, plain: tuple[type, str], limits: Mapping[str, Any]) -> str | None:
    """Tell what a value must be and is not; None when it is."""
    kind, wanted = plain
    if kind is bool:
        return None if isinstance(value, bool) else wanted
    if kind is str:
        return None if isinstance(value, str) and value and "\x00" not in value else wanted
    if limits:
        wanted = f"{wanted} from {limits['low']:,} to {limits['high']:,}"
    numbers = (int, float) if kind is float else (int,)
    if isinstance(value, bool) or not isinstance(value, numbers):
        return wanted
    return None if limits["low"] <= value <= limits["high"] else wanted
