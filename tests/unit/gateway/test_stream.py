"""A streamed answer is completed to the settled one, or said to be cut off."""

from typing import Any

from heddle.gateway import openai_stream

HEAD: dict[str, Any] = {"id": "chatcmpl-1", "created": 1, "model": "m"}


def whole(text: str | None, **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": text, **message}
    return {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}], "usage": {"total_tokens": 3}}


def taken(*pieces: Any, attempt: int = 1) -> openai_stream.Pieces:
    made = openai_stream.Pieces()
    for piece in pieces:
        made.take(attempt, piece)
    made.chunks(HEAD)
    return made


def rest(answer: dict[str, Any], pieces: openai_stream.Pieces) -> list[dict[str, Any]]:
    return openai_stream.rest(answer, pieces, HEAD, run_id="r")


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def test_rest_when_nothing_went_out_then_it_is_the_whole_answer_with_its_end() -> None:
    found = rest(whole("Hello"), taken())

    assert text_of(found) == "Hello"
    assert found[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in found] == [None, "stop"]


def test_rest_when_a_part_went_out_then_only_what_is_missing_follows() -> None:
    assert text_of(rest(whole("Hello there"), taken("Hel", "lo"))) == " there"


def test_rest_when_the_vendor_ended_its_own_stream_then_nothing_follows() -> None:
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}

    assert rest(whole("Hello"), taken("Hello", end)) == []


def test_rest_when_usage_was_asked_for_and_not_told_then_it_follows_without_a_choice() -> None:
    pieces = taken("Hello")
    pieces.wants_usage = True

    assert rest(whole("Hello"), pieces)[-1] == {
        **HEAD,
        "object": "chat.completion.chunk",
        "choices": [],
        "usage": {"total_tokens": 3},
    }


def test_rest_when_the_answer_begins_otherwise_then_the_stream_says_that_it_was_cut_off() -> None:
    (found,) = rest(whole("Good day"), taken("Hel"))

    assert found["error"]["code"] == "stream_cut_off"


def test_rest_when_tools_are_called_then_each_call_has_its_place() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}

    found = rest(whole(None, tool_calls=[call]), taken())

    assert found[0]["choices"][0]["delta"]["tool_calls"] == [{"index": 0, **call}]


def test_pieces_when_a_second_attempt_gives_some_then_they_are_left_out() -> None:
    pieces = taken("Once ")

    pieces.take(2, "Twice")

    assert pieces.chunks(HEAD) == []
    assert pieces.sent == {0: "Once "}


def test_pieces_when_the_reader_is_too_slow_then_what_is_left_out_follows_at_the_end() -> None:
    pieces = openai_stream.Pieces()
    for _ in range(openai_stream.PIECES_MAX + 5):
        pieces.take(1, "a")

    sent = len(pieces.chunks(HEAD))

    assert sent == openai_stream.PIECES_MAX
    assert len(text_of(rest(whole("a" * (sent + 5)), pieces))) == 5
