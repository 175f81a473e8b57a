"""Tell machines how this process is: alive, ready with each dependency named, and in numbers.

These three ask for no key: they hold no tenant's data, and whoever watches must not depend on the database that keys
are in. Bind the server to where only watchers reach it, or let the proxy in front hide them.
"""

import django.http
from django.views.decorators import csrf, http

from heddle.api import render
from heddle.api.room import room
from heddle.telemetry import recorder


@csrf.csrf_exempt
@http.require_safe
def live(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """Say that this process answers; it looks at nothing else, so that a sick database never gets it restarted."""
    return render.answer({"status": "ok"})


@csrf.csrf_exempt
@http.require_safe
def ready(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """Say whether requests can be served, and how each dependency is: 200 or 503."""
    dependencies = room().heddle.readiness()
    is_ready = all(each.problem is None for each in dependencies)
    return render.answer(
        {
            "status": "ready" if is_ready else "not_ready",
            "dependencies": [
                {"name": each.name, "ok": each.problem is None, "problem": each.problem} for each in dependencies
            ],
        },
        status=200 if is_ready else 503,
    )


@csrf.csrf_exempt
@http.require_safe
def numbers(request: django.http.HttpRequest) -> django.http.HttpResponse:
    """Give the metrics for Prometheus."""
    content_type, body = recorder.render(accept=request.headers.get("Accept", ""))
    return django.http.HttpResponse(body, content_type=content_type, headers={"Cache-Control": "no-store"})
