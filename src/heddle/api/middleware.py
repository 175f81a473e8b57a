"""Dress every answer: security headers, one form for refusals that frameworks make, and the numbers of the door.

The policy allows nothing inline and no other host, on every answer that has not set its own; pages of a host project
that need more set their own ``Content-Security-Policy``. This reads no body and decides nothing about a request.
"""

import time
from collections.abc import Callable

import django.http

from heddle.api import problems, ratelimit
from heddle.telemetry import context, recorder
from heddle.telemetry.catalog import metrics, slos

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}

ADMISSION_ROUTES = ("v1/runs", "v1/runs/batch")

PLAIN_ROUTES = ("heddle-account-callback", "heddle-callback", "heddle-healthz", "heddle-readyz", "heddle-metrics")
"""Names of our paths outside of the router."""

CONSOLE = "heddle-console"

Answer = Callable[[django.http.HttpRequest], django.http.HttpResponseBase]


class Door:
    """Stand around all views. Put it first in MIDDLEWARE."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Answer) -> None:
        self._get_response = get_response
        recorder.introduce()

    def __call__(self, request: django.http.HttpRequest) -> django.http.HttpResponseBase:
        """Answer one request."""
        started_s = time.perf_counter()
        with context.bind(trace=context.parse_traceparent(request.headers.get("traceparent", ""))):
            return self._answer(request, started_s)

    def _answer(self, request: django.http.HttpRequest, started_s: float) -> django.http.HttpResponseBase:
        response = self._get_response(request)
        if request.method == "HEAD" and _is_ours(request) and response.status_code == 405 and _takes_get(response):
            response = self._headers_of_get(request)
        response = _in_our_form(request, response)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        for name, value in ratelimit.headers(request).items():
            response.headers[name] = value
        _count(request, response, time.perf_counter() - started_s)
        return response

    def _headers_of_get(self, request: django.http.HttpRequest) -> django.http.HttpResponse:
        """Answer HEAD as GET without the content (RFC 9110, section 9.3.2): the router knows only what it was told."""
        request.method = "GET"
        try:
            found = self._get_response(request)
        finally:
            request.method = "HEAD"
        answer = django.http.HttpResponse(status=found.status_code)
        for name, value in found.headers.items():
            answer.headers[name] = value
        if isinstance(found, django.http.HttpResponse):
            answer.headers.setdefault("Content-Length", str(len(found.content)))
        else:
            # What a stream holds is given back, and what it would have told is not read.
            found.close()
        return answer


def _is_ours(request: django.http.HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and (match.namespace.startswith("heddle-api") or match.url_name in PLAIN_ROUTES)


def _takes_get(response: django.http.HttpResponseBase) -> bool:
    return "GET" in _methods(response)


def _methods(response: django.http.HttpResponseBase) -> list[str]:
    return [name.strip() for name in response.headers.get("Allow", "").split(",") if name.strip()]


def _in_our_form(
    request: django.http.HttpRequest, response: django.http.HttpResponseBase
) -> django.http.HttpResponseBase:
    """Replace what Django and the router answer by themselves under our paths, which is HTML or plain text."""
    if not _is_ours(request) or response.status_code != 405:
        return response
    methods = _methods(response)
    # Where GET is taken so is HEAD, here or by Django.
    heads = ["HEAD"] if "GET" in methods and "HEAD" not in methods else []
    allowed = ", ".join([*methods, *heads])
    refusal = problems.Refusal("method_not_allowed", f"{request.method} does not fit this path; it takes {allowed}.")
    replaced = problems.answer(refusal)
    replaced["Allow"] = allowed
    return replaced


def _count(request: django.http.HttpRequest, response: django.http.HttpResponseBase, duration_s: float) -> None:
    route = _route(request)
    match = request.resolver_match
    recorder.count(metrics.HTTP_REQUESTS, 1, route=route, status=str(response.status_code))
    if not response.streaming:
        recorder.observe(metrics.HTTP_DURATION, duration_s, route=route)
    is_ours = match is not None and match.namespace.startswith("heddle-api")
    if is_ours and request.method == "POST" and route.endswith(ADMISSION_ROUTES):
        _judge_admission(request, response.status_code, duration_s)


def _route(request: django.http.HttpRequest) -> str:
    """Name a path of ours by its template. All others are one: a host's, or the admin's, would use the label up."""
    match = request.resolver_match
    if match is None or not match.route or "*" in match.route:
        return "unmatched"
    return f"/{match.route}" if _is_ours(request) or match.app_name == CONSOLE else recorder.OTHER


def _judge_admission(request: django.http.HttpRequest, status: int, duration_s: float) -> None:
    """Count one request for runs against the promises of admission; the caller's own mistakes say nothing of them."""
    if 400 <= status < 500:
        return
    recorder.count(metrics.SLO_VALID, slo=slos.ADMISSION_AVAILABILITY.key)
    if status >= 500:
        recorder.count(metrics.SLO_BAD, slo=slos.ADMISSION_AVAILABILITY.key)
    if "wait=" in request.headers.get("Prefer", ""):
        return
    recorder.count(metrics.SLO_VALID, slo=slos.ADMISSION_LATENCY.key)
    if duration_s > slos.ADMITTED_WITHIN_S:
        recorder.count(metrics.SLO_BAD, slo=slos.ADMISSION_LATENCY.key)
