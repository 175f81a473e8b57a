"""Serve what happens to a run as Server-Sent Events, or as one JSON page for those who ask for that.

The form is section 9.2 of the HTML standard. A stream holds a web thread, so it takes a place, is ended after
``STREAM_MAX_S`` and is resumed by ``Last-Event-ID``, which is the event's seq. It ends with an event ``end`` once the
run is over; a client that reconnects after that is answered 204, which tells it to stop.
"""

import time
from collections.abc import Iterator

import django.http
import ninja

from heddle import client
from heddle.api import auth, problems, render
from heddle.api.room import Room, pause, room
from heddle.client import pages
from heddle.core import run
from heddle.ports import records

router = ninja.Router(tags=["runs"])

STREAM_MAX_S = 300.0
KEEPALIVE_S = 5.0
"""A browser that has gone is noticed at the next write, so this also bounds how long its place stays taken."""
LOOK_FIRST_S = 0.1
LOOK_LONGEST_S = 1.0
PAGE_EVENTS = 500
RECONNECT_MS = 1_000


@router.get("/runs/{run_id}/events", auth=auth.reads, summary="Follow what happens to a run")
def follow(
    request: django.http.HttpRequest, run_id: str, after: int = 0, cursor: int | None = None
) -> django.http.HttpResponseBase:
    """Stream events after `Last-Event-ID` (or `after`) until the run is over; JSON when `Accept: application/json`.

    `cursor` is `after` under the name that the other lists have.
    """
    here = room()
    tenant = auth.tenant_of(request)
    after_seq = _last_seen(request, after if cursor is None else cursor)
    if "application/json" in request.headers.get("Accept", ""):
        page = pages.read(
            lambda seq, limit: here.heddle.events(run_id, tenant=tenant, after_seq=seq, limit=limit),
            start=after_seq,
            limit=PAGE_EVENTS,
            mark_of=lambda event: event.seq,
        )
        return render.answer({"items": [render.event(each) for each in page.items], "next_cursor": page.following})
    view = here.heddle.get(run_id, tenant=tenant)
    is_over = view.state in run.TERMINAL
    if is_over and after_seq and not here.heddle.events(run_id, tenant=tenant, after_seq=after_seq, limit=1):
        return django.http.HttpResponse(status=204)
    if not here.places.take():
        raise problems.Refusal(
            "busy",
            f"All {here.places.places_max} places for streams and waits are taken.",
            retry_after_s=problems.BUSY_RETRY_AFTER_S,
        )
    stream = Stream(here=here, tenant=tenant, run_id=str(view.id), after_seq=after_seq)
    return django.http.StreamingHttpResponse(
        stream,
        content_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


class Stream:
    """Be the body of one stream. It owns a place from birth and gives it back once, however it ends."""

    def __init__(self, *, here: Room, tenant: records.Tenant, run_id: str, after_seq: int) -> None:
        self._here = here
        self._tenant = tenant
        self._run_id = run_id
        self._is_held = True
        self._pieces = self._run(after_seq)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the place back; Django calls it when the connection ends. A second call changes nothing."""
        if self._is_held:
            self._is_held = False
            self._here.places.give_back()

    def _run(self, after_seq: int) -> Iterator[bytes]:
        heddle = self._here.heddle
        until_s = time.monotonic() + STREAM_MAX_S
        spoken_s = time.monotonic()
        delay_s = LOOK_FIRST_S
        yield f"retry: {RECONNECT_MS}\n\n".encode()
        while time.monotonic() < until_s:
            # The state is read before the events: what a finished run still had to tell is then in the page.
            view = heddle.get(self._run_id, tenant=self._tenant)
            page = heddle.events(self._run_id, tenant=self._tenant, after_seq=after_seq, limit=PAGE_EVENTS)
            for each in page:
                after_seq = each.seq
                yield _written(each)
            if len(page) == PAGE_EVENTS:
                continue
            if view.state in run.TERMINAL:
                yield f"event: end\ndata: {render.text({'state': view.state.value})}\n\n".encode()
                return
            now_s = time.monotonic()
            if page:
                spoken_s, delay_s = now_s, LOOK_FIRST_S
            elif now_s - spoken_s >= KEEPALIVE_S:
                spoken_s = now_s
                yield b": still here\n\n"
            pause(delay_s)
            delay_s = min(delay_s * 1.5, LOOK_LONGEST_S)


def _written(event: records.EventView) -> bytes:
    return f"id: {event.seq}\nevent: {event.name}\ndata: {render.text(render.event(event))}\n\n".encode()


def _last_seen(request: django.http.HttpRequest, after: int) -> int:
    written = request.headers.get("Last-Event-ID")
    if written is None:
        return max(0, after)
    if not (written.isascii() and written.isdigit() and len(written) <= 18):
        message = "is not the id of an event of ours; pass the last id unchanged"
        raise problems.invalid([client.Problem(field="Last-Event-ID", message=message)])
    return int(written)
