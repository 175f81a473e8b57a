"""Tell who asks: ``Authorization: Bearer hd_…``, and whether their key may do what they ask.

A missing, malformed, unknown, revoked or expired key is ``401`` and all five look alike; a key without the scope is
``403``. Keys are never logged; the event carries their last four characters.
"""

from typing import Any

import django.http
import ninja.security

from heddle.api import problems
from heddle.api.room import room
from heddle.client import keys, values
from heddle.ports import records
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events

_ATTRIBUTE = "heddle_key"


class Key(ninja.security.HttpBearer):
    """Require a key with one scope."""

    def __init__(self, scope: str) -> None:
        super().__init__()
        assert scope in keys.SCOPES, f"{scope} is not a scope"
        self.scope = scope

    def __call__(self, request: django.http.HttpRequest) -> Any | None:
        """Read the header and give the key's view. Raises Refusal ``key_refused``, ``scope_missing``."""
        scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise _refused("", "The Authorization header is missing or is not `Bearer hd_…`.")
        return self.authenticate(request, presented.strip())

    def authenticate(self, request: django.http.HttpRequest, token: str) -> records.ApiKeyView:
        """Give the key's view and keep it with the request. Raises Refusal ``key_refused``, ``scope_missing``."""
        view = room().heddle.keyring.find(keys.key_hash(token)) if keys.is_key(token) else None
        if view is None:
            raise _refused(token, "The key is not valid: it is unknown, revoked or expired.")
        if not keys.may(view.scopes, self.scope):
            held = ", ".join(sorted(view.scopes)) or "none"
            raise problems.Refusal("scope_missing", f"This needs the scope {self.scope}; the key has {held}.")
        setattr(request, _ATTRIBUTE, view)
        return view


def tenant_of(request: django.http.HttpRequest) -> records.Tenant:
    """Give the tenant whose key came with the request."""
    view = getattr(request, _ATTRIBUTE)
    assert isinstance(view, records.ApiKeyView), "the path is served without authentication"
    return view.tenant


def actor_of(request: django.http.HttpRequest) -> str:
    """Name whose key came with the request, as the audit trail does."""
    view = getattr(request, _ATTRIBUTE)
    assert isinstance(view, records.ApiKeyView), "the path is served without authentication"
    return f"key {view.name} of {view.tenant.name}"


def scopes_of(request: django.http.HttpRequest) -> frozenset[str]:
    """Give the scopes of the key that came with the request."""
    view = getattr(request, _ATTRIBUTE)
    assert isinstance(view, records.ApiKeyView), "the path is served without authentication"
    return frozenset(view.scopes)


def require(request: django.http.HttpRequest, scope: str) -> None:
    """Refuse what only part of a path's callers may do. Raises Refusal ``scope_missing``."""
    view = getattr(request, _ATTRIBUTE)
    assert isinstance(view, records.ApiKeyView), "the path is served without authentication"
    if not keys.may(view.scopes, scope):
        held = ", ".join(sorted(view.scopes)) or "none"
        raise problems.Refusal("scope_missing", f"This needs the scope {scope}; the key has {held}.")


def tenant_named(request: django.http.HttpRequest, name: str | None) -> records.Tenant:
    """Give the tenant that a request names, its own when it names none. Another's needs the scope ``admin``.

    Raises Refusal ``scope_missing``; ``not_found`` for a name that nobody has: asking makes no tenant.
    """
    own = tenant_of(request)
    if name is None or name == own.name:
        return own
    require(request, "admin")
    found = room().heddle.find_tenant(name) if values.is_storable_text(name) else None
    if found is None:
        raise problems.Refusal("not_found", f"There is no tenant {name[:100]!r}.")
    return found


def known_tenant(request: django.http.HttpRequest) -> records.Tenant | None:
    """Give the tenant whose valid key came with the request, None when there was none."""
    view = getattr(request, _ATTRIBUTE, None)
    return view.tenant if isinstance(view, records.ApiKeyView) else None


def _refused(presented: str, detail: str) -> problems.Refusal:
    recorder.event(events.KEY_REFUSED, key=presented[-4:] if keys.is_key(presented) else "", reason=detail)
    return problems.Refusal("key_refused", detail)


reads = Key("read")
writes = Key("write")
admins = Key("admin")
