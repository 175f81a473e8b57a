"""Take providers' callbacks: address checked, body read under its cap, verified, and only then anything kept.

A callback moves no state: it is noted in the inbox and the step's poll is made due. It is answered quickly and alike
whether it is new or came before, because providers repeat what they think was lost.
"""

import django.http
from django.views.decorators import csrf, http

from heddle import client
from heddle.api import bodies, problems, render
from heddle.api.room import room
from heddle.client import tokens
from heddle.ports import provider
from heddle.telemetry import recorder
from heddle.telemetry.catalog import events, metrics


@csrf.csrf_exempt
@http.require_POST
def take(request: django.http.HttpRequest, endpoint: str, token: str | None = None) -> django.http.HttpResponse:
    """Answer 202 for a believed callback, 401 for one that is not, 404 when nothing waits for it.

    Without a token the address is an account's: what is signed is answered 202 whether or not it is about a call of
    ours, since other things may be told of there, and a provider stops calling where it is refused.
    """
    try:
        return _take(request, endpoint, token)
    except Exception as error:  # noqa: BLE001 - the border of this door: every exception becomes an answer, unknown ones are logged whole
        return problems.answer(problems.refusal_of(error))


def _take(request: django.http.HttpRequest, endpoint: str, token: str | None) -> django.http.HttpResponse:
    heddle = room().heddle
    try:
        if token is not None:
            # The token is cheap to check and keeps strangers from making us read bodies.
            tokens.read_callback_token(secret_key=heddle.limits.secret_key, token=token)
        body = bodies.read(request, bytes_max=heddle.limits.request_bytes_max)
        headers = {name.lower(): value for name, value in request.headers.items()}
        is_new = heddle.callback(endpoint=endpoint, token=token, headers=headers, body=body)
    except (client.TokenRefused, provider.CallbackRefused) as error:
        _refused(endpoint, str(error), 401)
        raise
    except LookupError as error:
        _refused(endpoint, "no such endpoint or attempt", 404)
        raise problems.Refusal("not_found", "Nothing at this endpoint waits for this callback.") from error
    if is_new is None:
        recorder.count(metrics.CALLBACKS, 1, endpoint=endpoint, outcome="stray")
        return render.answer({"status": "accepted"}, status=202)
    recorder.event(events.CALLBACK_RECEIVED if is_new else events.CALLBACK_REPEATED, endpoint=endpoint)
    recorder.count(metrics.CALLBACKS, 1, endpoint=endpoint, outcome="stored" if is_new else "duplicate")
    return render.answer({"status": "accepted"}, status=202)


def _refused(endpoint: str, reason: str, status: int) -> None:
    recorder.event(events.CALLBACK_REFUSED, endpoint=endpoint, reason=reason, status=status)
    # Nobody has shown yet who they are: names that they make up must not use up the label of real endpoints.
    label = endpoint if endpoint in room().endpoint_names else recorder.OTHER
    recorder.count(metrics.CALLBACKS, 1, endpoint=label, outcome="refused")
