"""Serve OpenAI's API on loopback, as the official client expects it.

This module only puts the parts together. Before it: ``heddle twin openai`` or a test. After it: the routes.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from heddle.core import identity
from heddle.twins.kit import answers, calls, options, server
from heddle.twins.openai import desk, files, routes_batches, routes_media, routes_text, texts

MODELS: Final = (*texts.PRICES, "dall-e-3", "gpt-image-1", "sora-2")
_MADE_AT_S: Final = 1_721_172_717


class OpenaiTwin(desk.Desk):
    """OpenAI's twin."""

    def __init__(self, given: options.Options, *, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(given, now_s=now_s)
        kept = files.Files(given.ledger.with_name(given.ledger.name + ".files"))
        self._parts = (
            routes_text.TextRoutes(self),
            routes_media.MediaRoutes(self),
            routes_batches.BatchRoutes(self, kept),
        )

    def routes(self) -> Sequence[server.Route]:
        """List the routes."""
        return [
            *(route for part in self._parts for route in part.routes()),
            server.Route(method="GET", path="/v1/models", handler=self._models),
            server.Route(method="GET", path="/v1/models/{id}", handler=self._model),
        ]

    async def _models(self, call: calls.Call) -> answers.Answer:
        return answers.json_answer(200, {"object": "list", "data": [_model(name) for name in MODELS]})

    async def _model(self, call: calls.Call) -> answers.Answer:
        name = call.parameters["id"]
        if name not in MODELS:
            raise calls.Refused(404, "model_not_found", f"The model '{name[:100]}' does not exist", field="model")
        return answers.json_answer(200, _model(name))


def _model(name: str) -> dict[str, identity.JsonValue]:
    return {"id": name, "object": "model", "created": _MADE_AT_S, "owned_by": "system"}
