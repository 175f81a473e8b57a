"""Serve the console's pages: runs, one run, models and endpoints, money, login; and the buttons that steer a run.

Server-rendered; each page also answers ``?part=1`` with its living part alone, which the script fetches while something
is going on. State is changed only through the client, by POST, with a token against forgery. Before it: a browser.
After: ``heddle.client``.
"""

import dataclasses
import datetime
import functools
import json
import uuid
from collections.abc import Callable
from typing import Concatenate, ParamSpec

import django.db
import django.http
from django.views.decorators import csrf, http

from heddle import client, wiring
from heddle.client import media, pages
from heddle.console import assets, purse, scores, session, shown, words
from heddle.core import run
from heddle.ports import blobs, doors, records

PAGE_RUNS = 50
PAGE_UNKNOWN = 50
EVENTS_SHOWN = 200
GROUPS_MAX = 1_000
ORDINAL_DIGITS = 9
_Rest = ParamSpec("_Rest")
_View = Callable[Concatenate[django.http.HttpRequest, session.Visitor, _Rest], django.http.HttpResponseBase]
_Served = Callable[Concatenate[django.http.HttpRequest, _Rest], django.http.HttpResponseBase]

SAID = {
    "cancel": "The run was asked to stop.",
    "over": "The run is over already; nothing was changed.",
    "retry": "The failed steps are due again.",
    "no-retry": "Only failed and expired runs can be retried.",
    "signal": "The signal was delivered.",
    "full-signals": "The signal was not sent: the run has too many already that it has not taken.",
    "bad-signal": "The signal was not sent: it needs a name, and a payload that is JSON.",
}


def heddle() -> client.Heddle:
    """Give the client that the wiring made."""
    return wiring.client()


def for_visitors(view: _View[_Rest]) -> _Served[_Rest]:
    """Let only visitors in, guard against forged posts, and turn the house's refusals into pages."""

    def guarded(
        request: django.http.HttpRequest, /, *args: _Rest.args, **kwargs: _Rest.kwargs
    ) -> django.http.HttpResponseBase:
        try:
            visitor = session.visitor(request, heddle())
            if visitor is None:
                return _to_login(request)
            if request.method == "POST" and not visitor.may_write:
                return _trouble(request, 403, "This key may only look", "Log in with a key that has the scope write.")
            response = view(request, visitor, *args, **kwargs)
        except (doors.RunMissing, blobs.BlobMissing):
            return _trouble(request, 404, "Nothing here", "There is no such thing, or it belongs to another tenant.")
        except (django.db.OperationalError, django.db.InterfaceError):
            response = _trouble(
                request, 503, "The database is away", "Runs are safe; this page works again once it is back."
            )
            response.headers["Retry-After"] = "2"
            return response
        if visitor.is_new:
            session.remember(request, response, visitor)
        return response

    functools.update_wrapper(guarded, view)
    return csrf.csrf_protect(guarded)


@http.require_safe
@for_visitors
def runs(request: django.http.HttpRequest, visitor: session.Visitor) -> django.http.HttpResponseBase:
    """List runs, newest first, with how many of the newest are in which state."""
    tenant, house = visitor.key.tenant, heddle()
    asked = request.GET.get("q", "").strip()
    found = _found(house, tenant, asked)
    if found is not None:
        return django.http.HttpResponseRedirect(f"{request.path}runs/{found}")
    state, workflow = request.GET.get("state", ""), request.GET.get("workflow", "").replace("\0", "")
    chosen = run.RunState(state) if state in set(run.RunState) else None
    newest = house.runs(records.RunFilter(workflow=workflow or None, limit=house.limits.page_max), tenant=tenant)
    before = _uuid(request.GET.get("before", ""))
    where = records.RunFilter(workflow=workflow or None, state=chosen)
    page = pages.read(
        lambda last, limit: house.runs(dataclasses.replace(where, before=last, limit=limit), tenant=tenant),
        start=before,
        limit=PAGE_RUNS,
        mark_of=lambda view: view.id,
    )
    now = _now()
    lines = [shown.run_line(view, now=now) for view in page.items]
    states = [
        {
            "state": each.value,
            "look": words.of_run(each.value),
            "count": sum(view.state is each for view in newest),
            "is_chosen": each is chosen,
        }
        for each in run.RunState
    ]
    context = {
        "page": "runs",
        "visitor": visitor,
        "lines": lines,
        "states": states,
        "counted": len(newest),
        "is_all_counted": len(newest) < house.limits.page_max,
        "workflows": sorted({each.name for each in house.workflows()}),
        "workflow": workflow,
        "state": state if chosen else "",
        "asked": asked,
        "is_live": before is None,
        "next_before": page.following or "",
        "is_empty": not newest and not workflow,
        "origin": f"{request.scheme}://{request.get_host()}",
    }
    return assets.render(request, "_runs.html" if "part" in request.GET else "runs.html", context)


@http.require_safe
@for_visitors
def one_run(request: django.http.HttpRequest, visitor: session.Visitor, run_id: str) -> django.http.HttpResponseBase:
    """Show one run: state, reason, graph, timeline, calls, pictures, events."""
    tenant, house, now = visitor.key.tenant, heddle(), _now()
    view = house.get(run_id, tenant=tenant)
    after, limit = _ordinal(request.GET.get("after", "")), min(shown.CALLS_MAX, house.limits.page_max)
    steps = house.steps(run_id, tenant=tenant, after=after, limit=limit)
    lines = [shown.step_line(each, now=now) for each in steps]
    layout, boxes = shown.drawing(steps, lines)
    events = house.events(run_id, tenant=tenant, limit=EVENTS_SHOWN)
    line = shown.run_line(view, now=now)
    drawn = shown.times(view, steps, now=now)
    context = {
        "page": "runs",
        "visitor": visitor,
        "line": line,
        "view": view,
        "started": words.clock(view.started_at) if view.started_at else "",
        "finished": words.clock(view.finished_at) if view.finished_at else "",
        "deadline": words.clock(view.deadline_at) if view.deadline_at else "",
        "error": shown.written(view.error),
        "error_message": (view.error or {}).get("message", ""),
        "why": "" if line.is_over else words.explained(house.why(run_id, tenant=tenant)),
        "results": shown.pictures(view.output, caption="Result"),
        "given": shown.pictures(view.input, caption="Input"),
        "input": shown.written(view.input),
        "output": shown.written(view.output),
        "layout": layout,
        "boxes": boxes,
        "rows": [
            (each, [(bar, words.duration(bar.duration_s)) for bar in row.bars])
            for each, row in zip(lines, drawn.rows, strict=False)
        ],
        "ticks": [(tick.left, words.duration(tick.at_s)) for tick in drawn.ticks],
        "lines": lines,
        "calls": shown.calls(lines, after=after, limit=limit, total=view.steps.total),
        "events": [(each, words.clock(each.at), shown.written(dict(each.detail) or None)) for each in events],
        "are_all_events": len(events) < EVENTS_SHOWN,
        "said": SAID.get(request.GET.get("said", ""), ""),
    }
    return assets.render(request, "_run.html" if "part" in request.GET else "run.html", context)


@http.require_POST
@for_visitors
def steer(
    request: django.http.HttpRequest, visitor: session.Visitor, run_id: str, action: str
) -> django.http.HttpResponseBase:
    """Press one of the buttons, then show the run again."""
    tenant, house = visitor.key.tenant, heddle()
    try:
        match action:
            case "cancel":
                said = "cancel" if house.cancel(run_id, tenant=tenant) else "over"
            case "retry":
                house.retry(run_id, tenant=tenant)
                said = "retry"
            case "signal":
                payload = json.loads(request.POST.get("payload", "").strip() or "null")
                house.signal(run_id, request.POST.get("name", "").strip(), payload, tenant=tenant)
                said = "signal"
            case _:
                raise django.http.Http404(action)
    except doors.RunTerminal:
        said = "over"
    except doors.SignalsFull:
        said = "full-signals"
    except doors.RunNotRetryable:
        said = "no-retry"
    except (client.InvalidInput, ValueError, RecursionError):
        said = "bad-signal"
    return django.http.HttpResponseRedirect(f"{request.path.rpartition('/')[0]}?said={said}")


@http.require_safe
@for_visitors
def models(request: django.http.HttpRequest, visitor: session.Visitor) -> django.http.HttpResponseBase:
    """Show workflows, models and endpoints with limits and health."""
    house, now = heddle(), _now()
    endpoints = sorted(house.endpoints(), key=lambda each: each.name)
    declared = {each.name for each in house.models()}
    names = sorted(declared | {name for each in endpoints for name in each.models})
    context = {
        "page": "models",
        "visitor": visitor,
        "models": [(name, [each.name for each in endpoints if name in each.models]) for name in names],
        "endpoints": [
            (each, each.paused_at is not None or (each.paused_until is not None and each.paused_until > now))
            for each in endpoints
        ],
        "routes": scores.routes(endpoints),
        "workflows": sorted((each.name, each.version) for each in house.workflows()),
    }
    return assets.render(request, "models.html", context)


@http.require_safe
@for_visitors
def unknown(request: django.http.HttpRequest, visitor: session.Visitor) -> django.http.HttpResponseBase:
    """List the tenant's calls of unknown outcome, those of the oldest runs first."""
    desk, now = wiring.operating(), _now()
    try:
        found = desk.unknown_calls(
            tenant=visitor.key.tenant, after=request.GET.get("cursor") or None, limit=PAGE_UNKNOWN
        )
    except client.InvalidInput:
        return _trouble(request, 404, "Nothing here", "This is no page of the list; begin at its first.")
    context = {
        "page": "unknown",
        "visitor": visitor,
        "calls": [shown.unknown_line(each, now=now) for each in found.calls],
        "next_cursor": "" if found.following is None else str(found.following),
    }
    return assets.render(request, "unknown.html", context)


@http.require_safe
@for_visitors
def money(request: django.http.HttpRequest, visitor: session.Visitor) -> django.http.HttpResponseBase:
    """Show what the tenant has spent by day, its caps, and where the money went."""
    tenant, desk, today = visitor.key.tenant, wiring.spending(), _now().date()
    by_day = desk.usage(tenant=tenant, last=today, parts=("day",), limit=purse.DAYS)
    parts = ("workflow", "model", "endpoint")
    by_group = desk.usage(tenant=tenant, last=today, parts=parts, limit=GROUPS_MAX)
    context = {
        "page": "money",
        "visitor": visitor,
        "days": purse.DAYS,
        "today": today,
        "total": purse.total(by_day),
        "has_spent": any(row.calls for row in by_day),
        "bars": purse.bars(by_day, last=today),
        "width": purse.CHART_WIDTH,
        "height": purse.CHART_HEIGHT,
        "caps": purse.caps(desk.budgets(tenant=tenant)),
        "groups": purse.groups(by_group),
    }
    return assets.render(request, "money.html", context)


@http.require_safe
@for_visitors
def artifact(
    request: django.http.HttpRequest, visitor: session.Visitor, artifact_id: str
) -> django.http.HttpResponseBase:
    """Stream an artifact to a logged-in browser."""
    house, tenant = heddle(), visitor.key.tenant
    reference = house.find_artifact(artifact_id, tenant=tenant)
    if reference is None:
        raise blobs.BlobMissing(artifact_id)
    headers = media.headers(reference)
    if media.is_same(reference, request.headers.get("If-None-Match")):
        return django.http.HttpResponse(
            status=304, headers={"ETag": headers["ETag"], "Cache-Control": headers["Cache-Control"]}
        )
    return django.http.StreamingHttpResponse(house.read(reference, tenant=tenant), headers=headers)


@csrf.csrf_protect
@http.require_http_methods(["GET", "HEAD", "POST"])
def login(request: django.http.HttpRequest) -> django.http.HttpResponseBase:
    """Take an API key in exchange for a session."""
    following = _inside(request, request.POST.get("next") or request.GET.get("next", ""))
    if request.method != "POST":
        return assets.render(request, "login.html", {"page": "login", "next": following})
    visitor = session.login(request.POST.get("key", "").strip(), heddle())
    if visitor is None:
        context = {"page": "login", "next": following, "problem": "This key is not valid, or it may not read."}
        return assets.render(request, "login.html", context, status=401)
    response = django.http.HttpResponseRedirect(following)
    session.remember(request, response, visitor)
    return response


@csrf.csrf_protect
@http.require_POST
def logout(request: django.http.HttpRequest) -> django.http.HttpResponseBase:
    """End the session of this browser; the key stays valid."""
    response = django.http.HttpResponseRedirect(_login_path(request))
    session.forget(request, response)
    return response


def _to_login(request: django.http.HttpRequest) -> django.http.HttpResponseBase:
    following = django.http.QueryDict(mutable=True)
    following["next"] = request.get_full_path() if request.method in ("GET", "HEAD") else ""
    return django.http.HttpResponseRedirect(f"{_login_path(request)}?{following.urlencode()}")


def _login_path(request: django.http.HttpRequest) -> str:
    return f"{_home(request)}login"


def _home(request: django.http.HttpRequest) -> str:
    return request.path.partition("/console")[0] + "/console/"


def _inside(request: django.http.HttpRequest, following: str) -> str:
    """Follow only into the console itself: an address from outside must not send people elsewhere."""
    is_ours = following.startswith(_home(request)) and "\\" not in following and following.isprintable()
    return following if is_ours else _home(request)


def _trouble(request: django.http.HttpRequest, status: int, title: str, text: str) -> django.http.HttpResponse:
    return assets.render(request, "trouble.html", {"page": "trouble", "title": title, "text": text}, status=status)


def _found(house: client.Heddle, tenant: records.Tenant, asked: str) -> uuid.UUID | None:
    run_id = _uuid(asked)
    if run_id is None:
        return None
    try:
        return house.get(run_id, tenant=tenant).id
    except doors.RunMissing:
        return None


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        return None


def _ordinal(text: str) -> int:
    """Read after which call a page begins; what is no number means the first page."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= ORDINAL_DIGITS else 0


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
