"""Serve operators who try a route on a share of the traffic: start, promote, roll back, reset; each audited.

Neighbours: ``client.operating`` before; after it the leader, who gives a running canary its share and may roll it back.
"""

import json
from typing import Any

from heddle.core.policy import canary
from heddle.ports import operators
from heddle.store import django, reading

DEFAULT_MARGIN = 0.05


class Canaries(django.DjangoDoors):
    """Decide about routes over the file, through one of Django's connections."""

    def start_canary(self, *, model: str, endpoint: str, share: float, margin: float, actor: str) -> None:
        """Give a route a share of its tier and begin to compare it with the others."""
        with self._atomic():
            endpoint_id, _, state, _, others, running, _ = self._route(model, endpoint)
            if running is not None:
                raise operators.ChangeRefused(
                    f"model {model!r} has a canary running at {running!r}; promote it or roll it back first"
                )
            if others == 0:
                raise operators.ChangeRefused(
                    f"no other route of model {model!r} stands in the tier of {endpoint!r} to be compared with; "
                    "give both the same tier in heddle.toml and run `heddle migrate`"
                )
            self._decide(model, endpoint_id, state=canary.State.RUNNING, share=share, margin=margin, reason=actor)
            after = {"state": canary.State.RUNNING.value, "share": share, "margin": margin}
            self._tell("start", model, endpoint, actor=actor, before={"state": state}, after=after)

    def promote_canary(self, *, model: str, endpoint: str, actor: str) -> None:
        """Let a canary be a route like the others."""
        self._end(model, endpoint, canary.State.PROMOTED, what="promote", actor=actor)

    def roll_back_canary(self, *, model: str, endpoint: str, actor: str) -> None:
        """Give a canary, or one that was promoted, nothing more."""
        self._end(model, endpoint, canary.State.ROLLED_BACK, what="rollback", actor=actor)

    def reset_canary(self, *, model: str, endpoint: str, actor: str) -> bool:
        """Go back to what the file says of a route."""
        with self._atomic():
            endpoint_id, _, state, _, _, _, _ = self._route(model, endpoint)
            found = self._rows("canary_reset", {"model": model, "endpoint": endpoint_id})
            if found:
                self._tell("reset", model, endpoint, actor=actor, before={"state": state}, after=None)
        return bool(found)

    def _end(self, model: str, endpoint: str, state: canary.State, *, what: str, actor: str) -> None:
        with self._atomic():
            endpoint_id, _, before, share, _, _, seen = self._route(model, endpoint)
            if before is None:
                raise operators.ChangeRefused(
                    f"no canary was started on {endpoint!r} for model {model!r}; start one, or change heddle.toml"
                )
            if before == state.value:
                # It is so already; whoever ended it first, and why, stays written.
                return
            self._decide(model, endpoint_id, state=state, share=share, margin=DEFAULT_MARGIN, reason=actor)
            known = reading.decode(seen)
            self._tell(what, model, endpoint, actor=actor, before=known, after={"state": state.value})

    def _decide(
        self, model: str, endpoint_id: int, *, state: canary.State, share: float, margin: float, reason: str
    ) -> None:
        given = {"model": model, "endpoint": endpoint_id, "state": state.value, "share": share, "margin": margin}
        self._rows("canary_set", {**given, "reason": reason})

    def _route(self, model: str, endpoint: str) -> tuple[Any, ...]:
        self._rows("canary_lock", {"model": model})
        found = self._rows("canary_route", {"model": model, "endpoint": endpoint})
        if not found:
            raise operators.SubjectMissing(
                f"there is no route of model {model!r} to an endpoint {endpoint!r}; [[routes]] of heddle.toml are what "
                "there is once `heddle migrate` has applied them"
            )
        return found[0]

    def _tell(self, what: str, model: str, endpoint: str, *, actor: str, before: Any, after: Any) -> None:
        self._rows(
            "audit_add",
            {
                "actor": actor,
                "action": f"canary.{what}",
                "subject": f"route {model} {endpoint}",
                "before": json.dumps(before),
                "after": json.dumps(after),
            },
        )
        self._ring()
