"""Join the addresses of the finished service: the HTTP contract, the console, Django's admin and its static files."""

import re

import django.http
from django.contrib import admin
from django.contrib.staticfiles import views as staticfiles
from django.shortcuts import redirect
from django.urls import include, path, re_path
from django.views import defaults
from django.views.decorators import http

from heddle.api import urls as api

STATIC_MAX_AGE_S = 3600
_PAGES = ("/console/", "/admin/", "/static/")
_SAFE_STATIC = re.compile(r"[A-Za-z0-9_./-]{1,200}\Z")


@http.require_safe
def _front(request: django.http.HttpRequest) -> django.http.HttpResponseBase:
    return redirect("heddle-console:runs")


@http.require_safe
def _static(request: django.http.HttpRequest, name: str) -> django.http.HttpResponseBase:
    """Serve the admin's few files out of the installed packages, so that no step of a deployment collects them."""
    if not _SAFE_STATIC.match(name):
        raise django.http.Http404(name)
    response = staticfiles.serve(request, name, insecure=True)
    response["Cache-Control"] = f"public, max-age={STATIC_MAX_AGE_S}"
    return response


def handler404(request: django.http.HttpRequest, exception: Exception) -> django.http.HttpResponse:
    """Answer for a path that is none: in the form of the API, but for the pages that people look at."""
    if request.path.startswith(_PAGES):
        return defaults.page_not_found(request, exception)
    return api.nothing(request, exception)


urlpatterns = [
    path("", _front),
    path("", include("heddle.api.urls")),
    path("console/", include("heddle.console.urls")),
    path("admin/", admin.site.urls),
    re_path(r"^static/(?P<name>.+)$", _static),
]
