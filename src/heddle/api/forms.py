"""State the forms of requests: which members a body or a query may have and of which JSON type.

Only form: what the values must be is decided by the client, which every door shares. Unknown members are refused by
name.
"""

import datetime
from typing import Annotated, Any

import ninja
import pydantic

from heddle import client
from heddle.client import values
from heddle.core import run

_STRICT = pydantic.ConfigDict(extra="forbid", strict=True)


def _instant(value: Any) -> datetime.datetime:
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 time, such as 2027-01-31T09:00:00Z")
    try:
        instant = datetime.datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError("must be an RFC 3339 time, such as 2027-01-31T09:00:00Z") from error
    if instant.tzinfo is None:
        raise ValueError("has no time zone; write it in UTC, such as 2027-01-31T09:00:00Z")
    try:
        return instant.astimezone(datetime.UTC)
    except OverflowError as error:
        raise ValueError("is out of range: in UTC it must be in the years 1 to 9999") from error


def _storable(value: str) -> str:
    if not values.is_storable_text(value):
        raise ValueError("holds a NUL or half of a surrogate pair; send valid Unicode")
    return value


Text = Annotated[str, pydantic.AfterValidator(_storable)]
"""Text that the database can hold, for members whose text nothing else narrows."""
Instant = Annotated[
    datetime.datetime,
    pydantic.BeforeValidator(_instant),
    pydantic.WithJsonSchema({"type": "string", "format": "date-time"}),
]


class InferForm(pydantic.BaseModel):
    """A request for one call of a model."""

    model_config = _STRICT

    input: dict[str, Any] = pydantic.Field(
        default_factory=dict, description='Arguments by name; artifacts as {"id": "sha256:…"}.'
    )
    priority: str = pydantic.Field(
        default=run.Priority.STANDARD.value,
        description="Class of the work.",
        json_schema_extra={"enum": [member.value for member in run.Priority]},
    )
    deadline_s: float | None = pydantic.Field(
        default=None, description="Seconds from admission after which the run expires."
    )
    start_at: Instant | None = pydantic.Field(default=None, description="Not before this time.")
    labels: dict[str, str] = pydantic.Field(default_factory=dict, description="At most 16, to find runs by.")
    webhook_url: str | None = pydantic.Field(
        default=None, description="Told how the run ends; http or https on the public internet."
    )
    max_cost_usd: str | None = pydantic.Field(
        default=None, description='Most the run may cost, as a decimal string such as "0.50".'
    )

    def request_of(self, workflow: str, *, idempotency_key: str | None, traceparent: str | None) -> client.RunRequest:
        """Give the request that the client understands."""
        return client.RunRequest(
            workflow=workflow,
            input=self.input,
            priority=self.priority,
            deadline_s=self.deadline_s,
            start_at=self.start_at,
            labels=self.labels,
            webhook_url=self.webhook_url,
            max_cost_usd=self.max_cost_usd,
            idempotency_key=idempotency_key,
            traceparent=traceparent,
        )


class RunForm(InferForm):
    """A request for one run."""

    workflow: str = pydantic.Field(
        description="Registered name of the workflow; or `model:NAME`, `step:NAME` for a run of one call."
    )

    def request(self, *, idempotency_key: str | None, traceparent: str | None) -> client.RunRequest:
        """Give the request that the client understands."""
        return self.request_of(self.workflow, idempotency_key=idempotency_key, traceparent=traceparent)


class BatchItemForm(RunForm):
    """One item of a batch: a run with a key of its own."""

    idempotency_key: str | None = pydantic.Field(default=None, description="Names this item for ever being sent again.")


class BatchForm(pydantic.BaseModel):
    """A request for many runs. Items are read one by one, so that one bad item does not hold up the others."""

    model_config = _STRICT

    items: list[Any] = pydantic.Field(description="Requests for runs, each with an optional idempotency_key.")


class PageQuery(ninja.Schema):
    """Which page of a list is asked for."""

    model_config = pydantic.ConfigDict(extra="forbid")

    limit: int = pydantic.Field(default=50, ge=1)
    cursor: str | None = pydantic.Field(default=None, max_length=200)


class RunQuery(ninja.Schema):
    """Which runs are asked for."""

    model_config = pydantic.ConfigDict(extra="forbid")

    workflow: Text | None = None
    state: run.RunState | None = None
    label: Text | None = pydantic.Field(default=None, description="name:value")
    created_after: Instant | None = None
    created_before: Instant | None = None
    limit: int = pydantic.Field(default=50, ge=1)
    cursor: str | None = pydantic.Field(default=None, max_length=200)


class ArtifactView(pydantic.BaseModel):
    """A stored artifact."""

    id: str
    media_type: str
    size_bytes: int


class FieldProblem(pydantic.BaseModel):
    """One field at fault."""

    field: str
    message: str


class ProblemView(pydantic.BaseModel):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    remedy: str
    errors: list[FieldProblem] | None = None
    retry_after_s: int | None = None


def body_of(form: type[pydantic.BaseModel], *, description: str) -> dict[str, Any]:
    """Give the OpenAPI description of a JSON body, for views that read their body themselves."""
    schema = form.model_json_schema()
    return {
        "requestBody": {
            "required": True,
            "description": description,
            "content": {"application/json": {"schema": schema}},
        }
    }
