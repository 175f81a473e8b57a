"""Serve operators who try a route of a model on a share of the traffic.

A model's routes belong to the whole installation, so every change needs the scope ``admin``. Before it: the web server.
After it: ``heddle.client.operating``.
"""

import django.http
import ninja
import pydantic

from heddle import client
from heddle.api import auth, bodies, forms, problems, render, scores
from heddle.api.room import room
from heddle.client import operating
from heddle.ports import operators

router = ninja.Router(tags=["operations"])
ACTIONS = ("start", "promote", "rollback", "reset")


class CanaryForm(pydantic.BaseModel):
    """What is decided about one route of a model over the file."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    endpoint: forms.Text
    action: str = pydantic.Field(json_schema_extra={"enum": list(ACTIONS)})
    share: float | None = pydantic.Field(default=None, description="Of its tier's traffic, 0.001 to 0.5; for start.")
    margin: float | None = pydantic.Field(
        default=None, description="By how much its share of bad calls may be above the others', 0 to 0.5; for start."
    )


@router.post(
    "/models/{name}/canary",
    auth=auth.admins,
    summary="Start, promote, roll back or reset a canary",
    openapi_extra=forms.body_of(CanaryForm, description="Wins over heddle.toml until it is reset; audited."),
)
def change(request: django.http.HttpRequest, name: forms.Text) -> django.http.HttpResponse:
    """Change a canary and show its route."""
    here = room()
    form = bodies.read_form(request, CanaryForm, bytes_max=here.heddle.limits.request_bytes_max)
    actor = auth.actor_of(request)
    found = [
        client.Problem(field=field, message="belongs to the action start only")
        for field in ("share", "margin")
        if form.action != "start" and getattr(form, field) is not None
    ]
    if form.action not in ACTIONS:
        found.append(client.Problem(field="action", message=f"must be one of {', '.join(ACTIONS)}"))
    if form.action == "start" and form.share is None:
        found.append(client.Problem(field="share", message="is needed to start a canary"))
    if found:
        raise problems.invalid(found)
    match form.action:
        case "start":
            assert form.share is not None, "a start without a share was refused above"
            margin = operating.CANARY_MARGIN if form.margin is None else form.margin
            here.operating.start_canary(name, form.endpoint, share=form.share, margin=margin, actor=actor)
        case "promote":
            here.operating.promote_canary(name, form.endpoint, actor=actor)
        case "rollback":
            here.operating.roll_back_canary(name, form.endpoint, actor=actor)
        case _:
            here.operating.reset_canary(name, form.endpoint, actor=actor)
    for view in here.heddle.endpoints():
        for each in view.routes:
            if (view.name, each.model) == (form.endpoint, name):
                return render.answer({"endpoint": view.name, **scores.route(each)})
    raise operators.SubjectMissing(f"the route of {name[:100]!r} to {form.endpoint[:100]!r} is no longer there")
