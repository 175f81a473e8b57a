"""Make leased steps for tests of the engine's pure parts."""

import uuid
from typing import Any

from heddle.ports import store

RUN = uuid.UUID("0190163d-8694-739b-aea5-966c26f8ad91")
OTHER_RUN = uuid.UUID("0190163d-8694-739b-aea5-966c26f8ad92")


def claimed(**changes: Any) -> store.Claimed:
    """Give one leased step: a local one, unless an endpoint is named."""
    given: dict[str, Any] = {
        "run_id": RUN,
        "ordinal": 3,
        "fence": 41,
        "number": 2,
        "purpose": "execute",
        "endpoint_id": None,
        "tenant_id": 1,
        "kind": "step",
        "name": "score",
        "version": 1,
        "input": {},
        "options": None,
        "state": "due",
        "attempts_before": 0,
        "epoch": 0,
        "crashes": 0,
        "outputs": None,
        "workflow": "shoot",
        "workflow_version": 1,
        "traceparent": None,
        "deadline_in_s": None,
        "handle": None,
        "unknown_for_s": None,
        "attempt_state": None,
        "result": None,
        "priority": "standard",
        "waited_s": 0.5,
    }
    return store.Claimed(**{**given, **changes})


def endpoint(**changes: Any) -> store.EndpointRow:
    """Give one endpoint as workers need it."""
    given: dict[str, Any] = {
        "id": 7,
        "name": "studio",
        "adapter": "http",
        "url": "http://h",
        "secret_name": None,
        "callback_secret_name": None,
        "timeout_s": 60.0,
        "price_nano_usd": 40_000_000,
        "is_paid": True,
        "options": {},
        "models": ("relight",),
        "unknown_policies": {},
    }
    return store.EndpointRow(**{**given, **changes})
