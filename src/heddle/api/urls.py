"""Lay out the paths: ``/v1`` with its description, callbacks, and what watchers ask.

A host project includes this module: ``path("", include("heddle.api.urls"))``. Before it: the web server. After: one
module for each kind of thing.
"""

import django.http
import ninja
import ninja.errors
from django.urls import path, re_path
from django.views.decorators import csrf

from heddle.api import (
    artifacts,
    callbacks,
    canaries,
    events,
    health,
    operations,
    problems,
    registry,
    runs,
    spending,
    webhooks,
)

VERSION = "1"


def _build() -> ninja.NinjaAPI:
    api = ninja.NinjaAPI(
        title="Heddle",
        version=VERSION,
        description="Durable machine-learning inference: runs, artifacts and what is loaded.",
        # Its page of documentation loads scripts from another host; the description itself is served.
        docs_url=None,
        openapi_url="/openapi.json",
        urls_namespace="heddle-api-v1",
    )
    api.add_router("", spending.router)
    api.add_router("", runs.router)
    api.add_router("", events.router)
    api.add_router("", artifacts.router)
    api.add_router("", registry.router)
    api.add_router("", operations.router)
    api.add_router("", webhooks.router)
    api.add_router("", canaries.router)
    for kind in (Exception, ninja.errors.ValidationError, ninja.errors.HttpError, django.http.Http404):
        api.add_exception_handler(kind, _on_exception)
    return api


def _on_exception(request: django.http.HttpRequest, error: Exception | type[Exception]) -> django.http.HttpResponse:
    assert isinstance(error, Exception), "handlers are given instances"
    return problems.answer(problems.refusal_of(error))


@csrf.csrf_exempt
def nothing(request: django.http.HttpRequest, exception: Exception | None = None) -> django.http.HttpResponse:
    """Answer for a path that is none, in our form: those under ours, and every one where the whole service is ours."""
    return problems.answer(problems.Refusal("not_found", "There is nothing at this path."))


api = _build()

urlpatterns = [
    re_path(r"^v1/*$", nothing),
    path("v1/", api.urls),
    path("callbacks/<str:endpoint>", callbacks.take, name="heddle-account-callback"),
    path("callbacks/<str:endpoint>/<str:token>", callbacks.take, name="heddle-callback"),
    re_path(r"^(?:v1/.*|callbacks(?:/.*)?)$", nothing),
    path("healthz", health.live, name="heddle-healthz"),
    path("readyz", health.ready, name="heddle-readyz"),
    path("metrics", health.numbers, name="heddle-metrics"),
]
