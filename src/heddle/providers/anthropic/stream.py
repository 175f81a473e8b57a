"""Gather a message from the events of a stream.

Events may only add what the documented order allows; a stream that has ended without ``message_stop`` is not whole, and
a kind of delta that is not known here makes the message unreadable instead of shorter. Pure: events in, a message out.
Before it: ``sse.events``. After it: the adapter, with what ``Gathering`` has. Sources: anthropic 2.14.0
(``types/raw_message_stream_event.py`` and the deltas), https://platform.claude.com/docs/en/build-with-claude/streaming,
read 2026-11-29.
"""

from typing import Any, Final

from heddle.core import identity
from heddle.providers import json_wire, sse

BLOCKS_MAX: Final = 1_000
# Deltas whose one text is appended to a text of the block.
_APPENDED: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}


class Gathering:
    """Hold what has come of a message. ``error`` is the error event that ended it, None when there was none."""

    def __init__(self) -> None:
        self.message: json_wire.JsonObject = {}
        self.error: json_wire.JsonObject | None = None
        self.is_whole = False
        self._is_counted = False
        # Joined when their block ends: appending to a text piece by piece copies it every time.
        self._pieces: dict[tuple[int, str], list[str]] = {}

    @property
    def usage(self) -> json_wire.JsonObject:
        """Give the usage told so far: until the message says why it ended, that of its first token."""
        return json_wire.read_part(self.message, "usage")

    @property
    def whole_usage(self) -> json_wire.JsonObject:
        """Give the usage of all that has come; empty while only the start has told of any, which counts no more of the
        output than a token or two. The counts of ``message_delta`` are cumulative (the page on streaming).
        """
        return self.usage if self._is_counted else {}

    @property
    def has_content(self) -> bool:
        """Tell whether anything of the answer itself has come."""
        return bool(self.message.get("content"))

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more is to come."""
        return self.is_whole or self.error is not None

    def take(self, event: sse.Event) -> identity.JsonValue | None:
        """Take the next event; give its data when it is a piece of content, else None. Raises AnswerRefused."""
        if self.is_over or event.name == "ping":
            return None
        data = json_wire.read_object(event.data)
        match data.get("type"):
            case "message_start":
                self.message = {**json_wire.read_part(data, "message")}
                self.message["content"] = []
            case "content_block_start":
                self._start(data)
            case "content_block_delta":
                self._add(data)
                return data
            case "content_block_stop":
                self._stop(data)
            case "message_delta":
                self._change(data)
            case "message_stop":
                if self._pieces:
                    raise json_wire.AnswerRefused("the stream ends inside a block")
                self.is_whole = True
            case "error":
                self.error = data
            case _:
                pass  # "new event types may be added" (the page on versioning): they carry nothing of the message
        return None

    def _blocks(self) -> list[Any]:
        blocks = self.message.get("content")
        if not isinstance(blocks, list):
            raise json_wire.AnswerRefused("the stream does not begin with message_start")
        return blocks

    def _start(self, data: json_wire.JsonObject) -> None:
        blocks = self._blocks()
        if data.get("index") != len(blocks) or len(blocks) >= BLOCKS_MAX:
            raise json_wire.AnswerRefused(f"the stream begins block {str(data.get('index'))[:20]!r} out of order")
        blocks.append({**json_wire.read_part(data, "content_block")})

    def _block(self, data: json_wire.JsonObject) -> tuple[int, json_wire.JsonObject]:
        blocks, index = self._blocks(), data.get("index")
        if not isinstance(index, int) or not 0 <= index < len(blocks):
            raise json_wire.AnswerRefused(f"the stream goes on with block {str(index)[:20]!r}, which it never began")
        return index, blocks[index]

    def _add(self, data: json_wire.JsonObject) -> None:
        index, block = self._block(data)
        delta = json_wire.read_part(data, "delta")
        kind = json_wire.read_text(delta, "type")
        if kind in _APPENDED:
            name = _APPENDED[kind]
            self._pieces.setdefault((index, name), []).append(json_wire.read_text(delta, name))
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta.get("citation")]
        elif kind == "compaction_delta":  # a beta's; it comes whole (types/beta/beta_compaction_content_block_delta.py)
            block.update({key: value for key, value in delta.items() if key != "type"})
        else:
            raise json_wire.AnswerRefused(f"the stream has a delta of the unknown type {kind[:80]!r}")

    def _stop(self, data: json_wire.JsonObject) -> None:
        index, block = self._block(data)
        for name in _APPENDED.values():
            text = "".join(self._pieces.pop((index, name), []))
            if text and name == "partial_json":
                block["input"] = json_wire.read_object(text)
            elif text:
                block[name] = json_wire.read_text(block, name) + text

    def _change(self, data: json_wire.JsonObject) -> None:
        self._blocks()
        self.message.update(json_wire.read_part(data, "delta"))
        told = {key: value for key, value in json_wire.read_part(data, "usage").items() if value is not None}
        self.message["usage"] = {**self.usage, **told}
        self._is_counted = "output_tokens" in told and isinstance(self.message.get("stop_reason"), str)
