"""Put the pieces of a streamed answer together again.

Pure. A chat completion comes in pieces that are added up here to what the call without a stream would have answered; a
response comes whole at the end of its stream. What is not at its end is not an answer: ``whole`` is None until then.
Sources: types/chat/chat_completion_chunk.py and types/responses of the package openai 3.57.0, read 2026-11-29. Before
it: ``sse``. After it: ``completions``.
"""

from typing import Final, Protocol

from heddle.core import identity
from heddle.providers import json_wire, sse

DONE: Final = "[DONE]"
CHOICES_MAX: Final = 128
TOOL_CALLS_MAX: Final = 1_024
# Parts of a delta that are one text in pieces. Of other parts lists grow, as pictures and thoughts come, and else the
# last one counts, unless it is empty: some servers repeat a call's id and name as "" beside its arguments.
_TEXTS: Final = frozenset({"content", "refusal", "reasoning_content", "reasoning", "arguments", "data", "transcript"})
_TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
Object = dict[str, identity.JsonValue]


class StreamFailed(Exception):
    """Say that the provider reported an error inside of the stream; ``error`` is its object."""

    def __init__(self, error: Object) -> None:
        super().__init__("the stream reports an error")
        self.error = error


class Assembly(Protocol):
    """Take events one by one; ``whole`` is the answer once its end has come."""

    whole: Object | None

    def take(self, event: sse.Event) -> identity.JsonValue | None:
        """Add one event and give the piece to pass on, None for none. Raises WireRefused or StreamFailed."""
        ...


class ChatAssembly:
    """Add up the chunks of a chat completion. ``needs_reasons``: a choice without a reason to stop is only a part."""

    def __init__(self, *, needs_reasons: bool = True) -> None:
        self._needs_reasons = needs_reasons
        self.whole: Object | None = None
        self._head: Object = {}
        self._choices: dict[int, Object] = {}

    def take(self, event: sse.Event) -> identity.JsonValue | None:
        """Add one chunk, and end at ``[DONE]``."""
        if event.data == DONE:
            self.whole = self._assembled()
            return None
        chunk = _object(event.data)
        if error := chunk.get("error"):
            raise StreamFailed(error if isinstance(error, dict) else {"message": str(error)})
        for key, value in chunk.items():
            if key not in ("choices", "object", "obfuscation") and value is not None:
                self._head[key] = value
        choices = chunk.get("choices")
        for each in choices if isinstance(choices, list) else ():
            self._add(each)
        return chunk

    def _add(self, piece: identity.JsonValue) -> None:
        index = piece.get("index") if isinstance(piece, dict) else None
        if not isinstance(index, int) or not 0 <= index < CHOICES_MAX:
            raise json_wire.WireRefused(f"has a chunk whose choice has no index below {CHOICES_MAX}")
        empty: Object = {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
        choice = self._choices.setdefault(index, empty)
        delta = piece.get("delta")
        _merge(choice["message"], delta if isinstance(delta, dict) else {})
        if isinstance(piece.get("logprobs"), dict):
            _extend(choice.setdefault("logprobs", {}), piece["logprobs"])
        if piece.get("finish_reason"):
            choice["finish_reason"] = piece["finish_reason"]

    def _assembled(self) -> Object:
        if not self._choices:
            raise json_wire.WireRefused("ends without a single choice")
        # Gateways write [DONE] also behind an upstream that was cut: a reason to stop tells a whole choice from a part.
        cut = [index for index, choice in self._choices.items() if choice["finish_reason"] is None]
        if cut and self._needs_reasons:
            raise json_wire.WireRefused(f"ends without a reason for choice {min(cut)} to stop")
        choices = [self._choices[index] for index in sorted(self._choices)]
        return {**self._head, "object": "chat.completion", "choices": choices}


class ResponseAssembly:
    """Wait for the response that ends its stream."""

    def __init__(self) -> None:
        self.whole: Object | None = None

    def take(self, event: sse.Event) -> identity.JsonValue | None:
        """Pass one event on, and keep the response of the last."""
        value = _object(event.data)
        kind = value.get("type")
        if kind == "error" or isinstance(value.get("error"), dict):
            raise StreamFailed(value["error"] if isinstance(value.get("error"), dict) else value)
        if kind in _TERMINAL:
            response = value.get("response")
            if not isinstance(response, dict):
                raise json_wire.WireRefused(f"ends in {kind} without a response")
            self.whole = response
        return value


def _merge(message: Object, delta: Object) -> None:
    for key, value in delta.items():
        if value is None:
            continue
        if key == "tool_calls" and isinstance(value, list):
            calls = message.setdefault("tool_calls", [])
            for piece in value:
                _merge_call(calls, piece)
        elif isinstance(value, dict):
            part = message.get(key)
            if not isinstance(part, dict):
                part = message[key] = {}
            _merge(part, value)
        elif key in _TEXTS and isinstance(value, str):
            before = message.get(key)
            message[key] = (before if isinstance(before, str) else "") + value
        elif isinstance(value, list):
            before = message.get(key)
            if not isinstance(before, list):
                before = message[key] = []
            before.extend(value)
        elif value != "" or key not in message:
            message[key] = value


def _merge_call(calls: list[Object], piece: identity.JsonValue) -> None:
    index = piece.get("index") if isinstance(piece, dict) else None
    if not isinstance(index, int) or not 0 <= index < TOOL_CALLS_MAX:
        raise json_wire.WireRefused(f"has a tool call without an index below {TOOL_CALLS_MAX}")
    while len(calls) <= index:
        calls.append({})
    _merge(calls[index], {key: value for key, value in piece.items() if key != "index"})


def _extend(kept: Object, piece: Object) -> None:
    for key, value in piece.items():
        if isinstance(value, list):
            before = kept.get(key)
            kept[key] = [*(before if isinstance(before, list) else ()), *value]


def _object(text: str) -> Object:
    value = json_wire.parse_json(text.encode())
    if not isinstance(value, dict):
        raise json_wire.WireRefused("has an event that is no object")
    return value
