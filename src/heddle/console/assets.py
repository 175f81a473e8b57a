"""Serve the console's own style and script, and render its templates, without asking anything of the host's settings.

The files are few and small; an address carries a digest of the content, so browsers keep them for ever and a new
version gets a new address.
"""

import functools
import hashlib
import pathlib
from typing import Any

import django.http
from django.template.backends import django as django_templates
from django.views.decorators import http

_HERE = pathlib.Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@http.require_safe
def serve(request: django.http.HttpRequest, name: str) -> django.http.HttpResponse:
    """Give one of the files; nothing else of the disk can be named."""
    if name not in _names():
        raise django.http.Http404(name)
    body = _content(name)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return django.http.HttpResponse(body, content_type=_TYPES[pathlib.Path(name).suffix], headers=headers)


def render(
    request: django.http.HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
) -> django.http.HttpResponse:
    """Give a page. Nothing of a tenant's is kept by a cache."""
    base = request.path.partition("/console")[0] + "/console"
    written = (
        _engine().get_template(f"console/{template}").render({"base": base, "assets": versions(), **context}, request)
    )
    return django.http.HttpResponse(written, status=status, headers={"Cache-Control": "no-store"})


@functools.cache
def versions() -> dict[str, str]:
    """Give each file's address below ``static/``, by its name with dots as underscores."""
    return {
        name.replace(".", "_"): f"{name}?v={hashlib.sha256(_content(name)).hexdigest()[:12]}"
        for name in sorted(_names())
    }


@functools.cache
def _names() -> frozenset[str]:
    return frozenset(path.name for path in (_HERE / "static" / "console").iterdir() if path.suffix in _TYPES)


@functools.cache
def _content(name: str) -> bytes:
    return (_HERE / "static" / "console" / name).read_bytes()


@functools.cache
def _engine() -> django_templates.DjangoTemplates:
    return django_templates.DjangoTemplates(
        {"NAME": "heddle-console", "DIRS": [str(_HERE / "templates")], "APP_DIRS": False, "OPTIONS": {"debug": False}}
    )
