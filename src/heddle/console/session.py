"""Tell who looks at the console, by a signed cookie that names an API key by its hash.

Revoking the key ends the session. In development a browser on this machine gets in without asking, with the key that
``heddle up`` left in ``dev.json``. That is granted only when the connection, the Host header and the absence of any
proxy all say that it is this machine: a page elsewhere that makes a browser call a name of its own pointing at
127.0.0.1 (DNS rebinding) is sent to the login like anybody. Before it: a browser. After: the views.
"""

import dataclasses
import ipaddress
import json
import pathlib

import django.http
from django.core import signing

from heddle import client
from heddle.client import keys
from heddle.ports import records

COOKIE = "heddle_console"
LASTS_S = 12 * 3600
_SALT = "heddle.console"
_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip")
_DEV_FILE_BYTES_MAX = 65_536


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Hold who looks: the key's view, and whether its session cookie is still to be set."""

    key: records.ApiKeyView
    key_hash: str
    is_new: bool = False

    @property
    def may_write(self) -> bool:
        """Tell whether buttons that change something may be shown and pressed."""
        return keys.may(self.key.scopes, "write")


def visitor(request: django.http.HttpRequest, heddle: client.Heddle) -> Visitor | None:
    """Tell who looks, None when they have to log in."""
    key_hash = _cookie_hash(request)
    if key_hash is not None:
        view = heddle.keyring.find(key_hash)
        if view is not None and keys.may(view.scopes, "read"):
            return Visitor(key=view, key_hash=key_hash)
    development_key = _development_key(request, heddle)
    return None if development_key is None else login(development_key, heddle)


def login(key: str, heddle: client.Heddle) -> Visitor | None:
    """Let in whoever presents a valid key that may read."""
    if not keys.is_key(key):
        return None
    key_hash = keys.key_hash(key)
    view = heddle.keyring.find(key_hash)
    if view is None or not keys.may(view.scopes, "read"):
        return None
    return Visitor(key=view, key_hash=key_hash, is_new=True)


def remember(request: django.http.HttpRequest, response: django.http.HttpResponseBase, visitor: Visitor) -> None:
    """Set the session cookie."""
    value = signing.dumps({"key": visitor.key_hash}, salt=_SALT)
    response.set_cookie(
        COOKIE,
        value,
        max_age=LASTS_S,
        httponly=True,
        samesite="Strict",
        secure=request.is_secure(),
        path=_path(request),
    )


def forget(request: django.http.HttpRequest, response: django.http.HttpResponseBase) -> None:
    """Take the session cookie away."""
    response.delete_cookie(COOKIE, path=_path(request), samesite="Strict")


def is_this_machine(request: django.http.HttpRequest) -> bool:
    """Tell whether a browser on this machine asked for this machine by a loopback name."""
    if any(name in request.headers for name in _PROXY_HEADERS):
        return False
    host = request.META.get("HTTP_HOST", "")
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return _is_loopback(request.META.get("REMOTE_ADDR", "")) and (name == "localhost" or _is_loopback(name))


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def _cookie_hash(request: django.http.HttpRequest) -> str | None:
    try:
        held = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=LASTS_S)
    except signing.BadSignature:
        return None
    found = held.get("key") if isinstance(held, dict) else None
    return found if isinstance(found, str) else None


def _development_key(request: django.http.HttpRequest, heddle: client.Heddle) -> str | None:
    if heddle.limits.environment != "development" or not is_this_machine(request):
        return None
    path = pathlib.Path(heddle.limits.state_dir) / "dev.json"
    try:
        held = json.loads(path.read_bytes()[:_DEV_FILE_BYTES_MAX])
    except (OSError, ValueError):
        return None
    key = held.get("api_key") if isinstance(held, dict) else None
    return key if isinstance(key, str) else None


def _path(request: django.http.HttpRequest) -> str:
    before, _, _ = request.path.partition("/console")
    return f"{before}/console"
