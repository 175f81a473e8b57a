"""Write and read the generate extension, whole and as a stream of events.

Pure: values and texts in, values out. An error may stand in every event, whatever the status was, so each is looked at.
Source: Triton extension_generate.md. Before it: ``adapter`` with a request or an event. After it: the transport, and on
the way back the adapter.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from heddle.core import identity
from heddle.providers.kserve import terms

TEXT: Final = "text_output"
_FRAME: Final = frozenset({"id", "model_name", "model_version"})


class AnswerRefused(ValueError):
    """Say why an answer is not one of the extension."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Hold the words of an error that came where a result was to be."""

    message: str


def write(
    *, request_id: str, fields: Mapping[str, identity.JsonValue], parameters: Mapping[str, identity.JsonValue]
) -> bytes:
    """Write a request; an input ``parameters`` adds to the endpoint's. Raises ValueError for what JSON cannot carry."""
    own = fields.get("parameters", {})
    if not isinstance(own, dict):
        raise ValueError("the input `parameters` is no object")
    body: dict[str, Any] = {"id": request_id, **{key: value for key, value in fields.items() if value is not None}}
    body.pop("parameters", None)
    if parameters or own:
        body["parameters"] = {**parameters, **own}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def read(text: bytes | str, *, request_id: str) -> dict[str, identity.JsonValue] | Failure:
    """Read one answer or event: its outputs by name. Raises AnswerRefused."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnswerRefused(f"it is not JSON: {str(error)[:120]}") from None
    if not isinstance(value, dict):
        raise AnswerRefused("it is no JSON object")
    if "error" in value:
        return Failure(message=str(value["error"]))
    if value.get("id", request_id) not in (request_id, ""):
        raise AnswerRefused(f"it is to the request {str(value['id'])[:100]!r}, ours was {request_id!r}")
    return {key: item for key, item in value.items() if key not in _FRAME}


class Gathering:
    """Gather the events of one stream: texts grow, of everything else the last counts."""

    def __init__(self, *, text: terms.StreamText) -> None:
        self._is_pieces = text is terms.StreamText.PIECE
        # Joined at the end: appending to a text piece by piece copies it every time.
        self._texts: dict[str, list[str]] = {}
        self._others: dict[str, identity.JsonValue] = {}
        self._shown = 0
        self.count = 0

    def take(self, piece: Mapping[str, identity.JsonValue]) -> identity.JsonValue:
        """Take an event; give what a listener is told of it: the next text, or the event where it has none."""
        self.count += 1
        for name, value in piece.items():
            if not isinstance(value, str):
                self._others[name] = value
            elif self._is_pieces:
                self._texts.setdefault(name, []).append(value)
            else:
                self._texts[name] = [value]
        text = piece.get(TEXT)
        if not isinstance(text, str):
            return dict(piece)
        if self._is_pieces:
            return text
        shown, self._shown = self._shown, len(text)
        return text[shown:]

    def whole(self) -> dict[str, identity.JsonValue]:
        """Give the outputs as far as they have come."""
        return {**{name: "".join(pieces) for name, pieces in self._texts.items()}, **self._others}


def chosen(outputs: Mapping[str, identity.JsonValue], names: Mapping[str, str]) -> dict[str, identity.JsonValue]:
    """Keep the outputs asked for, under the names they get; all of them when none is. Raises AnswerRefused."""
    if not names:
        return dict(outputs)
    missing = [name for name in names if name not in outputs]
    if missing:
        raise AnswerRefused(f"it has no {missing[0]!r}")
    return {given: outputs[name] for name, given in names.items()}
